// The NATS source against a real server: what the conformance suite does not ask.

import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { ConsumerInfo, JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import { connect, headers as newHeaders } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { createUserNkey } from '../../test/servers/nats-nkey.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { createCertificates, noCertificates } from '../../test/servers/tls.ts'
import { SourceRig, ack, until } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import type { Delivery, TopicBacklog } from '../../src/sdk/index.ts'
import connector from './connector.ts'
import { consumerName } from './subjects.ts'

const missing = await noNats()
let server: NatsServer
let client: NatsConnection
let manager: JetStreamManager
let stream: JetStreamClient
let tests = 0
let base = ''

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats()
  client = await connect({ servers: server.url, reconnect: false })
  manager = await jetstreamManager(client)
  stream = jetstream(client)
})
afterAll(async () => {
  await client?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach(async (context) => {
  if (missing !== undefined) context.skip(missing)
  base = `t${(tests += 1)}`
  await manager.streams.add({ name: base, subjects: [`${base}.>`] })
})

const rig = (config: Readonly<Record<string, unknown>> = {}, options: RigOptions = {}): SourceRig =>
  new SourceRig(connector, { servers: [server.url], durable: base, ...config }, options)

/** Not delivered, or not settled. */
const pendingOf = async (subject: string): Promise<number> => {
  const info = await manager.consumers.info(base, consumerName(base, subject))
  return info.num_pending + info.num_ack_pending
}

describe('what is read', () => {
  test('a message has its place, its headers and its time', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.*.created`])
    const headers = newHeaders()
    headers.set('Trace', 'abc')
    headers.append('Trace', 'def')
    headers.set('Nats-Msg-Id', 'unique')
    headers.set('Content-Type', 'application/json')
    await stream.publish(`${base}.42.created`, '{}', { headers })
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({
      id: `nats:${base}:1`,
      topic: `${base}.42.created`,
      orderingKey: '42',
      attempt: 1,
      contentType: 'application/json',
      headers: {
        'X-Nats-Stream': base,
        'X-Nats-Sequence': '1',
        'X-Nats-Delivered': '1',
        'X-Nats-Trace': 'abc, def',
        'X-Nats-Msg-Id': 'unique',
      },
    })
    expect(Math.abs((delivery?.message.timestampMs ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  test('overlapping subjects bring a message once', async () => {
    await using source = await rig().opened([`${base}.a.*`, `${base}.*.b`, `${base}.a.b`])
    source.ackAll = true
    for (let count = 0; count < 50; count++) await stream.publish(`${base}.a.b`, `${count}`)
    await stream.publish(`${base}.a.c`, 'last')
    await until(() => source.bodies.includes('last'), 'the last arrives')
    const pending = async (): Promise<number> => {
      const infos = await Promise.all([`${base}.a.*`, `${base}.*.b`].map((one) => manager.consumers.info(base, consumerName(base, one)))) // prettier-ignore
      return infos.reduce((sum, info) => sum + info.num_pending + info.num_ack_pending, 0)
    }
    await expect.poll(pending).toBe(0)
    expect(source.bodies).toHaveLength(51)
    // Covered by another filter: no consumer of its own.
    await expect(manager.consumers.info(base, consumerName(base, `${base}.a.b`))).rejects.toThrow('consumer not found')
  })

  test('deliver: new begins with what comes, all with what is there; both keep their place', async () => {
    await stream.publish(`${base}.x`, 'before')
    {
      await using later = await rig({ durable: `${base}-new`, deliver: 'new' }).opened([`${base}.x`])
      await stream.publish(`${base}.x`, 'after')
      await later.arrived(1)
      expect(later.bodies).toEqual(['after'])
      await ack(later.arrivals[0])
    }
    await stream.publish(`${base}.x`, 'while away')
    await using again = await rig({ durable: `${base}-new`, deliver: 'new' }).opened([`${base}.x`])
    await again.arrived(1)
    expect(again.bodies).toEqual(['while away'])
    await using all = await rig().opened([`${base}.x`])
    await all.arrived(3)
    expect(all.bodies).toEqual(['before', 'after', 'while away'])
  })

  test('a subject without a stream is named with the command that makes one; the others work', async () => {
    await using source = await rig().opened([`${base}.x`, 'nowhere.x'])
    expect(source.log.lines.join('\n')).toContain('no stream has the subject nowhere.x')
    expect(source.log.lines.join('\n')).toContain('nats stream add EVENTS --subjects')
    await stream.publish(`${base}.x`, 'fine')
    await source.arrived(1)
    await expect(rig().opened(['nowhere.x'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      hint: expect.stringContaining('createStream: true') as string,
    })
    const { topics } = await source.source.probe([`${base}.x`, 'nowhere.x'], new AbortController().signal)
    expect(topics.map(({ ok }) => ok)).toEqual([true, false])
  })

  test('a stream that is made later is found: of a subject that had none, and a second one of a filter', async () => {
    const clock = new ManualClock()
    await using source = await rig({}, { clock }).opened([`${base}.x`, `late-${base}.x`, '*.second'])
    await manager.streams.add({ name: `late-${base}`, subjects: [`late-${base}.>`] })
    await stream.publish(`late-${base}.x`, 'of a new stream')
    await stream.publish(`late-${base}.second`, 'of another new stream')
    await clock.advance(30_000)
    await source.arrived(2)
    expect(source.bodies.toSorted()).toEqual(['of a new stream', 'of another new stream'])
    expect(source.log.lines.filter((line) => line.includes('nats.found'))).toHaveLength(2)
  })

  test('a consumer is asked for no more than its limits allow', async () => {
    const durable = consumerName(base, `${base}.x`)
    await manager.consumers.add(base, { durable_name: durable, filter_subject: `${base}.x`, ack_policy: 'explicit', max_batch: 2, max_expires: 5_000_000_000 }) // prettier-ignore
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    for (const body of ['1', '2', '3']) await stream.publish(`${base}.x`, body)
    await source.arrived(3)
    expect(source.bodies).toEqual(['1', '2', '3'])
  })

  test('a consumer that cannot be pulled from for long is said to be', async () => {
    const clock = new ManualClock()
    await using source = await rig({}, { clock, unsettledMax: 2 }).opened([`${base}.x`])
    await expect.poll(async () => (await manager.consumers.info(base, consumerName(base, `${base}.x`))).num_waiting).toBe(1) // prettier-ignore
    await manager.consumers.update(base, consumerName(base, `${base}.x`), { max_batch: 1 })
    source.ackAll = true
    for (const body of ['1', '2']) await stream.publish(`${base}.x`, body)
    const warned = (): Promise<string | undefined> => clock.advance(1000).then(() => source.log.lines.find((line) => line.includes('nothing can be pulled'))) // prettier-ignore
    await expect.poll(warned, { timeout: 30_000 }).toContain('exceeded maxrequestbatch of 1')
  })

  test('createStream makes what is missing', async () => {
    await using source = await rig({ createStream: true }).opened([`made-${base}.x`])
    await stream.publish(`made-${base}.x`, 'stored')
    await source.arrived(1)
    expect(source.bodies).toEqual(['stored'])
  })

  test('a stream that is named is created with all subjects; one of somebody else is not changed', async () => {
    const own = { stream: `made-${base}`, createStream: true }
    await using source = await rig(own).opened([`made-${base}.x`, `made-${base}.y`])
    await stream.publish(`made-${base}.y`, 'stored')
    await source.arrived(1)
    expect((await manager.streams.info(`made-${base}`)).config.subjects).toEqual([`made-${base}.x`, `made-${base}.y`])
    const other = { stream: base, createStream: true }
    await expect(rig(other).opened([`other-${base}.x`])).rejects.toMatchObject({
      message: expect.stringContaining(`the stream ${base} does not have the subject other-${base}.x`) as string,
      hint: `Add it: nats stream edit ${base} --subjects "${base}.>,other-${base}.x".`,
    })
    await expect(rig({ stream: 'NONE' }).opened(['none.x'])).rejects.toMatchObject({
      hint: 'Create it: nats stream add NONE --subjects "none.x" --defaults. Or set createStream: true.',
    })
  })

  test('topics of the configuration replace those of the annotations', async () => {
    await using source = await rig({ topics: [`${base}.x`] }).opened([`${base}.y`])
    source.ackAll = true
    for (const subject of ['y', 'x']) await stream.publish(`${base}.${subject}`, subject)
    await source.arrived(1)
    expect(source.bodies).toEqual(['x'])
  })

  test('a consumer of somebody else keeps its settings but for the wait', async () => {
    const name = consumerName(base, `${base}.x`)
    await manager.consumers.add(base, { durable_name: name, filter_subject: `${base}.x`, ack_policy: 'explicit', deliver_policy: DeliverPolicy.All, max_deliver: 7 }) // prettier-ignore
    await using source = await rig({ ackWait: '7s' }).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'x')
    await source.arrived(1)
    const { config } = await manager.consumers.info(base, name)
    expect([config.ack_wait, config.max_deliver]).toEqual([7_000_000_000, 7])
  })
})

describe('settling', () => {
  test('what waits behind slow functions is not delivered again, nor to a replica', async () => {
    await using busy = await rig({ ackWait: '1s' }, { unsettledMax: 2 }).opened([`${base}.x`])
    for (let event = 0; event < 4; event++) await stream.publish(`${base}.x`, `${event}`)
    await busy.arrived(2)
    const since = Date.now()
    await expect.poll(() => Date.now() - since, { interval: 200 }).toBeGreaterThan(2500)
    const { num_redelivered, num_ack_pending } = await manager.consumers.info(base, consumerName(base, `${base}.x`))
    expect([num_redelivered, num_ack_pending]).toEqual([0, 2])
    busy.ackAll = true
    await Promise.all(busy.arrivals.map(ack))
    await busy.arrived(4)
    expect(busy.arrivals.map(({ message }) => message.attempt)).toEqual([1, 1, 1, 1])
  })

  test('a reader that leaves: what it has not seen goes back at once, what it has can still be settled', async () => {
    const abort = new AbortController()
    await using source = rig()
    await source.source.connect(abort.signal)
    await source.subscribe([`${base}.x`])
    const reader = source.source.deliveries(abort.signal)[Symbol.asyncIterator]()
    for (const body of ['seen', 'not seen']) await stream.publish(`${base}.x`, body)
    const { value: seen } = (await reader.next()) as IteratorYieldResult<Delivery>
    const info = (): Promise<ConsumerInfo> => manager.consumers.info(base, consumerName(base, `${base}.x`))
    await expect.poll(async () => (await info()).num_ack_pending).toBe(2)
    await reader.return?.()
    await using other = await rig().opened([`${base}.x`])
    await other.arrived(1)
    expect(other.bodies).toEqual(['not seen'])
    await ack(other.arrivals[0])
    expect(await ack(seen)).toBe('settled')
    await expect.poll(async () => (await info()).num_ack_pending).toBe(0)
  })

  test('a held message is not delivered again, however long it takes', async () => {
    await using source = await rig({ ackWait: '1s' }).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'slow')
    const [delivery] = await source.arrived(1)
    // Two waits of the server; the condition is the server's own count.
    const name = consumerName(base, `${base}.x`)
    const since = Date.now()
    await expect.poll(() => Date.now() - since, { interval: 200 }).toBeGreaterThan(2500)
    const info = await manager.consumers.info(base, name)
    expect([info.num_redelivered, info.num_ack_pending]).toEqual([0, 1])
    expect(await ack(delivery)).toBe('settled')
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(0)
  })

  test('a rejected message is terminated and told why', async () => {
    const advisories: string[] = []
    const subscription = client.subscribe('$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>', {
      callback: (_, message) => void advisories.push(message.string()),
    })
    await using source = await rig().opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'bad')
    const [delivery] = await source.arrived(1)
    expect(await delivery?.settle({ kind: 'reject', reason: 'answered 400', letters: [] })).toBe('settled')
    await until(() => advisories.length > 0, 'the server tells of it')
    subscription.unsubscribe()
    expect(advisories[0]).toContain('answered 400')
  })

  test('what is settled while the connection is lost is told over the next one, and does not come again', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using source = await rig({ servers: [`nats://127.0.0.1:${proxy.port}`] }).opened([`${base}.x`])
    for (const body of ['settled in between', 'settled later', 'terminated']) await stream.publish(`${base}.x`, body)
    const [first, second, third] = await source.arrived(3)
    proxy.cut()
    expect((await source.lost()).code).toBe('HUB_SOURCE_LOST')
    expect(await ack(first)).toBe('settled')
    expect(await third?.settle({ kind: 'reject', reason: 'answered 400', letters: [] })).toBe('settled')
    expect(await pendingOf(`${base}.x`)).toBe(3)
    await source.reconnect([`${base}.x`])
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(1)
    expect(await ack(second)).toBe('settled')
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(0)
    expect(source.arrivals).toHaveLength(3)
  })

  test('a retry that the server could not be told of is stale, and comes again after ackWait', async () => {
    await using proxy = await startTcpProxy(server.port)
    const config = { servers: [`nats://127.0.0.1:${proxy.port}`], ackWait: '1s' }
    await using source = await rig(config).opened([`${base}.x`])
    await stream.publish(`${base}.x`, 'once more')
    const [first] = await source.arrived(1)
    proxy.cut()
    await source.lost()
    expect(await first?.settle({ kind: 'retry', delayMs: 0, reason: 'a test' })).toBe('stale')
    await source.reconnect([`${base}.x`])
    const [, again] = await source.arrived(2)
    expect(again?.message).toMatchObject({ id: first?.message.id, attempt: 2 })
    expect(await ack(again)).toBe('settled')
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(0)
  })

  test('what was not read when the connection was lost is read from the next one, in order and once', async () => {
    await using proxy = await startTcpProxy(server.port)
    const config = { servers: [`nats://127.0.0.1:${proxy.port}`], orderingToken: 1 }
    await using source = await rig(config, { unsettledMax: 4 }).opened([`${base}.x`])
    const bodies = Array.from({ length: 40 }, (_, index) => `${index}`)
    for (const body of bodies) await stream.publish(`${base}.x`, body)
    await source.arrived(4)
    proxy.cut()
    await source.lost()
    source.ackAll = true
    await source.reconnect([`${base}.x`])
    await Promise.all(source.arrivals.slice(0, 4).map(ack))
    await source.arrived(40)
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(0)
    expect(source.bodies).toEqual(bodies)
  })

  test('a stream that is made anew counts from 1 again, and none of it is taken for settled', async () => {
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await stream.publish(`${base}.x`, 'of the first stream')
    await source.arrived(1)
    await expect.poll(() => pendingOf(`${base}.x`)).toBe(0)
    await manager.streams.delete(base)
    await source.lost()
    await manager.streams.add({ name: base, subjects: [`${base}.>`] })
    await source.reconnect([`${base}.x`])
    await stream.publish(`${base}.x`, 'of the second')
    await source.arrived(2)
    expect(source.bodies).toEqual(['of the first stream', 'of the second'])
    expect(source.arrivals.map(({ message }) => message.headers['X-Nats-Sequence'])).toEqual(['1', '1'])
  })

  test('a consumer that is deleted ends the connection, which makes it anew', async () => {
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await stream.publish(`${base}.x`, 'it is being read')
    await source.arrived(1)
    await manager.consumers.delete(base, consumerName(base, `${base}.x`))
    expect((await source.lost()).message).toContain(consumerName(base, `${base}.x`))
    await source.reconnect([`${base}.x`])
    await stream.publish(`${base}.x`, 'anew')
    await until(() => source.bodies.includes('anew'), 'the new consumer reads')
  })
})

describe('order', () => {
  test('what is given back at a stop comes again in its order, what was seen before what was not', async () => {
    for (let event = 0; event < 9; event++) await stream.publish(`${base}.key`, `${event}`)
    const config = { orderingToken: 2, ackWait: '1s' }
    const subject = `${base}.key`
    {
      const abort = new AbortController()
      await using stopped = rig(config, { unsettledMax: 6 })
      await stopped.source.connect(abort.signal)
      await stopped.subscribe([subject])
      const reader = stopped.source.deliveries(abort.signal)[Symbol.asyncIterator]()
      const pulled = [await reader.next(), await reader.next(), await reader.next()]
      await expect.poll(async () => (await manager.consumers.info(base, consumerName(base, subject))).num_ack_pending).toBe(6) // prettier-ignore
      await reader.return?.()
      // The drain of the hub: the first is done, the others are left to the server.
      expect(await ack(pulled[0]?.value as Delivery)).toBe('settled')
    }
    await using next = await rig(config).opened([subject])
    next.ackAll = true
    await next.arrived(8)
    expect(next.bodies).toEqual(['1', '2', '3', '4', '5', '6', '7', '8'])
  })

  test('after a crash what the dead instance held comes first, where something orders it', async () => {
    const config = { orderingToken: 2, ackWait: '1s' }
    for (let event = 0; event < 6; event++) await stream.publish(`${base}.key`, `${event}`)
    const subject = `${base}.key`
    {
      await using first = await rig(config, { unsettledMax: 3 }).opened([subject])
      await first.arrived(3)
      const consumer = await stream.consumers.get(base, consumerName(base, subject))
      await first.source.close()
      // Taken by somebody who says nothing more: 0, 1 and 2.
      const taken = await consumer.fetch({ max_messages: 3, expires: 5000 })
      for await (const _ of taken) continue
    }
    await using next = await rig(config).opened([subject])
    next.ackAll = true
    await next.arrived(6)
    expect(next.bodies).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(next.log.lines.join('\n')).toContain('3 messages are out with another instance')
  })
})

test('the backlog is what the consumer has not delivered and what is not settled', async () => {
  const clock = new ManualClock(Date.now())
  await using source = await rig({}, { unsettledMax: 2, clock }).opened([`${base}.x`, `${base}.y`])
  expect(source.source.backlog?.()).toEqual([])
  for (let event = 0; event < 5; event++) await stream.publish(`${base}.x`, `${event}`)
  await source.arrived(2)
  // Asked for at an interval, so that reading it costs nothing.
  await clock.advance(5000)
  const read = (): readonly TopicBacklog[] => source.source.backlog?.() ?? []
  await until(() => read().length === 2, 'the server has been asked')
  expect(read().map(({ topic, waiting, unsettled }) => [topic, waiting + unsettled])).toEqual([[`${base}.x`, 5], [`${base}.y`, 0]]) // prettier-ignore
  const [first, second] = read()
  expect(first?.oldestUnsettledMs).toBe(source.arrivals[0]?.message.timestampMs)
  expect([first?.oldestWaitingMs, second?.oldestUnsettledMs]).toEqual([undefined, undefined])
})

describe('logging in', () => {
  const expectRefusal = async (config: Readonly<Record<string, unknown>>, expected: string): Promise<void> => {
    await using source = rig(config)
    const error = await source.refused()
    expect([error.code, error.canRetry]).toEqual([expected, expected === 'HUB_SOURCE_UNREACHABLE'])
    expect(`${error.message} ${error.hint}`).not.toMatch(/wrong-secret|SUA/)
  }
  const expectLogin = async (url: string, config: Readonly<Record<string, unknown>>): Promise<void> => {
    await using source = await rig({ servers: [url], createStream: true, ...config }).opened(['login.x'])
    expect(source.ending).toBeUndefined()
  }

  test('with a token', async () => {
    await using own = await startNats({ credentials: { token: 'right-token' } })
    await expectLogin(own.url, { token: 'right-token' })
    await expectRefusal({ servers: [own.url], token: 'wrong-secret' }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ servers: [own.url] }, 'HUB_SOURCE_AUTH')
  })

  test('with an NKey', async () => {
    const nkey = createUserNkey()
    await using own = await startNats({ credentials: { nkey } })
    await expectLogin(own.url, { nkeySeed: nkey.seed })
    await expectRefusal({ servers: [own.url], nkeySeed: createUserNkey().seed }, 'HUB_SOURCE_AUTH')
    await expectRefusal({ servers: [own.url], nkeySeed: 'no seed' }, 'HUB_SOURCE_AUTH')
  })

  test('nobody there, and a server that is no NATS server', async () => {
    await expectRefusal({ servers: ['nats://127.0.0.1:1'] }, 'HUB_SOURCE_UNREACHABLE')
    await using proxy = await startTcpProxy(server.port)
    proxy.silence(true)
    await expectRefusal(
      { servers: [`nats://127.0.0.1:${proxy.port}`], connectTimeout: '300ms' },
      'HUB_SOURCE_UNREACHABLE',
    )
  })

  test('JetStream that is off is named', async () => {
    await using own = await startNats({ jetStream: false })
    await using source = rig({ servers: [own.url], connectTimeout: '2s' })
    const error = await source.refused()
    expect(error.code).toBe('HUB_SOURCE_PROTOCOL')
    expect(error.hint).toContain('nats-server -js')
  })

  test('with TLS and a client certificate; what is wrong is HUB_SOURCE_TLS', async (context) => {
    const why = noCertificates()
    if (why !== undefined) return context.skip(why)
    using files = createCertificates()
    await using own = await startNats({ tls: { ...files, requireClient: true } })
    const pair = { certFile: files.clientCertFile, keyFile: files.clientKeyFile }
    await expectLogin(own.url, { tls: { caFile: files.caFile, ...pair } })
    for (const tls of [{ caFile: files.otherCaFile, ...pair }, pair, { caFile: '/nonexistent/ca.pem' }])
      await expectRefusal({ servers: [own.url], tls }, 'HUB_SOURCE_TLS')
    await expectRefusal({ servers: [server.url.replace('nats:', 'tls:')] }, 'HUB_SOURCE_TLS')
  })
})

test.for([
  [{ username: 'a', token: 'b' }, 'username and token, which are different ways to log in'],
  [{ servers: [] }, 'servers is empty'],
  [{ tls: { certFile: '/a.pem' } }, 'certFile and keyFile, which belong together'],
  [{ durable: 'has.dots' }, 'must be letters'],
  [{ topics: [] }, 'topics is empty'],
  [{ topics: ['orders.>.x'] }, 'topics holds orders.>.x: > must be the last level'],
  [{ queueGroup: 'a b' }, 'must not contain white space'],
] as const)('%j is refused', ([config, expected]) => {
  expect(() => rig(config)).toThrow(expected)
})
