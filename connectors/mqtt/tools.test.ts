// The tools against a real Mosquitto and the embedded broker: a look takes nothing and leaves nothing, and test events arrive as
// written.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connect } from 'mqtt'
import type { IConnackPacket } from 'mqtt-packet'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { Emitter, EventMessage, OutgoingEvent, Tools } from '../../src/sdk/index.ts'
import { noMosquitto, startMosquitto } from '../../test/servers/mosquitto.ts'
import type { MosquittoServer } from '../../test/servers/mosquitto.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'
import startEmbedded from './embedded.ts'
import { MqttRig, publisher } from './rig.ts'
import type { Publisher } from './rig.ts'

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
  base = `tools/${(topics += 1)}`
})

type Config = Readonly<Record<string, unknown>>
const tools = (config: Config = {}): Promise<Tools> => toolsOf(connector, { url: server.url, ...config })
const look = async (filters: readonly string[], config?: Config): Promise<Look> => Look.open(await tools(config), filters) // prettier-ignore
const emitter = async (config?: Config): Promise<Emitter> => {
  const opened = await (await tools(config)).emitter?.(new AbortController().signal)
  if (opened === undefined) throw new Error('nothing can be published')
  return opened
}
const event = (topic: string, more: Partial<OutgoingEvent> = {}): OutgoingEvent => ({ topic, body: Buffer.from('{}'), headers: {}, ...more }) // prettier-ignore
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`)

/** Field by field, but for what another session has another value of. */
const fieldsOf = ({ body, id, headers, timestampMs, ...rest }: EventMessage): unknown => ({
  ...rest,
  headers: { ...headers, 'X-Mqtt-Packet-Id': headers['X-Mqtt-Packet-Id'] === undefined ? undefined : 'a number' },
  body: Buffer.from(body).toString('hex'),
  id: id.replace(/[#@].*/, ''),
  isNow: Math.abs(timestampMs - Date.now()) < 60_000,
})

describe('a look', () => {
  test.for([
    [5, 0],
    [5, 1],
    [5, 2],
    [4, 1],
  ] as const)(
    'MQTT protocol version %i, QoS %i: sees what a hub gets, which gets all of it',
    async ([protocolVersion, qos]) => {
      // prettier-ignore
      const config = { protocolVersion, qos }
      await using rig = await MqttRig.open({ url: server.url, ...config }, [`${base}/#`])
      await using open = await look([`${base}/#`], config)
      const properties = {
        contentType: 'text/csv',
        userProperties: { trace: 'abc', umlaut: 'grün' },
        responseTopic: 'r',
      }
      await client.send(`${base}/x`, Buffer.from([0, 255]), { qos: 2, properties })
      await client.send(`${base}/y`, '', { qos: 2 })
      for (const body of numbers(20)) await client.send(`${base}/z`, body, { qos: 1 })
      await Promise.all([rig.arrived(22), open.saw(22)])
      expect(open.seen.map(fieldsOf)).toEqual(rig.arrivals.map(({ message }) => fieldsOf(message)))
      expect(rig.ending).toBeUndefined()
    },
  )

  test('what waits for the hub is not seen and stays, and that is what it says', async () => {
    const config = { url: server.url, clientId: `away-${process.pid}` }
    await (await MqttRig.open(config, [base]))[Symbol.asyncDispose]()
    for (const body of ['waits', 'waits, too']) await client.send(base, body)
    await using open = await look([base], config)
    expect(open.caution).toMatch(/^Only what is published from now on is seen, and what is stored \(retained\)/)
    expect(open.caution).toContain(`What the broker keeps for the session ${config.clientId} cannot be looked at.`)
    await client.send(base, 'new')
    await open.saw(1)
    expect(open.bodies).toEqual(['new'])
    await using rig = await MqttRig.open(config, [base])
    await rig.arrived(3)
    expect(rig.bodies).toEqual(['waits', 'waits, too', 'new'])
    expect(rig.arrivals.map(({ message }) => message.attempt)).toEqual([1, 1, 1])
  })

  test('it speaks of what is kept only where something is', async () => {
    for (const [config, isKept, isStored] of [
      [{ clean: true }, false, true],
      [{ qos: 0 }, false, true],
      [{ sharedGroup: 'g', clientId: 'c' }, true, false],
    ] as const) {
      await using open = await look([base], config)
      expect(open.caution?.includes('cannot be looked at')).toBe(isKept)
      expect(open.caution?.includes('stored (retained)')).toBe(isStored)
    }
  })

  test.for([4, 5])(
    'MQTT protocol version %i: a shared group gets every event, and a look copies of all',
    async (protocolVersion) => {
      // prettier-ignore
      const group = { url: server.url, sharedGroup: 'group', protocolVersion }
      await using one = await MqttRig.open(group, [`${base}/+`])
      await using two = await MqttRig.open(group, [`${base}/+`])
      one.ackAll = two.ackAll = true
      await client.send(`${base}/x`, 'stored', { retain: true })
      await Promise.race([one.arrived(1), two.arrived(1)])
      // Not for shared subscriptions (MQTT 5.0 §4.8.2).
      await using open = await look([`${base}/+`], { ...group, clientId: 'not taken' })
      for (const body of numbers(40)) await client.send(`${base}/x`, body)
      await open.saw(40)
      expect(open.bodies).toEqual(numbers(40))
      const all = (): string[] => [...one.bodies, ...two.bodies].toSorted((left, right) => Number(left) - Number(right))
      await expect.poll(() => all().length).toBe(41)
      expect(new Set(all())).toEqual(new Set(['stored', ...numbers(40)]))
      await client.send(`${base}/x`, '', { retain: true })
    },
  )

  test('a stored message is seen as a new subscriber gets it, and stays', async () => {
    await client.send(base, 'stored', { retain: true })
    for (let count = 0; count < 2; count++) {
      await using open = await look([base])
      await open.saw(1)
      expect([open.bodies, open.seen[0]?.headers['X-Mqtt-Retain']]).toEqual([['stored'], 'true'])
    }
    await client.send(base, '', { retain: true })
  })

  test('overlapping filters show an event once', async () => {
    await using open = await look([`${base}/+/c`, `${base}/b/+`, `$share/g/${base}/b/c`])
    for (const body of ['on', 'on', 'off']) await client.send(`${base}/b/c`, body)
    await client.send(`${base}/b/end`, 'end')
    await open.saw(4)
    expect(open.bodies).toEqual(['on', 'on', 'off', 'end'])
  })

  test('configured topics and channel keys are those of the hub', async () => {
    await using open = await look(['ignored'], { topics: [`${base}/#`], trimChannelKey: true })
    await client.send(`${base}/x`, 'x')
    await open.saw(1)
    expect(open.seen[0]?.topic).toBe(`${base.slice(base.indexOf('/') + 1)}/x`)
  })

  test('no session is left at the broker', async () => {
    const open = await look([base])
    const clientId = /client (connector-hub-peek-\w+)/.exec(open.means)?.[1]
    expect(clientId).toBeDefined()
    await client.send(base, 'seen')
    await open.saw(1)
    await open[Symbol.asyncDispose]()
    await client.send(base, 'not kept')
    const present = await new Promise<boolean>((resolve, reject) => {
      const again = connect(server.url, { clientId: clientId as string, clean: false, protocolVersion: 5, reconnectPeriod: 0 }) // prettier-ignore
      again.once('connect', ({ sessionPresent }: IConnackPacket) => again.end(true, {}, () => resolve(sessionPresent)))
      again.once('error', reject)
    })
    expect(present).toBe(false)
  })

  test('a connection that is lost ends it with an error; one that is left ends without', async () => {
    await using proxy = await startTcpProxy(server.port)
    const open = async (url: string, signal: AbortSignal): Promise<AsyncIterator<EventMessage>> => {
      const peek = await (await tools({ url })).peek([{ kind: 'topic', topic: base }], signal)
      return peek.events()[Symbol.asyncIterator]()
    }
    const lost = (await open(`mqtt://127.0.0.1:${proxy.port}`, new AbortController().signal)).next()
    proxy.cut()
    await expect(lost).rejects.toMatchObject({ code: 'HUB_SOURCE_LOST' })
    const abort = new AbortController()
    const left = (await open(server.url, abort.signal)).next()
    abort.abort()
    expect((await left).done).toBe(true)
  })
})

