// The connector against a real Mosquitto: what arrives, when it is acknowledged, and what faults cost.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { MqttRig, MemoryState, ack, publisher, until } from './rig.ts'
import type { Publisher } from './rig.ts'
import { noMosquitto, startMosquitto } from '../../test/servers/mosquitto.ts'
import type { MosquittoServer } from '../../test/servers/mosquitto.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'

const WINDOW = 4
const missing = noMosquitto()
let server: MosquittoServer
let client: Publisher
let base: string
let topics = 0

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startMosquitto()
  client = await publisher(server.url)
})
afterAll(async () => {
  await client?.[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
})
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
  base = `mosquitto/${(topics += 1)}`
})

describe('what arrives', () => {
  test.for([
    [4, 0],
    [4, 1],
    [4, 2],
    [5, 0],
    [5, 1],
    [5, 2],
  ] as const)(
    'MQTT protocol version %i, QoS %i: exact bytes and the connector’s headers',
    async ([protocolVersion, qos]) => {
      await using rig = await MqttRig.open({ url: server.url, protocolVersion, qos }, [`${base}/#`])
      const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
      await client.send(`${base}/x`, body, { qos: 2 })
      await client.send(`${base}/x`, '', { qos: 2 })
      const [full, empty] = await rig.arrived(2)
      expect(Buffer.compare(full?.message.body as Buffer, body)).toBe(0)
      expect(empty?.message.body.byteLength).toBe(0)
      expect(full?.message).toMatchObject({ source: 'mqtt', topic: `${base}/x`, orderingKey: `${base}/x`, attempt: 1 })
      const { 'X-Mqtt-Packet-Id': packetId, ...headers } = full?.message.headers ?? {}
      expect(headers).toEqual({ 'X-Mqtt-Qos': String(qos), 'X-Mqtt-Retain': 'false', 'X-Mqtt-Dup': 'false' })
      expect(packetId === undefined).toBe(qos === 0)
      for (const delivery of rig.arrivals) expect(await ack(delivery)).toBe('settled')
    },
  )

  test('properties of MQTT 5 become headers, user properties under their own names', async () => {
    await using rig = await MqttRig.open({ url: server.url }, [base])
    const userProperties = { traceparent: '00-1-2-01', colour: ['red', 'blue'], umlaut: 'grün', Host: 'elsewhere' }
    const correlationData = Buffer.from([0, 1, 255])
    const properties = { contentType: 'text/csv', responseTopic: 'answers/1', correlationData, userProperties }
    await client.send(base, 'a;b', { properties })
    const [delivery] = await rig.arrived(1)
    expect(delivery?.message.contentType).toBe('text/csv')
    expect(delivery?.message.headers).toMatchObject({
      'X-Mqtt-Response-Topic': 'answers/1',
      'X-Mqtt-Correlation-Data': 'AAH/',
      'X-Mqtt-Correlation-Data-Enc': 'b64',
      traceparent: '00-1-2-01',
      colour: 'red, blue',
      umlaut: 'Z3LDvG4=',
      'umlaut-Enc': 'b64',
      'X-Mqtt-Host': 'elsewhere',
    })
    expect(Object.keys(delivery?.message.headers ?? {})).not.toContain('Host')
  })

  test('a body of 10 MB', async () => {
    await using rig = await MqttRig.open({ url: server.url }, [base])
    const body = Buffer.alloc(10_000_000, 'ten million bytes, ')
    await client.send(base, body)
    const [delivery] = await rig.arrived(1)
    expect(Buffer.compare(delivery?.message.body as Buffer, body)).toBe(0)
    await ack(delivery)
  })

  test('a stored message arrives once, marked as such, and not again when the source connects again', async () => {
    await client.send(base, 'stored', { retain: true })
    const state = new MemoryState()
    const config = { url: server.url, clientId: `retained-${process.pid}` }
    {
      await using first = await MqttRig.open(config, [base], { state })
      const [delivery] = await first.arrived(1)
      expect(delivery?.message.headers['X-Mqtt-Retain']).toBe('true')
      await ack(delivery)
    }
    await using second = await MqttRig.open(config, [base], { state })
    await client.send(base, 'fresh')
    await second.arrived(1)
    expect(second.bodies).toEqual(['fresh'])
    await client.send(base, '', { retain: true })
  })

  test('with trimChannelKey the topic begins after the first slash', async () => {
    await using rig = await MqttRig.open({ url: server.url, trimChannelKey: true, topics: [`${base}/#`] }, ['ignored'])
    await client.send(`${base}/x`, 'x')
    const [delivery] = await rig.arrived(1)
    expect(delivery?.message.topic).toBe(`${base.slice(base.indexOf('/') + 1)}/x`)
  })
})

