// The tools in JetStream, against a real server: a look takes nothing and leaves nothing, and test events arrive as written.

import { RetentionPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { ConsumerInfo, JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import { connect, headers as newHeaders } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { SourceRig, ack } from '../../test/source-rig.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import type { Emitter, EventMessage, OutgoingEvent, Tools } from '../../src/sdk/index.ts'
import connector from './connector.ts'
import { consumerName } from './subjects.ts'

const missing = await noNats()
const MAX_PAYLOAD = 100_000
let server: NatsServer
let client: NatsConnection
let manager: JetStreamManager
let stream: JetStreamClient
let tests = 0
let base = ''

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats({ config: [`max_payload: ${MAX_PAYLOAD}`] })
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

type Config = Readonly<Record<string, unknown>>
const configOf = (config: Config): Config => ({ servers: [server.url], durable: base, ...config })
const rig = (config: Config = {}): SourceRig => new SourceRig(connector, configOf(config))
const tools = (config: Config = {}, log?: LogRecord): Promise<Tools> => toolsOf(connector, configOf(config), log === undefined ? {} : { log }) // prettier-ignore
const look = async (topics: readonly string[], config: Config = {}): Promise<Look> => Look.open(await tools(config), topics) // prettier-ignore
const publish = async (subject: string, ...bodies: string[]): Promise<void> => {
  for (const body of bodies) await stream.publish(subject, body)
}
const consumers = (): Promise<ConsumerInfo[]> => all(manager.consumers.list(base))
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}
/** Field by field, with bodies that compare by their bytes. */
const fieldsOf = (messages: readonly EventMessage[]): readonly unknown[] =>
  messages.map((message) => ({ ...message, body: Buffer.from(message.body).toString('hex') }))

/** Everything that a look could have changed of a consumer. */
const stateOf = (info: ConsumerInfo | undefined): unknown => {
  const { name, ack_floor, delivered, num_ack_pending, num_pending, num_redelivered, num_waiting } = info ?? {}
  const places = [ack_floor, delivered].map((at) => [at?.consumer_seq, at?.stream_seq])
  return { name, places, num_ack_pending, num_pending, num_redelivered, num_waiting }
}

/** Resolves once the server counts what it was told of. */
async function pendingIs(subject: string, count: number): Promise<void> {
  const pending = async (): Promise<number> =>
    (await manager.consumers.info(base, consumerName(base, subject))).num_ack_pending
  await expect.poll(pending).toBe(count)
}

describe('a look', () => {
  test.for([RetentionPolicy.Limits, RetentionPolicy.Interest, RetentionPolicy.Workqueue])(
    'sees what waits and takes nothing, in a stream with %s retention',
    async (retention) => {
      await manager.streams.delete(base)
      await manager.streams.add({ name: base, subjects: [`${base}.>`], retention })
      const topics = [`${base}.*.created`]
      // Interest: without a consumer nothing is kept.
      await (await rig().opened(topics))[Symbol.asyncDispose]()
      const [before] = await consumers()
      const headers = newHeaders()
      headers.set('Trace', 'grün')
      headers.append('Trace', 'def')
      headers.set('Content-Type', 'application/json')
      await stream.publish(`${base}.42.created`, '{"a":1}', { headers })
      await stream.publish(`${base}.43.created`, Buffer.from([0, 255, 10]))
      await stream.publish(`${base}.44.deleted`, 'of another subject')
      await stream.publish(`${base}.42.created`, '')
      const kept = (await manager.streams.info(base)).state.messages
      await using open = await look(topics, { orderingToken: 2 })
      await open.saw(3)
      await publish(`${base}.45.created`, 'while it looks')
      await open.saw(4)
      const deletes = `the stream ${base} deletes what is settled: what a hub settles meanwhile may not be seen.`
      expect(open.caution).toBe(retention === RetentionPolicy.Limits ? undefined : deletes)
      expect(open.means).toContain('no consumer is made')
      const state = await manager.streams.info(base)
      expect([state.state.messages, state.state.consumer_count]).toEqual([kept + 1, 1])
      const [after] = await consumers()
      expect(stateOf({ ...(after as ConsumerInfo), num_pending: 0 })).toEqual(stateOf({ ...(before as ConsumerInfo), num_pending: 0 })) // prettier-ignore
      await open[Symbol.asyncDispose]()
      await using source = await rig({ orderingToken: 2 }).opened(topics)
      await source.arrived(4)
      expect(fieldsOf(open.seen)).toEqual(fieldsOf(source.arrivals.map(({ message }) => message)))
      expect(source.arrivals.map(({ message }) => message.attempt)).toEqual([1, 1, 1, 1])
    },
  )

  test('before there is a consumer it begins where one would, and makes none', async () => {
    await publish(`${base}.x`, 'there already')
    await using old = await look([`${base}.x`])
    await using fresh = await look([`${base}.x`], { deliver: 'new' })
    await old.saw(1)
    await publish(`${base}.x`, 'from now on')
    await Promise.all([old.saw(2), fresh.saw(1)])
    expect([old.bodies, fresh.bodies]).toEqual([['there already', 'from now on'], ['from now on']])
    expect(await consumers()).toEqual([])
  })

  test('a hub that consumes meanwhile gets every event', async () => {
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await using open = await look([`${base}.x`])
    const sent = Array.from({ length: 50 }, (_, index) => `${index}`)
    await publish(`${base}.x`, ...sent)
    await Promise.all([source.arrived(50), open.saw(50)])
    expect(source.bodies).toEqual(sent)
    expect(open.bodies).toEqual(sent)
    expect(source.arrivals.every(({ message }) => message.attempt === 1)).toBe(true)
  })

  test('what is settled is not seen; what was delivered and not settled is, as a next attempt', async () => {
    await (await rig().opened([`${base}.x`]))[Symbol.asyncDispose]()
    await publish(`${base}.x`, 'settled', 'refused', 'settled too')
    // With nobody waiting for more: refused, it is not delivered again before it is asked for.
    const [settled, refused, settledToo] = await all(await (await stream.consumers.get(base, consumerName(base, `${base}.x`))).fetch({ max_messages: 3 })) // prettier-ignore
    settled?.ack()
    settledToo?.ack()
    refused?.nak()
    await pendingIs(`${base}.x`, 1)
    await publish(`${base}.x`, 'new')
    await using open = await look([`${base}.x`])
    await open.saw(3)
    // The server does not tell that of these two it is the second that is settled.
    expect(open.bodies).toEqual(['refused', 'settled too', 'new'])
    expect(open.seen.map(({ attempt }) => attempt)).toEqual([2, 2, 1])
    expect(open.caution).toContain('up to 1 event was settled before older ones and shown all the same')
    expect(open.caution).toContain('1 event was delivered and not settled: shown with attempt 2')
    expect(open.caution).not.toContain('attempt is 3')
    await using source = await rig().opened([`${base}.x`])
    await source.arrived(2)
    expect(fieldsOf(source.arrivals.map(({ message }) => message))).toEqual([
      fieldsOf(open.seen)[0],
      fieldsOf(open.seen)[2],
    ])
  })

  test('of a work queue it is told what was settled before older ones', async () => {
    await manager.streams.delete(base)
    await manager.streams.add({ name: base, subjects: [`${base}.>`], retention: RetentionPolicy.Workqueue })
    await publish(`${base}.x`, '0', '1', '2')
    await using source = await rig().opened([`${base}.x`])
    await source.arrived(3)
    await ack(source.arrivals[1])
    await pendingIs(`${base}.x`, 2)
    await using open = await look([`${base}.x`])
    await open.saw(2)
    expect(open.bodies).toEqual(['0', '2'])
    expect(open.caution).toContain('2 events were delivered and not settled: shown with attempt 2, as if they came again from a hub that has them now;') // prettier-ignore
    expect(open.caution).not.toContain('settled before older ones')
  })

  test('of a stream that deletes what is settled it says that this is not seen, which is true', async () => {
    await manager.streams.delete(base)
    await manager.streams.add({ name: base, subjects: [`${base}.>`], retention: RetentionPolicy.Workqueue })
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await using open = await (await tools()).peek([{ kind: 'topic', topic: `${base}.x` }], new AbortController().signal)
    expect(open.caution).toContain('what a hub settles meanwhile may not be seen')
    await publish(`${base}.x`, 'settled meanwhile')
    await source.arrived(1)
    await expect.poll(async () => (await manager.streams.info(base)).state.messages).toBe(0)
    await source[Symbol.asyncDispose]()
    await publish(`${base}.x`, 'seen')
    for await (const { body } of open.events()) {
      expect(Buffer.from(body).toString()).toBe('seen')
      break
    }
  })

  test('of a stream that keeps nothing for a hub that was never there it says so, which is true', async () => {
    await manager.streams.delete(base)
    await manager.streams.add({ name: base, subjects: [`${base}.>`], retention: RetentionPolicy.Interest })
    await using open = await look([`${base}.x`])
    expect(open.caution).toBe(`the stream ${base} keeps only what has a consumer (interest retention), and that of the hub is not there yet: what comes may not be seen.`) // prettier-ignore
    await publish(`${base}.x`, 'not kept')
    expect((await manager.streams.info(base)).state.messages).toBe(0)
    await (await rig().opened([`${base}.x`]))[Symbol.asyncDispose]()
    await publish(`${base}.x`, 'kept')
    await open.saw(1)
    expect(open.bodies).toEqual(['kept'])
  })

  test('a body as large as the server takes is seen whole', async () => {
    const body = Buffer.alloc(MAX_PAYLOAD, 'abc')
    await stream.publish(`${base}.x`, body)
    await using open = await look([`${base}.x`])
    await open.saw(1)
    expect(Buffer.compare(Buffer.from(open.seen[0]?.body ?? []), body)).toBe(0)
  })

  test('of what was delivered more than once it says that the attempt is not told', async () => {
    await publish(`${base}.x`, 'again and again')
    await using source = await rig().opened([`${base}.x`])
    for (let attempt = 1; attempt < 3; attempt++) {
      await source.arrived(attempt)
      await source.arrivals[attempt - 1]?.settle({ kind: 'retry', delayMs: 0, reason: 'test' })
    }
    await source.arrived(3)
    await using open = await look([`${base}.x`])
    await open.saw(1)
    expect(open.seen[0]?.attempt).toBe(2)
    expect(open.caution).toContain('the next attempt is 3 or later: the server does not tell it')
    expect(open.caution).not.toContain('settled before older ones')
  })

  test('overlapping subjects show a message once, in the order of the stream', async () => {
    await publish(`${base}.a.b`, '0')
    await publish(`${base}.a.c`, '1')
    await publish(`${base}.c.b`, '2')
    await publish(`${base}.c.c`, 'of no subject')
    await publish(`${base}.a.b`, '3')
    await using open = await look([`${base}.*.b`, `${base}.a.*`, `${base}.a.b`])
    await open.saw(4)
    await publish(`${base}.a.b`, '4')
    await publish(`${base}.a.c`, 'end')
    await open.saw(6)
    expect(open.bodies).toEqual(['0', '1', '2', '3', '4', 'end'])
  })

  test('what an overlapping consumer has not delivered yet comes for the first time', async () => {
    await publish(`${base}.a.b`, 'both')
    await using source = await rig().opened([`${base}.*.b`])
    await source.arrived(1)
    await using open = await look([`${base}.*.b`, `${base}.a.*`])
    await open.saw(1)
    expect(open.seen[0]?.attempt).toBe(1)
  })

  test('a subject without a stream is named, and the others are looked at', async () => {
    const log = new LogRecord()
    await publish(`${base}.x`, 'seen')
    await using open = await Look.open(await tools({}, log), [`${base}.x`, 'nowhere.x'])
    await open.saw(1)
    expect(log.lines.join('\n')).toContain('no stream has the subject nowhere.x. Create it: nats stream add')
    await expect(look(['nowhere.x'])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN' })
    await expect(look(['nowhere.x'], { createStream: true })).rejects.toMatchObject({
      code: 'HUB_TOPIC_MISSING',
      hint: 'Start the hub, which makes it (createStream).',
    })
    const names = await all(manager.streams.names('nowhere.x'))
    expect(names).toEqual([])
  })

  test('a connection that is lost ends it with an error; one that is left ends without', async () => {
    await using proxy = await startTcpProxy(server.port)
    const peek = await (await tools({ servers: [`nats://127.0.0.1:${proxy.port}`] })).peek([{ kind: 'topic', topic: `${base}.x` }], new AbortController().signal) // prettier-ignore
    await using open = peek
    await publish(`${base}.x`, 'seen')
    const events = open.events()[Symbol.asyncIterator]()
    expect((await events.next()).done).toBe(false)
    proxy.cut()
    await expect(events.next()).rejects.toMatchObject({ code: 'HUB_SOURCE_LOST' })
    const left = await (await tools()).peek([{ kind: 'topic', topic: `${base}.x` }], new AbortController().signal)
    const others = left.events()[Symbol.asyncIterator]()
    await others.next()
    const end = others.next()
    await left[Symbol.asyncDispose]()
    expect((await end).done).toBe(true)
  })

  test('nothing is left at the server: no consumer, no connection', async () => {
    await publish(`${base}.x`, 'seen')
    const open = await look([`${base}.x`])
    await open.saw(1)
    await open[Symbol.asyncDispose]()
    expect(await consumers()).toEqual([])
    await expect.poll(async () => {
      const answer = await fetch(`${server.monitorUrl}/connz`)
      return ((await answer.json()) as { connections: { name?: string }[] }).connections.filter(({ name }) => name === `${base}-peek`) // prettier-ignore
    }).toEqual([]) // prettier-ignore
  })
})

const event = (topic: string, more: Partial<OutgoingEvent> = {}): OutgoingEvent => ({ topic, body: Buffer.from('{}'), headers: {}, ...more }) // prettier-ignore

describe('a test event', () => {
  const emitter = async (config: Config = {}): Promise<Emitter> => {
    const opened = await (await tools(config)).emitter?.(new AbortController().signal)
    if (opened === undefined) throw new Error('nothing can be published')
    return opened
  }

  test('arrives with its key, headers and content type, at the place that is named', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.>`])
    await using out = await emitter({ orderingToken: 2 })
    expect(out.place).toMatch(/^NATS \d+\.\d+\.\d+ with JetStream at 127\.0\.0\.1:\d+$/)
    const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const headers = { Trace: 'grün', 'X-Other': '1' }
    const sent = event(`${base}.42.created`, { body, headers, key: '42', contentType: 'text/csv' })
    expect(await out.emit(sent)).toBe(`${base}@1`)
    const [delivery] = await source.arrived(1)
    expect(Buffer.compare(Buffer.from(delivery?.message.body ?? []), body)).toBe(0)
    expect(delivery?.message).toMatchObject({
      id: `nats:${base}:1`,
      topic: `${base}.42.created`,
      orderingKey: '42',
      contentType: 'text/csv',
      headers: { 'X-Nats-Trace': 'Z3LDvG4=', 'X-Nats-Trace-Enc': 'b64', 'X-Nats-X-Other': '1' },
    })
    expect(Object.keys(delivery?.message.headers ?? {}).some((name) => /content-type/i.test(name) && name !== 'X-Nats-Content-Type')).toBe(false) // prettier-ignore
  })

  test('keeps the order of many in flight', async () => {
    await using out = await emitter()
    const sent = Array.from({ length: 500 }, (_, index) => `${index}`)
    const places = await Promise.all(sent.map((body) => out.emit(event(`${base}.x`, { body: Buffer.from(body) }))))
    expect(places).toEqual(sent.map((_, index) => `${base}@${index + 1}`))
    await using source = await rig().opened([`${base}.x`])
    source.ackAll = true
    await source.arrived(500)
    expect(source.bodies).toEqual(sent)
  })

  test('with Nats-Msg-Id is stored once, and it says so', async () => {
    await using out = await emitter()
    const once = event(`${base}.x`, { headers: { 'Nats-Msg-Id': 'one' } })
    expect(await out.emit(once)).toBe(`${base}@1`)
    expect(await out.emit(once)).toBe(`${base}@1, which it was already: not stored again`)
  })

  test('in a stream that the connector does not read is a warning', async () => {
    const log = new LogRecord()
    const out = await (await tools({ stream: 'OTHER' }, log)).emitter?.(new AbortController().signal)
    expect(await out?.emit(event(`${base}.x`))).toBe(`${base}@1`)
    expect(log.lines.join('\n')).toContain(`${base}.x is in the stream ${base}, and the connector reads OTHER only`)
    await out?.[Symbol.asyncDispose]()
  })

  test.for([
    ['a subject for many', () => event(`${base}.*`), 'stands for many subjects'],
    ['no subject', () => event(`${base}..x`), 'must not have empty tokens'],
    ['a command to the server', () => event(`$JS.API.STREAM.DELETE.${base}`), 'a message is a command'],
    ['a key', () => event(`${base}.x`, { key: 'k' }), 'NATS has no keys'],
    ['a header of two lines', () => event(`${base}.x`, { headers: { a: 'b\r\nc: d' } }), 'the header "a"'],
    ['a header with a colon', () => event(`${base}.x`, { headers: { 'a:b': 'c' } }), 'the header "a:b"'],
    [
      'a header that would be cut',
      () => event(`${base}.x`, { headers: { a: ' b' } }),
      'white space, which NATS cuts off',
    ],
    ['a content type of two lines', () => event(`${base}.x`, { contentType: 'a\nb' }), 'printable ASCII'],
    ['too large a body', () => event(`${base}.x`, { body: Buffer.alloc(MAX_PAYLOAD + 1) }), `${base}.x`],
  ] as const)('that NATS cannot carry is refused, and what comes after it is not: %s', async ([, make, text]) => {
    await using out = await emitter()
    const error: unknown = await out.emit(make()).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining(text) as string })
    expect((error as { hint: string }).hint).not.toContain('connector-hub --help')
    expect(await out.emit(event(`${base}.x`))).toBe(`${base}@1`)
  })

  test('with a key that the subject does not have is told the subject that has it', async () => {
    await using out = await emitter({ orderingToken: 2 })
    await expect(out.emit(event(`${base}.42.x`, { key: '43' }))).rejects.toMatchObject({
      code: 'HUB_USAGE',
      hint: `Emit to ${base}.43.x, or leave the key out.`,
    })
    for (const key of ['a b', '*'])
      await expect(out.emit(event(`${base}.42.x`, { key }))).rejects.toMatchObject({ hint: 'Leave the key out.' })
    await expect(out.emit(event('only', { key: 'k' }))).rejects.toMatchObject({ hint: 'Leave the key out.' })
  })

  test('for which there is no stream is refused with the command that makes one', async () => {
    await using out = await emitter()
    await expect(out.emit(event('nowhere.x'))).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      message: expect.stringContaining('no stream has the subject nowhere.x') as string,
      hint: expect.stringMatching(/^Create it: nats stream add EVENTS --subjects "nowhere.x"/) as string,
    })
    await using creating = await emitter({ createStream: true })
    await expect(creating.emit(event('nowhere.x'))).rejects.toMatchObject({
      hint: expect.stringMatching(/^Start the hub, which makes it/) as string,
    })
  })

  test('that the stream refuses is refused with its words', async () => {
    await manager.streams.update(base, { max_msg_size: 10 })
    await using out = await emitter()
    await expect(out.emit(event(`${base}.x`, { body: Buffer.alloc(11) }))).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      message: expect.stringContaining('message size exceeds maximum allowed') as string,
    })
  })

  test('on a connection that breaks is not confirmed, and may be there', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using out = await emitter({ servers: [`nats://127.0.0.1:${proxy.port}`] })
    await out.emit(event(`${base}.x`))
    proxy.silence(true)
    const unconfirmed = out.emit(event(`${base}.x`))
    proxy.cut()
    await expect(unconfirmed).rejects.toMatchObject({
      code: 'HUB_EMIT_FAILED',
      canRetry: true,
      message: expect.stringContaining('it may be there all the same') as string,
    })
  })
})
