// The tools on core NATS, against a real server: a look takes nothing from the queue group, and test events arrive as written.

import { connect, errors, headers as newHeaders } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { LogRecord } from '../../test/conformance/recording.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { SourceRig, until } from '../../test/source-rig.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import type { Emitter, EventMessage, OutgoingEvent, Tools } from '../../src/sdk/index.ts'
import connector from './connector.ts'

const missing = await noNats()
let server: NatsServer
let client: NatsConnection
let tests = 0
let base = ''

beforeAll(async () => {
  if (missing !== undefined) return
  const permissions = '{ publish: { deny: ["denied.>"] }, subscribe: { deny: ["denied.>"] } }'
  const users = `authorization { users: [ { user: any, password: any, permissions: ${permissions} } ] }`
  server = await startNats({ jetStream: false, config: [users, 'no_auth_user: any'] })
  client = await connect({ servers: server.url, reconnect: false })
})
afterAll(async () => {
  await client?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
  base = `t${(tests += 1)}`
})

type Config = Readonly<Record<string, unknown>>
const configOf = (config: Config): Config => ({ layer: 'core', servers: [server.url], ...config })
const rig = (config: Config = {}): SourceRig => new SourceRig(connector, configOf(config))
const tools = (config: Config = {}, log = new LogRecord()): Promise<Tools> => toolsOf(connector, configOf(config), { log }) // prettier-ignore
const emitter = async (config: Config = {}): Promise<Emitter> => {
  const opened = await (await tools(config)).emitter?.(new AbortController().signal)
  if (opened === undefined) throw new Error('nothing can be published')
  return opened
}
const textOf = (body: Uint8Array): string => Buffer.from(body).toString()
const event = (topic: string, more: Partial<OutgoingEvent> = {}): OutgoingEvent => ({ topic, body: Buffer.from('{}'), headers: {}, ...more }) // prettier-ignore

const subscriptions = async (): Promise<number> => {
  const answer = await fetch(`${server.monitorUrl}/connz`)
  const { connections } = (await answer.json()) as { connections: { name?: string; subscriptions: number }[] }
  return connections.filter(({ name }) => name === 'connector-hub-nats-peek').length
}

describe('a look', () => {
  test('sees copies of what a group gets whole, field by field but for the id', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.*.x`])
    const open = await Look.open(await tools({ orderingToken: 2 }), [`${base}.*.x`])
    const headers = newHeaders()
    headers.set('Trace', 'abc')
    headers.set('Content-Type', 'text/csv')
    client.publish(`${base}.42.x`, 'a;b', { headers })
    for (let index = 0; index < 20; index++) client.publish(`${base}.43.x`, `${index}`)
    await Promise.all([source.arrived(21), open.saw(21)])
    const fields = ({ body, id, timestampMs, ...rest }: EventMessage): unknown => ({ ...rest, body: textOf(body), id: id.replace(/:.*:/, ':run:'), isNow: Math.abs(timestampMs - Date.now()) < 60_000 }) // prettier-ignore
    expect(open.seen.map(fields)).toEqual(source.arrivals.map(({ message }) => fields(message)))
    expect(open.seen[0]?.id).not.toBe(source.arrivals[0]?.message.id)
    await open[Symbol.asyncDispose]()
    await expect.poll(subscriptions).toBe(0)
  })

  test('overlapping subjects show a message once', async () => {
    await using open = await Look.open(await tools(), [`${base}.*.b`, `${base}.a.*`])
    for (const subject of ['a.b', 'c.b', 'a.c', 'a.b']) client.publish(`${base}.${subject}`, subject)
    await open.saw(4)
    client.publish(`${base}.a.end`, 'end')
    await open.saw(5)
    expect(open.bodies).toEqual(['a.b', 'c.b', 'a.c', 'a.b', 'end'])
  })

  test('what it says of itself is true: nothing earlier, no answers, and nobody is told that nobody is there', async () => {
    client.publish(`${base}.x`, 'earlier')
    await client.flush()
    const asked = (timeout: number): Promise<string> => client.request(`${base}.x`, 'asked', { timeout }).then(() => 'answered', (error: unknown) => (error as Error).name) // prettier-ignore
    expect(await asked(30_000)).toBe(new errors.RequestError().name)
    await using open = await Look.open(await tools(), [`${base}.x`])
    expect(open.caution).toMatch(/only what is published from now on.*not answered.*runs into its time limit/)
    expect(await asked(300)).toBe(new errors.TimeoutError().name)
    await open.saw(1)
    expect(open.bodies).toEqual(['asked'])
  })

  test('what may not be subscribed to is named, and the rest is looked at', async () => {
    const log = new LogRecord()
    await using open = await Look.open(await tools({}, log), [`${base}.x`, 'denied.x'])
    client.publish(`${base}.x`, 'seen')
    await open.saw(1)
    expect(log.lines.join('\n')).toContain('Allow the user to subscribe to denied.x outside of a queue group.')
    await expect(Look.open(await tools(), ['denied.x'])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN' })
  })

  test('what comes faster than it is read is bounded, and what is left out is said', async () => {
    const log = new LogRecord()
    const { signal } = new AbortController()
    await using peek = await (await tools({ pendingMax: 3 }, log)).peek([{ kind: 'topic', topic: `${base}.x` }], signal) // prettier-ignore
    for (let index = 0; index < 10; index++) client.publish(`${base}.x`, `${index}`)
    await until(() => log.lines.some((line) => line.includes('nats.slow-consumer')), 'it is said')
    const seen: string[] = []
    for await (const { body } of peek.events()) if (seen.push(textOf(body)) === 3) break // prettier-ignore
    expect(seen).toEqual(['0', '1', '2'])
  })

  test('a connection that is lost ends it with an error', async () => {
    await using proxy = await startTcpProxy(server.port)
    const { signal } = new AbortController()
    await using peek = await (await tools({ servers: [`nats://127.0.0.1:${proxy.port}`] })).peek([{ kind: 'topic', topic: `${base}.x` }], signal) // prettier-ignore
    const next = peek.events()[Symbol.asyncIterator]().next()
    proxy.cut()
    await expect(next).rejects.toMatchObject({ code: 'HUB_SOURCE_LOST' })
  })
})