describe('subscriptions', () => {
  test('an event that matches several overlapping filters arrives once, an equal second one again', async () => {
    const filters = [`${base}/+/c`, `${base}/b/+`, `${base}/b/c`, `${base}/+/+`]
    await using rig = await MqttRig.open({ url: server.url }, filters.slice(0, 3))
    rig.ackAll = true
    for (const body of ['on', 'on', 'off']) await client.send(`${base}/b/c`, body)
    await client.send(`${base}/b/last`, 'end')
    await until(() => rig.bodies.includes('end'), 'the last event arrives')
    expect(rig.bodies).toEqual(['on', 'on', 'off', 'end'])
    expect(rig.counts['mqtt_copies_total']).toBe(3)
    // One that covers the others replaces them, without an event lost or doubled.
    await rig.subscribe(filters)
    await client.send(`${base}/b/c`, 'on')
    await client.send(`${base}/z/z`, 'end of all')
    await until(() => rig.bodies.includes('end of all'), 'the last event arrives')
    expect(rig.bodies).toEqual(['on', 'on', 'off', 'end', 'on', 'end of all'])
  })

  test('topics come and go while events flow, and none of a kept topic is lost', async () => {
    await using rig = await MqttRig.open({ url: server.url }, [`${base}/kept`])
    rig.ackAll = true
    const sent: string[] = []
    const changes = [[`${base}/kept`, `${base}/new`], [`${base}/#`], [`${base}/+`, 'other'], [`${base}/kept`]]
    for (const wanted of changes) {
      const changed = rig.subscribe(wanted)
      for (let count = 0; count < 5; count++) {
        sent.push(`event ${sent.length}`)
        await client.send(`${base}/kept`, sent.at(-1) as string)
      }
      await changed
    }
    await rig.subscribe([])
    await client.send(`${base}/kept`, 'unwanted')
    await rig.subscribe([`${base}/kept`])
    await client.send(`${base}/kept`, 'wanted')
    await until(() => rig.bodies.includes('wanted'), 'the last event arrives')
    expect([...new Set(rig.bodies)]).toEqual([...sent, 'wanted'])
  })

  test('what an earlier process subscribed to and nobody wants any more is unsubscribed', async () => {
    const state = new MemoryState()
    const config = { url: server.url, clientId: `leftover-${process.pid}` }
    await (await MqttRig.open(config, [`${base}/old`, `${base}/kept`], { state }))[Symbol.asyncDispose]()
    await using rig = await MqttRig.open(config, [`${base}/kept`], { state })
    await client.send(`${base}/old`, 'old')
    await client.send(`${base}/kept`, 'kept')
    await rig.arrived(1)
    expect(rig.bodies).toEqual(['kept'])
  })

  test('two sources of one shared group get each event once, together all of them', async () => {
    const open = (replica: number): Promise<MqttRig> =>
      MqttRig.open({ url: server.url, sharedGroup: 'group', clientId: `share-${process.pid}-${replica}` }, [
        `${base}/+`,
      ])
    await using one = await open(1)
    await using two = await open(2)
    one.ackAll = two.ackAll = true
    const sent = Array.from({ length: 40 }, (_, event) => `event ${event}`)
    for (const body of sent) await client.send(`${base}/x`, body)
    await until(() => one.arrivals.length + two.arrivals.length >= sent.length, 'all events arrive')
    expect([...one.bodies, ...two.bodies].sort()).toEqual(sent.toSorted())
    expect(one.arrivals.length).toBeGreaterThan(0)
    expect(two.arrivals.length).toBeGreaterThan(0)
  })
})

