// Core NATS against a real server: what the conformance suite does not ask.

import { connect, headers as newHeaders } from '@nats-io/transport-node'
import type { Msg, NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { Delivery, FunctionResult } from '../../src/sdk/index.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { SourceRig, ack, until } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'

const missing = await noNats()
const MAX_PAYLOAD = 4096
let server: NatsServer
let client: NatsConnection
let tests = 0
let base = ''

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats({ jetStream: false, config: [`max_payload: ${MAX_PAYLOAD}`] })
  client = await connect({ servers: server.url })
})
afterAll(async () => {
  await client?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
  base = `t${(tests += 1)}`
})

const rig = (config: Readonly<Record<string, unknown>> = {}, options: RigOptions = {}): SourceRig =>
  new SourceRig(connector, { layer: 'core', servers: [server.url], ...config }, options)

const result = (status: number, body: string | Buffer, headers: readonly string[] = []): FunctionResult => ({
  function: 'echo.openfaas-fn',
  status,
  headers,
  body: Buffer.from(body),
  durationMs: 12.5,
  retries: 0,
  retriesMax: 0,
})

async function publish(subject: string, bodies: Iterable<string>): Promise<void> {
  for (const body of bodies) client.publish(subject, body)
  await client.flush()
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`)

describe('what is read', () => {
  test('a message has its subject, its headers and its time', async () => {
    await using source = await rig({ orderingToken: 2 }).opened([`${base}.*.created`])
    const written = newHeaders()
    written.set('Trace', 'abc')
    written.set('Content-Type', 'application/json')
    client.publish(`${base}.42.created`, '{}', { headers: written, reply: 'an.inbox' })
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({
      topic: `${base}.42.created`,
      orderingKey: '42',
      attempt: 1,
      contentType: 'application/json',
      headers: { 'X-Nats-Trace': 'abc', 'X-Nats-Reply': 'an.inbox' },
    })
    expect(delivery?.message.id).toMatch(/^nats:[0-9a-f]{8}:1$/)
    expect(Math.abs((delivery?.message.timestampMs ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  test('topics of the configuration replace those of the annotations', async () => {
    await using source = await rig({ topics: `${base}.a,${base}.b.>` }).opened([`${base}.c`])
    source.ackAll = true
    for (const subject of ['c', 'a', 'b.x']) await publish(`${base}.${subject}`, [subject])
    await source.arrived(2)
    expect(source.bodies).toEqual(['a', 'b.x'])
  })

  test('subjects that the server refuses are reported and the others work; all refused is an error', async () => {
    const permissions = '{ subscribe: { allow: ["allowed.>", "_INBOX.>"] } }'
    const users = `authorization { users: [ { user: any, password: any, permissions: ${permissions} } ] }`
    await using own = await startNats({ jetStream: false, config: [users, 'no_auth_user: any'] })
    await using source = await rig({ servers: [own.url] }).opened(['allowed.x', 'secret.x'])
    expect(source.log.lines.join('\n')).toMatch(/nats\.refused.*secret\.x/)
    const publisher = await connect({ servers: own.url })
    publisher.publish('allowed.x', 'fine')
    await source.arrived(1)
    await publisher.close()
    await expect(rig({ servers: [own.url] }).opened(['secret.x'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      hint: 'Allow the user to subscribe to secret.x in the queue group openfaas_nats_worker_group.',
    })
    const { topics } = await source.source.probe(['allowed.x', 'secret.x'], new AbortController().signal)
    expect(topics.map(({ topic, ok }) => [topic, ok])).toEqual([['allowed.x', true], ['secret.x', false]]) // prettier-ignore
  })
})

/** Connections of the hub that subscribe to anything. */
async function subscribers(): Promise<number> {
  const answer = await fetch(`${server.monitorUrl}/connz`)
  const { connections } = (await answer.json()) as { connections: { name?: string; subscriptions: number }[] }
  return connections.filter(({ name, subscriptions }) => name === 'connector-hub-nats' && subscriptions > 0).length
}

describe('who gets it', () => {
  test('replicas of a queue group share, OpenFaaS’s by default; replicas without one get everything', async () => {
    await using one = await rig().opened([`${base}.x`])
    await using other = await rig({ queueGroup: 'openfaas_nats_worker_group' }).opened([`${base}.x`])
    await using alone = await rig({ queueGroup: 'none' }).opened([`${base}.x`])
    await using alone2 = await rig({ queueGroup: '' }).opened([`${base}.x`])
    for (const source of [one, other, alone, alone2]) source.ackAll = true
    await publish(`${base}.x`, numbers(60))
    await alone.arrived(60)
    await alone2.arrived(60)
    await until(() => one.arrivals.length + other.arrivals.length >= 60, 'the group got all')
    expect([...one.bodies, ...other.bodies].toSorted()).toEqual(numbers(60).toSorted())
    expect(one.arrivals.length * other.arrivals.length).toBeGreaterThan(0)
  })

  test.for(['openfaas_nats_worker_group', 'none'])(
    'overlapping subjects bring a message once, in group %s',
    async (queueGroup) => {
      const subjects = [`${base}.a.*`, `${base}.*.b`]
      const open = (): Promise<SourceRig> => rig({ queueGroup }).opened(subjects)
      await using one = await open()
      await using other = await open()
      for (const source of [one, other]) source.ackAll = true
      await publish(`${base}.a.b`, numbers(40))
      await publish(`${base}.a.x`, ['only the first'])
      await publish(`${base}.x.b`, ['only the second'])
      const expected = [...numbers(40), 'only the first', 'only the second'].toSorted()
      const copies = queueGroup === 'none' ? [...expected, ...expected].toSorted() : expected
      await until(() => one.arrivals.length + other.arrivals.length >= copies.length, 'all arrive')
      // Behind all that was published before, at each of the two.
      await publish(`${base}.a.last`, numbers(20))
      await until(() => one.arrivals.length + other.arrivals.length >= copies.length + (queueGroup === 'none' ? 40 : 20), 'the last arrive') // prettier-ignore
      const bodies = [...one.arrivals, ...other.arrivals].filter(({ message }) => !message.topic.endsWith('last')).map(({ message }) => Buffer.from(message.body).toString()) // prettier-ignore
      expect(bodies.toSorted()).toEqual(copies)
    },
  )

  test('a reader that leaves is not chosen any more, though its source is not closed yet', async () => {
    const abort = new AbortController()
    await using leaving = rig()
    await leaving.source.connect(abort.signal)
    await leaving.subscribe([`${base}.x`])
    const reader = leaving.source.deliveries(abort.signal)[Symbol.asyncIterator]()
    await using staying = await rig().opened([`${base}.x`])
    await reader.return?.()
    // Some may be on their way to the one that leaves: they are not forgotten.
    await publish(`${base}.x`, numbers(30))
    const late = (): number => leaving.gauges['nats_waiting']?.()[0]?.value ?? 0
    await expect.poll(() => staying.arrivals.length + late()).toBe(30)
    await expect.poll(() => subscribers()).toBe(1)
    staying.ackAll = true
    await Promise.all(staying.arrivals.map(ack))
    staying.arrivals.length = 0
    await publish(`${base}.x`, numbers(30))
    await staying.arrived(30)
    expect(staying.bodies).toEqual(numbers(30))
    const lost = late()
    await leaving.source.close()
    expect(leaving.counts['nats_dropped_total'] ?? 0).toBe(lost)
  })
})

describe('request and reply', () => {
  const asked = async (source: SourceRig, results: readonly FunctionResult[]): Promise<Msg> => {
    const waiting = client.request(`${base}.ask`, 'question', { timeout: 60_000 })
    const [delivery] = await source.arrived(source.arrivals.length + 1).then((all) => all.slice(-1))
    expect(delivery?.responseBytesMax).toBe(MAX_PAYLOAD)
    await delivery?.settle({ kind: 'ack' }, results)
    return waiting
  }

  test('the answer of the function with its headers, and an error for what failed', async () => {
    await using source = await rig().opened([`${base}.ask`])
    const headers = ['content-type', 'text/plain', 'x-two', 'a', 'X-Two', 'b', 'Content-Length', '6', 'Nats-Service-Error-Code', '1'] // prettier-ignore
    const fine = await asked(source, [result(200, 'answer', headers)])
    expect(fine.string()).toBe('answer')
    expect([...(fine.headers ?? [])]).toEqual([
      ['X-Function-Name', ['echo.openfaas-fn']],
      ['X-Function-Status', ['200']],
      ['X-Duration-Seconds', ['0.012500']],
      ['Content-Type', ['text/plain']],
      ['X-Two', ['a', 'b']],
    ])
    const failed = await asked(source, [result(503, 'why')])
    expect(failed.string()).toBe('why')
    expect([failed.headers?.get('Nats-Service-Error-Code'), failed.headers?.get('Nats-Service-Error')]).toEqual(['503', 'Service Unavailable']) // prettier-ignore
    expect(source.counts).toEqual({ nats_replies_total: 2 })
  })

  test('every function answers, in their order', async () => {
    await using source = await rig().opened([`${base}.ask`])
    const replies = await client.requestMany(`${base}.ask`, '', { strategy: 'count', maxMessages: 2, maxWait: 10_000 })
    const [delivery] = await source.arrived(1)
    await delivery?.settle({ kind: 'ack' }, [result(202, ''), result(200, 'second')])
    const got: string[] = []
    for await (const reply of replies) got.push(`${reply.headers?.get('X-Function-Status')} ${reply.string()}`)
    expect(got).toEqual(['202 ', '200 second'])
  })

  test('where no function was asked, nobody answers', async () => {
    await using source = await rig().opened([`${base}.ask`])
    source.ackAll = true
    await expect(client.request(`${base}.ask`, '', { timeout: 300 })).rejects.toThrow('timeout')
    expect([source.arrivals.length, source.counts]).toEqual([1, {}])
  })

  test('an answer that max_payload does not let through is an error, not a part of it', async () => {
    await using source = await rig().opened([`${base}.ask`])
    const cut = await asked(source, [result(200, Buffer.alloc(MAX_PAYLOAD))])
    expect(cut.data).toHaveLength(0)
    expect(cut.headers?.get('X-Function-Status')).toBe('200')
    expect(cut.headers?.get('Nats-Service-Error-Code')).toBe('500')
    expect(cut.headers?.get('Nats-Service-Error')).toContain('max_payload (4096 bytes)')
    const fits = await asked(source, [result(200, Buffer.alloc(MAX_PAYLOAD - 256))])
    expect(fits.data).toHaveLength(MAX_PAYLOAD - 256)
  })

  test('no answer where none is asked for, none wanted, or it would be a command to the server', async () => {
    await using source = await rig().opened([`${base}.x`])
    await using silent = await rig({ reply: false, queueGroup: 'none' }).opened([`${base}.x`])
    client.publish(`${base}.x`, 'a')
    client.publish(`${base}.x`, 'b', { reply: '$SYS.REQ.SERVER.PING' })
    client.publish(`${base}.x`, 'c', { reply: 'an.inbox' })
    const requested = (deliveries: readonly Delivery[]): boolean[] => deliveries.map((one) => one.responseBytesMax !== undefined) // prettier-ignore
    expect(requested(await source.arrived(3))).toEqual([false, false, true])
    expect(requested(await silent.arrived(3))).toEqual([false, false, false])
  })

  test('an answer finds its way though the connection broke meanwhile', async () => {
    await using proxy = await startTcpProxy(server.port)
    await using source = await rig({ servers: [`nats://127.0.0.1:${proxy.port}`] }).opened([`${base}.ask`])
    const waiting = client.request(`${base}.ask`, '', { timeout: 60_000 })
    const [delivery] = await source.arrived(1)
    proxy.cut()
    await source.lost()
    await source.reconnect([`${base}.ask`])
    await delivery?.settle({ kind: 'ack' }, [result(200, 'late')])
    expect((await waiting).string()).toBe('late')
  })
})