describe('a test event', () => {
  test.for([0, 1, 2] as const)('MQTT 5, QoS %i: arrives with headers and content type, many in order', async (qos) => {
    await using rig = await MqttRig.open({ url: server.url, qos }, [`${base}/#`])
    rig.ackAll = true
    await using out = await emitter({ qos })
    expect(out.place).toBe(`MQTT 5.0 with QoS ${qos} at ${server.url}`)
    const more = { headers: { trace: 'abc', umlaut: 'grün' }, contentType: 'text/csv' }
    const confirmation = ['sent (QoS 0 is not confirmed)', 'PUBACK', 'PUBCOMP'][qos]
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    expect(await out.emit(event(`${base}/x`, { ...more, body: bytes }))).toBe(`${base}/x, ${confirmation}`)
    const sent = numbers(300)
    await Promise.all(sent.map((body) => out.emit(event(`${base}/x`, { body: Buffer.from(body) }))))
    await rig.arrived(301)
    const [first] = rig.arrivals
    expect(Buffer.compare(Buffer.from(first?.message.body ?? []), bytes)).toBe(0)
    expect(first?.message).toMatchObject({
      topic: `${base}/x`,
      contentType: 'text/csv',
      headers: { trace: 'abc', umlaut: 'Z3LDvG4=', 'X-Mqtt-Qos': `${qos}`, 'X-Mqtt-Retain': 'false' },
    })
    expect(rig.bodies.slice(1)).toEqual(sent)
  })

  test('MQTT 3.1.1: arrives, and cannot have headers or a content type', async () => {
    await using rig = await MqttRig.open({ url: server.url, protocolVersion: 4 }, [base])
    await using out = await emitter({ protocolVersion: 4 })
    expect(await out.emit(event(base))).toBe(`${base}, PUBACK, which MQTT 3.1.1 sends for what is refused, too`)
    await rig.arrived(1)
    for (const more of [{ headers: { a: 'b' } }, { contentType: 'text/csv' }])
      await expect(out.emit(event(base, more))).rejects.toMatchObject({
        code: 'HUB_USAGE',
        hint: expect.stringContaining('protocolVersion: 5') as string,
      })
  })

  test('that nobody is subscribed to is confirmed, and it says so', async () => {
    await using out = await emitter()
    expect(await out.emit(event(base))).toBe(`${base}, PUBACK: nobody is subscribed to it`)
  })

  test.for([
    ['a topic for many', () => event(`${base}/+`), 'stands for many topics'],
    ['half a wildcard', () => event(`${base}/a+`), 'must stand alone'],
    ['no topic', () => event(''), 'must not be empty'],
    ['a shared subscription', () => event(`$share/g/${base}`), 'not a topic to publish to'],
    ['a topic of the broker', () => event('$SYS/broker'), 'not a topic to publish to'],
    ['a key', () => event(base, { key: 'k' }), 'MQTT has no keys'],
    ['a header of two lines', () => event(base, { headers: { a: 'b\nc' } }), 'the header "a"'],
    ['a header that is no text', () => event(base, { headers: { a: '\ud800' } }), 'the header "a"'],
    ['a header that is too long', () => event(base, { headers: { a: 'b'.repeat(65_536) } }), 'the header "a"'],
    ['a content type of two lines', () => event(base, { contentType: 'a\nb' }), 'printable ASCII'],
  ] as const)('that MQTT cannot carry is refused, and what comes after it is not: %s', async ([, make, text]) => {
    await using out = await emitter()
    const error: unknown = await out.emit(make()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining(text) as string })
    expect((error as { hint: string }).hint).not.toContain('connector-hub --help')
    expect(await out.emit(event(base))).toContain('PUBACK')
  })

  test('gets the channel key of the filter that brings it, and is refused where none does', async () => {
    const config = { topics: ['k1/sensors/#', '+/any/x', '$share/g/k2/doors/+'], trimChannelKey: true }
    await using rig = await MqttRig.open({ url: server.url, ...config }, [])
    await using out = await emitter(config)
    expect(await out.emit(event('sensors/1'))).toBe('sensors/1, PUBACK')
    expect(await out.emit(event('k1/sensors/2'))).toBe('k1/sensors/2, PUBACK')
    expect(await out.emit(event('doors/3'))).toBe('doors/3, PUBACK')
    expect(await out.emit(event('k9/any/x'))).toBe('k9/any/x, PUBACK')
    await rig.arrived(4)
    expect(rig.arrivals.map(({ message }) => message.topic)).toEqual(['sensors/1', 'sensors/2', 'doors/3', 'any/x'])
    for (const topic of ['windows/1', 'any/x'])
      await expect(out.emit(event(topic))).rejects.toMatchObject({
        code: 'HUB_USAGE',
        message: expect.not.stringMatching(/k1|k2/) as string,
      })
  })

  test('that the ACL of the broker does not allow: MQTT 5 says so, MQTT 3.1.1 cannot', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hub-mosquitto-acl-'))
    try {
      const file = join(folder, 'acl')
      writeFileSync(file, 'topic readwrite allowed/#\n', { mode: 0o600 })
      // With no limit of its queue Mosquitto 2.0 ends a connection whose message it refused.
      await using strict = await startMosquitto({ config: [`acl_file ${file}`, 'max_queued_messages 1000'] })
      for (const qos of [1, 2]) {
        await using out = await emitter({ url: strict.url, qos })
        await expect(out.emit(event('denied/x'))).rejects.toMatchObject({
          code: 'HUB_EMIT_FAILED',
          message: expect.stringContaining('not authorized (0x87') as string,
          hint: expect.stringContaining('ACL') as string,
        })
        expect(await out.emit(event('allowed/x'))).toMatch(/^allowed\/x, PUB/)
      }
      await using old = await emitter({ url: strict.url, protocolVersion: 4 })
      expect(await old.emit(event('denied/x'))).toContain('sends for what is refused, too')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('on a connection that breaks is not confirmed, and may be there; later ones fail at once', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using out = await emitter({ url: `mqtt://127.0.0.1:${proxy.port}` })
    await out.emit(event(base))
    proxy.silence(true)
    const unconfirmed = out.emit(event(base))
    proxy.cut()
    await expect(unconfirmed).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      canRetry: true,
      message: expect.stringContaining('it may be there all the same') as string,
    })
    await expect(out.emit(event(base))).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      message: expect.stringContaining('nothing was sent') as string,
    })
  })
})

test('with the embedded broker of `dev`', async () => {
  await using broker = await startEmbedded({ port: 0 })
  await using rig = await MqttRig.open(broker.config, ['dev/#'], { unsettledMax: 64 })
  const open = await look(['dev/#'], broker.config)
  await using out = await emitter(broker.config)
  for (const body of numbers(50)) expect(await out.emit(event('dev/x', { body: Buffer.from(body) }))).toContain('dev/x, PUBACK') // prettier-ignore
  await Promise.all([rig.arrived(50), open.saw(50)])
  expect([open.bodies, rig.bodies]).toEqual([numbers(50), numbers(50)])
  await open[Symbol.asyncDispose]()
})