describe('settling', () => {
  test('no more than the window is sent, and each acknowledgement brings one more', async () => {
    await using rig = await MqttRig.open({ url: server.url }, [base], { unsettledMax: 3 })
    for (let event = 0; event < 6; event++) await client.send(base, `event ${event}`)
    await rig.arrived(3)
    await ack(rig.arrivals[1])
    await rig.arrived(4)
    expect(rig.bodies).toEqual(['event 0', 'event 1', 'event 2', 'event 3'])
    rig.ackAll = true
    for (const delivery of rig.arrivals.slice()) await ack(delivery)
    await rig.arrived(6)
  })

  test.for([1, 2] as const)(
    'QoS %i: unsettled when the process dies comes again with its id, settled does not',
    async (qos) => {
      const config = { url: server.url, qos, clientId: `dies-${process.pid}-${qos}` }
      await using proxy = await startTcpProxy(server.port)
      await using dying = await MqttRig.open({ ...config, url: `mqtt://127.0.0.1:${proxy.port}` }, [base])
      for (const body of ['acked', 'open', 'rejected', 'open too']) await client.send(base, body, { qos })
      const arrivals = await dying.arrived(4)
      await ack(arrivals[0])
      await arrivals[2]?.settle({ kind: 'reject', reason: 'test', letters: [] })
      const [, open, , openToo] = arrivals
      // Mosquitto has the acknowledgements once it sends what was published after them.
      await client.send(base, 'after', { qos })
      const after = (await dying.arrived(5))[4]
      proxy.cut()
      await dying.lost()
      await using next = await MqttRig.open(config, [base])
      await next.arrived(3)
      await client.send(base, 'end', { qos })
      await next.arrived(4)
      expect(next.bodies).toEqual(['open', 'open too', 'after', 'end'])
      expect(next.arrivals.map(({ message }) => message.id).slice(0, 3)).toEqual(
        [open, openToo, after].map((delivery) => delivery?.message.id),
      )
      expect(next.arrivals.map(({ message }) => message.attempt)).toEqual([2, 2, 2, 1])
      expect(next.arrivals[0]?.message.headers['X-Mqtt-Dup']).toBe('true')
    },
  )

  test('a handler far slower than the keep-alive neither reconnects nor doubles', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using rig = await MqttRig.open({ url: `mqtt://127.0.0.1:${proxy.port}`, keepAlive: '1s' }, [base], {
      unsettledMax: 1,
    })
    await client.send(base, 'slow')
    await client.send(base, 'next')
    const [slow] = await rig.arrived(1)
    // Three keep-alive intervals of a real broker, which ends a connection after one and a half.
    const startedAt = performance.now()
    await until(() => performance.now() - startedAt > 3000, 'three seconds pass')
    expect(rig.arrivals).toHaveLength(1)
    await ack(slow)
    await rig.arrived(2)
    expect(rig.bodies).toEqual(['slow', 'next'])
    expect(proxy.accepted).toBe(1)
  })

  test.for([1, 2] as const)(
    'QoS %i: what is in flight over a reconnect is adopted: one invocation, one acknowledgement',
    async (qos) => {
      await using proxy = await startTcpProxy(server.port)
      const config = { url: `mqtt://127.0.0.1:${proxy.port}`, qos, clientId: `adopt-${process.pid}-${qos}` }
      await using rig = await MqttRig.open(config, [base])
      for (const body of ['in flight', 'settled meanwhile']) await client.send(base, body, { qos })
      const [inFlight, meanwhile] = await rig.arrived(2)
      proxy.refuse(true)
      proxy.cut()
      expect((await rig.lost()).code).toBe('HUB_SOURCE_LOST')
      expect(await ack(meanwhile)).toBe('settled')
      proxy.refuse(false)
      await rig.reconnect([base])
      await client.send(base, 'end', { qos })
      await rig.arrived(3)
      expect(rig.bodies).toEqual(['in flight', 'settled meanwhile', 'end'])
      expect(await ack(inFlight)).toBe('settled')
      expect(await ack(rig.arrivals[2])).toBe('settled')
      await rig.source.close()
      await using next = await MqttRig.open({ ...config, url: server.url }, [base])
      await client.send(base, 'only this', { qos })
      await next.arrived(1)
      expect(next.bodies).toEqual(['only this'])
    },
  )

  test('a delivery of a session that the broker has forgotten is stale', async () => {
    await using rig = await MqttRig.open({ url: server.url, clientId: `forgotten-${process.pid}` }, [base])
    await client.send(base, 'lost with its session')
    const [delivery] = await rig.arrived(1)
    await (await publisher(server.url, { clientId: `forgotten-${process.pid}`, clean: true }))[Symbol.asyncDispose]()
    await rig.lost()
    await rig.connect([base])
    expect(await ack(delivery)).toBe('stale')
  })
})