describe('more than can be taken', () => {
  test('waits up to the bound; beyond it is dropped, counted and said', async () => {
    await using source = await rig({ pendingMax: 5 }, { unsettledMax: 2 }).opened([`${base}.x`])
    await publish(`${base}.x`, numbers(20))
    await until(() => source.counts['nats_dropped_total'] === 13, 'what is beyond the bounds is dropped')
    expect(source.gauges['nats_waiting']?.()).toEqual([{ labels: [], value: 5 }])
    expect(source.log.lines.filter((line) => line.includes('nats.slow-consumer'))).toHaveLength(1)
    source.ackAll = true
    await Promise.all(source.arrivals.map(ack))
    await source.arrived(7)
    expect(source.bodies).toEqual(numbers(7))
    expect(source.gauges['nats_waiting']?.()).toEqual([{ labels: [], value: 0 }])
  })

  test('bodies are bounded in bytes', async () => {
    await using source = await rig({ pendingBytesMax: '1KiB' }, { unsettledMax: 1 }).opened([`${base}.x`])
    await publish(
      `${base}.x`,
      Array.from({ length: 4 }, () => 'x'.repeat(512)),
    )
    await until(() => source.counts['nats_dropped_total'] !== undefined, 'one is in hand, two wait, one is dropped')
    expect([source.counts['nats_dropped_total'], source.gauges['nats_waiting']?.()[0]?.value]).toEqual([1, 2])
  })

  test('what waits outlives the connection; what waits at the end is counted', async () => {
    await using own = await startNats({ jetStream: false })
    const publisher = await connect({ servers: own.url, reconnect: false })
    const source = await rig({ servers: [own.url] }, { unsettledMax: 2 }).opened([`${base}.x`])
    for (const body of numbers(6)) publisher.publish(`${base}.x`, body)
    await publisher.flush()
    await until(() => source.gauges['nats_waiting']?.()[0]?.value === 4, 'four wait')
    await own.kill()
    await source.lost()
    await own.start()
    await source.reconnect([`${base}.x`])
    await ack(source.arrivals[0])
    await source.arrived(3)
    expect(source.bodies).toEqual(['0', '1', '2'])
    await source[Symbol.asyncDispose]()
    expect(source.counts['nats_dropped_total']).toBe(3)
    expect(source.log.lines.join('\n')).toContain('3 messages were received and not handed to a function any more')
  })
})