describe('a test event', () => {
  test('arrives as it was written, many in flight in their order', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.*.x`])
    source.ackAll = true
    await using out = await emitter({ orderingToken: 2 })
    const sent = Array.from({ length: 200 }, (_, index) => `${index}`)
    const places = await Promise.all(sent.map((body) => out.emit(event(`${base}.42.x`, { body: Buffer.from(body), key: '42', headers: { Trace: 'abc' }, contentType: 'text/csv' })))) // prettier-ignore
    expect(new Set(places)).toEqual(new Set([`${base}.42.x, read by the server; who got it is not told`]))
    await source.arrived(200)
    expect(source.bodies).toEqual(sent)
    expect(source.arrivals[0]?.message).toMatchObject({ orderingKey: '42', contentType: 'text/csv', headers: { 'X-Nats-Trace': 'abc' } }) // prettier-ignore
  })

  test('that may not be published fails, each one, and others do not', async () => {
    await using out = await emitter()
    const results = await Promise.allSettled([event('denied.x'), event(`${base}.x`), event('denied.x')].map((one) => out.emit(one))) // prettier-ignore
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected'])
    expect((results[0] as PromiseRejectedResult).reason).toMatchObject({
      code: 'HUB_EMIT_FAILED',
      hint: 'Allow the user to publish to denied.x.',
    })
  })

  test('that core NATS cannot carry is refused', async () => {
    await using out = await emitter()
    for (const one of [event(`${base}.>`), event(`${base}.x`, { key: 'k' }), event('$SYS.REQ.x')])
      await expect(out.emit(one)).rejects.toMatchObject({ code: 'HUB_USAGE' })
  })

  test('on a connection that breaks is not confirmed', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using out = await emitter({ servers: [`nats://127.0.0.1:${proxy.port}`] })
    await out.emit(event(`${base}.x`))
    proxy.silence(true)
    const unconfirmed = out.emit(event(`${base}.x`))
    proxy.cut()
    await expect(unconfirmed).rejects.toMatchObject({ code: 'HUB_EMIT_FAILED', canRetry: true })
    await expect(out.emit(event(`${base}.x`))).rejects.toMatchObject({ code: 'HUB_EMIT_FAILED', canRetry: true })
  })
})