describe('faults', () => {
  test.for([4, 5] as const)(
    'MQTT protocol version %i: twins with one client id are recognised by connections that end again and again',
    async (protocolVersion) => {
      const config = { url: server.url, protocolVersion, clientId: `twin-${process.pid}-${protocolVersion}` }
      await using rig = await MqttRig.open(config, [base])
      for (let round = 1; round <= 3; round++) {
        await using twin = await MqttRig.open(config, [base])
        const error = await rig.lost()
        expect(twin.ending).toBeUndefined()
        expect(error.code).toBe('HUB_SOURCE_LOST')
        expect(error.message.includes(`probably another client took over the session ${config.clientId}`)).toBe(
          round === 3,
        )
        // A quick retry would take the session back.
        expect(error.canRetry).toBe(round < 3)
        if (round < 3) await rig.connect([base])
      }
    },
  )

  test('a half-open connection is noticed by the keep-alive, and nothing is lost', async () => {
    await using proxy = await startTcpProxy(server.port)
    const config = { url: `mqtt://127.0.0.1:${proxy.port}`, keepAlive: '1s', connectTimeout: '2s' }
    await using rig = await MqttRig.open(config, [base])
    proxy.silence(true)
    const error = await rig.lost()
    expect(error.code).toBe('HUB_SOURCE_LOST')
    expect(error.message).toContain('nothing was heard')
    await client.send(base, 'sent meanwhile')
    proxy.cut()
    proxy.silence(false)
    await rig.reconnect([base])
    await rig.arrived(1)
    expect(rig.bodies).toEqual(['sent meanwhile'])
  })

  test('a server that accepts and says nothing is unreachable within the connect timeout', async () => {
    await using proxy = await startTcpProxy(server.port)
    proxy.silence(true)
    await using rig = new MqttRig({ url: `mqtt://127.0.0.1:${proxy.port}`, connectTimeout: '200ms' })
    await expect(rig.source.connect(new AbortController().signal)).rejects.toMatchObject({
      code: 'HUB_SOURCE_UNREACHABLE',
      canRetry: true,
    })
  })

  test.for([1, 2] as const)(
    'QoS %i: a server restarted twice and then killed in mid-stream loses nothing',
    async (qos) => {
      await using own = await startMosquitto({ saveChanges: true })
      await using rig = await MqttRig.open({ url: own.url, qos, clientId: 'survivor' }, ['stream/#'], {
        unsettledMax: WINDOW,
      })
      const sent: string[] = []
      const send = async (count: number): Promise<void> => {
        await using sender = await publisher(own.url)
        for (let event = 0; event < count; event++) {
          sent.push(`event ${sent.length}`)
          await sender.send(`stream/${sent.length % 3}`, sent.at(-1) as string, { qos })
        }
      }
      const all = (): Promise<unknown> => until(() => new Set(rig.bodies).size === sent.length, 'every event arrives')
      for (const round of ['stop', 'stop', 'kill'] as const) {
        rig.ackAll = true
        await send(10)
        await all()
        rig.ackAll = false
        // A clean stop keeps what was not even sent to us; a kill loses what Mosquitto had not saved, whoever asks for it.
        await send(round === 'stop' ? 3 * WINDOW : WINDOW)
        await until(() => new Set(rig.bodies).size >= sent.length - 2 * WINDOW, 'the window is full')
        if (round === 'kill') await all()
        await own[round]()
        await rig.lost()
        for (const delivery of rig.arrivals.slice()) await ack(delivery)
        await own.start()
        rig.ackAll = true
        await rig.reconnect(['stream/#'])
        await all()
      }
      rig.ackAll = true
      await send(5)
      await all()
      expect(new Set(rig.bodies)).toEqual(new Set(sent))
    },
  )
})

test('a probe says what it found and takes nothing from the session, the shared group or the stored messages', async () => {
  const config = { url: server.url, sharedGroup: 'probed', clientId: `probe-${process.pid}` }
  await using rig = await MqttRig.open(config, [base])
  await client.send(`${base}/stored`, 'stored', { retain: true })
  const report = await rig.source.probe([base, `$share/probed/${base}`, `${base}/stored`], new AbortController().signal)
  expect(report.server).toBe(`${server.url}, MQTT 5.0`)
  expect(report.topics.map(({ ok }) => ok)).toEqual([true, true, true])
  for (let event = 0; event < 4; event++) await client.send(base, `event ${event}`)
  await rig.arrived(4)
  expect(rig.bodies).toEqual(['event 0', 'event 1', 'event 2', 'event 3'])
})
