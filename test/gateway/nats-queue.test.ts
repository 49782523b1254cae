// Async calls kept at NATS JetStream, against a real server: what OpenFaaS's own gateways and workers see of them, what is
// lost when a server or a worker goes away, and what is cancelled.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { AckPolicy, RetentionPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { JetStreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { QueueSettings } from '../../src/gateway/queue/settings.ts'
import { natsSettings } from '../../src/gateway/queue/settings.ts'
import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { CliProcess } from '../cli/cli.ts'
import { noNats, startNats } from '../servers/nats.ts'
import type { NatsServer } from '../servers/nats.ts'
import { startReceiver } from './receiver.ts'
import { call, nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const missing = await noNats()

let server: NatsServer
let nats: NatsConnection
let manager: JetStreamManager

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats()
  nats = await connect({ servers: server.url, maxReconnectAttempts: -1 })
  manager = await jetstreamManager(nats)
})
afterAll(async () => {
  await nats?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach(async ({ skip }) => {
  if (missing !== undefined) skip(missing)
  for await (const { config } of manager.streams.list()) await manager.streams.delete(config.name)
})

const CAT = processFunction('cat', 'cat')
const WAIT = { 'com.openfaas.retry.min_wait': '1h', 'com.openfaas.retry.max_wait': '1h' }

function start(specs: readonly FunctionSpec[], queue: Partial<QueueSettings> = {}): Promise<Rig> {
  return startRig(specs, { queue: { nats: natsSettings(server.url), ackWaitMs: 2000, drainMs: 0, ...queue } })
}

const post = (rig: Rig, path: string, headers: Record<string, string> = {}, body = 'hello'): Promise<unknown> =>
  rig.call(`/async-function/${path}`, { method: 'POST', headers, body })
const cancel = async (rig: Rig, id: string): Promise<number> => (await rig.call(`/async-function/${id}`, { method: 'DELETE' })).status // prettier-ignore
const logged = (rig: Rig, part: string): number => rig.log.requests.filter((line) => line.includes(part)).length
const messages = async (stream = 'OF_faas-request'): Promise<number> =>
  (await manager.streams.info(stream)).state.messages
const empty = (stream?: string): Promise<void> =>
  until('the stream is empty', async () => (await messages(stream).catch(() => -1)) === 0)

describe('OpenFaaS’s own parts find', () => {
  test('the stream, the consumer and the message as they know them', async () => {
    await using rig = await start([nodeFunction('misbehave', 'misbehave', { annotations: WAIT })])
    await post(rig, 'misbehave/refuse?code=500', { 'X-Call-Id': 'mine', 'X-Callback-Url': 'http://user:pass@h/done' })
    await until('it waits for its retry', () => logged(rig, 'retry 1 in') === 1)
    const { config } = await manager.streams.info('OF_faas-request')
    expect(config).toMatchObject({ subjects: ['faas-request'], retention: RetentionPolicy.Workqueue })
    const consumer = await manager.consumers.info('OF_faas-request', 'faas-workers')
    expect(consumer.config).toMatchObject({ ack_policy: AckPolicy.Explicit, ack_wait: 2_000_000_000 })
    const stored = await manager.streams.getMessage('OF_faas-request', { seq: 1 })
    expect(stored?.json()).toMatchObject({
      Header: { 'X-Call-Id': ['mine'], 'X-Start-Time': [expect.stringMatching(/^\d{19}$/)] },
      Body: 'aGVsbG8=',
      Method: 'POST',
      Path: '/refuse',
      QueryString: 'code=500',
      Function: 'misbehave',
      Annotations: WAIT,
      CallbackUrl: { Scheme: 'http', Host: 'h', Path: '/done' },
    })
  })

  test('their own calls run, with their callbacks', async () => {
    await using receiver = await startReceiver()
    await using rig = await start([CAT])
    const { host } = new URL(receiver.url)
    const request = {
      Header: { 'X-Call-Id': ['theirs'], 'X-Start-Time': ['1767607201123456789'] },
      Host: 'gateway:8080',
      Body: Buffer.from('hello').toString('base64'),
      Method: 'POST',
      Path: '',
      QueryString: '',
      Function: 'cat.openfaas-fn',
      CallbackUrl: { Scheme: 'http', User: null, Host: host, Path: '/done' },
    }
    await jetstream(nats).publish('faas-request', JSON.stringify(request))
    await empty()
    expect(receiver.received).toMatchObject([
      {
        method: 'POST',
        url: '/done',
        body: 'hello',
        headers: {
          'x-call-id': 'theirs',
          'x-start-time': '1767607201123456789',
          'x-function-name': 'cat.openfaas-fn',
          'x-function-status': '200',
        },
      },
    ])
    expect(logged(rig, '[#1] Received on [faas-request]')).toBe(1)
  })

  test('what is no call is kept as a dead letter, and the next one runs', async () => {
    await using rig = await start([CAT])
    await jetstream(nats).publish('faas-request', 'not JSON')
    await post(rig, 'cat')
    await empty()
    using letters = new SqliteDeadLetters(`${rig.directory}/state/async-dead-letters.db`)
    expect(letters.list(10)).toMatchObject([
      { function: '', reason: 'it is no async call: it is not JSON', message: { id: 'faas-request@1', body: new Uint8Array(Buffer.from('not JSON')) } }, // prettier-ignore
    ])
  })
})

test('one setting of the environment is enough', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'nats-queue-'))
  const env = { faas_nats_address: '127.0.0.1', faas_nats_port: String(server.port), faas_nats_channel: 'other' }
  await using gateway = new CliProcess(['gateway', '--port', '0', '--state-dir', stateDir], { env, cwd: stateDir })
  const [, address = ''] = await gateway.says(/gateway +(http:\S+)/)
  const answer = await call(address, '/async-function/nobody', { method: 'POST', headers: { 'X-Call-Id': 'mine' } })
  expect([answer.status, await messages('OF_other')]).toEqual([202, 1])
  await gateway[Symbol.asyncDispose]()
  rmSync(stateDir, { recursive: true })
})

test('a queue by annotation is a stream of its own', async () => {
  const annotations = { 'com.openfaas.queue': 'slow' }
  await using rig = await start([processFunction('cat', 'cat', { annotations })])
  await post(rig, 'cat')
  await until('it has run', () => logged(rig, 'Invoked: cat [200]') === 1)
  await empty('OF_slow')
  expect((await manager.streams.info('OF_slow')).state.last_seq).toBe(1)
})

test('a call longer than ackWait runs once, because there are signs of life', async () => {
  await using receiver = await startReceiver(200, {}, () => false)
  await using rig = await start([CAT], { ackWaitMs: 1000, callbackTimeoutMs: 4000 })
  // The call ends with its callback, which takes four times as long as the server waits.
  await post(rig, 'cat', { 'X-Callback-Url': receiver.url })
  await until('it has run', () => logged(rig, 'Error posting result') === 1)
  await empty()
  expect([logged(rig, 'Invoking: cat'), receiver.received.length]).toEqual([1, 1])
})

test('what one gateway held when it stopped, another one runs at once', async () => {
  const never = nodeFunction('misbehave', 'misbehave')
  {
    await using first = await start([never], { ackWaitMs: 600_000 })
    await post(first, 'misbehave/never', { 'X-Call-Id': 'held' })
    await until('it runs', () => logged(first, 'Invoking: misbehave') === 1)
  }
  await using second = await start([never])
  await until('it runs again', () => logged(second, "Received on [faas-request]: 'held'") > 0)
  expect(logged(second, 'Received on')).toBe(1)
})

describe('an attempt', () => {
  const TWICE = { 'com.openfaas.retry.attempts': '1', 'com.openfaas.retry.min_wait': '0s' }
  const CALLED_BACK = ['x-call-id', 'x-function-status', 'x-retry', 'x-retry-max']

  test('is one that the function has failed: a call that was given back has made none', async () => {
    await using receiver = await startReceiver()
    const stuck = nodeFunction('misbehave', 'misbehave', { annotations: TWICE })
    for (const time of [1, 2]) {
      await using rig = await start([stuck], { ackWaitMs: 600_000 })
      if (time === 1) await post(rig, 'misbehave/never', { 'X-Callback-Url': receiver.url, 'X-Call-Id': 'held' })
      await until('it runs', () => logged(rig, 'Invoking: misbehave') === 1)
    }
    await using last = await start([processFunction('misbehave', 'false', { annotations: TWICE })])
    await until('it is called back', () => receiver.received.length > 0)
    expect(CALLED_BACK.map((name) => receiver.received[0]?.headers[name])).toEqual(['held', '500', '1', '1'])
    expect(logged(last, 'Invoking: misbehave')).toBe(2)
  })

  test('is counted over a restart, and what is kept of it goes with the call', async () => {
    const failing = (wait: string): FunctionSpec =>
      nodeFunction('misbehave', 'misbehave', {
        annotations: { 'com.openfaas.retry.attempts': '2', 'com.openfaas.retry.min_wait': wait, 'com.openfaas.retry.max_wait': wait }, // prettier-ignore
      })
    await using receiver = await startReceiver()
    {
      await using first = await start([failing('2s')])
      await post(first, 'misbehave/refuse?code=503', { 'X-Callback-Url': receiver.url, 'X-Call-Id': 'mine' })
      await until('it is put off', () => logged(first, '; retry 1 in 2s') === 1)
      await until('it is written', async () => (await messages('connector-hub-retries').catch(() => 0)) === 1)
    }
    await using second = await start([failing('0s')])
    await until('it is called back', () => receiver.received.length > 0)
    expect(CALLED_BACK.map((name) => receiver.received[0]?.headers[name])).toEqual(['mine', '503', '2', '2'])
    expect(logged(second, 'Invoking: misbehave')).toBe(2)
    await empty('connector-hub-retries')
  })

  test('is a delivery of the server where nothing can be kept', async () => {
    // Its name is taken, for other subjects.
    await manager.streams.add({ name: 'connector-hub-retries', subjects: ['other'] })
    await using rig = await start([nodeFunction('misbehave', 'misbehave', { annotations: TWICE })])
    await using receiver = await startReceiver()
    await post(rig, 'misbehave/refuse?code=503', { 'X-Callback-Url': receiver.url, 'X-Call-Id': 'mine' })
    await until('it is called back', () => receiver.received.length > 0)
    expect(CALLED_BACK.map((name) => receiver.received[0]?.headers[name])).toEqual(['mine', '503', '1', '1'])
    expect(logged(rig, 'Attempts of async calls cannot be kept at NATS, each delivery counts as one')).toBe(1)
  })
})

test('a server that restarts is found again, and nothing is lost', async () => {
  await using rig = await start([CAT])
  await post(rig, 'cat')
  await empty()
  await server.kill()
  await until('it is noticed', () => logged(rig, 'is lost') > 0)
  expect(await rig.call('/async-function/cat', { method: 'POST' })).toMatchObject({
    status: 500,
    text: expect.stringMatching(/^Error queuing request: NATS at nats:\/\/127\.0\.0\.1:\d+: not connected\n$/),
  })
  await server.start()
  await until('calls are accepted again', async () => (await rig.call('/async-function/cat', { method: 'POST' })).status === 202) // prettier-ignore
  await until('the call has run', () => logged(rig, 'Invoked: cat [200]') === 2)
  await empty()
})

test('a server that is killed while calls wait, run, and are retried: every call is over in the end, and called back', async () => {
  await using receiver = await startReceiver()
  const SOON = { 'com.openfaas.retry.attempts': '9999', 'com.openfaas.retry.min_wait': '500ms', 'com.openfaas.retry.max_wait': '500ms' } // prettier-ignore
  await using rig = await start([nodeFunction('misbehave', 'misbehave', { annotations: SOON })], { inFlightMax: 10 })
  const [done, tried, go] = ['done', 'tried', 'go'].map((name) => join(rig.directory, name)) as [string, string, string]
  const ids = Array.from({ length: 100 }, (_, index) => `call-${index}`)
  const path = `misbehave/append-when?file=${done}&tried=${tried}&go=${go}`
  await Promise.all(ids.map((id) => post(rig, path, { 'X-Call-Id': id, 'X-Callback-Url': receiver.url })))
  const triedTwice = (): boolean => existsSync(tried) && readFileSync(tried, 'utf8').split('\n').length > 2 * ids.length
  await until('some are retried', triedTwice)
  await server.kill()
  writeFileSync(go, '')
  await until('it is noticed', () => logged(rig, 'is lost') > 0)
  await server.start()
  const calledBack = (): Set<unknown> => new Set(receiver.received.map(({ headers }) => headers['x-call-id']))
  await until('every call is called back', () => calledBack().size === ids.length)
  expect(calledBack()).toEqual(new Set(ids))
  await empty()
})

test('two gateways share the queue: every call runs, and none twice', async () => {
  await using first = await start([CAT])
  await using second = await start([CAT])
  const ids = Array.from({ length: 100 }, (_, index) => `call-${index}`)
  await Promise.all(ids.map((id, index) => post(index % 2 === 0 ? first : second, 'cat', { 'X-Call-Id': id })))
  await empty()
  const received = [first, second].flatMap(({ log }) => log.requests.flatMap((line) => /Received on .*'(call-\d+)'/.exec(line)?.[1] ?? [])) // prettier-ignore
  expect(received.toSorted((a, b) => a.localeCompare(b))).toEqual(ids.toSorted((a, b) => a.localeCompare(b)))
})

test('a stream that somebody deletes is made again', async () => {
  await using rig = await start([CAT])
  await post(rig, 'cat')
  await empty()
  await manager.streams.delete('OF_faas-request')
  await until('calls are accepted again', async () => (await rig.call('/async-function/cat', { method: 'POST' })).status === 202) // prettier-ignore
  await until('the call has run', () => logged(rig, 'Invoked: cat [200]') > 1)
  await empty()
  expect(logged(rig, 'Invoked: cat [200]')).toBe(2)
})

describe('cancelling', () => {
  test('reaches what runs, what waits for a retry, and what this gateway has stored', async () => {
    await using receiver = await startReceiver()
    await using rig = await start([nodeFunction('misbehave', 'misbehave', { annotations: WAIT })], { inFlightMax: 1 })
    const callback = { 'X-Callback-Url': receiver.url }
    await post(rig, 'misbehave/refuse?code=500', { ...callback, 'X-Call-Id': 'retried' })
    await until('it waits for its retry', () => logged(rig, 'retry 1 in') === 1)
    await post(rig, 'misbehave/never', { ...callback, 'X-Call-Id': 'running' })
    await until('it runs', () => logged(rig, 'Invoking: misbehave') === 2)
    await post(rig, 'misbehave/fine', { ...callback, 'X-Call-Id': 'waiting' })
    expect(await messages()).toBe(3)
    for (const id of ['waiting', 'retried', 'running']) expect(await cancel(rig, id)).toBe(202)
    await empty()
    await until('the function is no longer waited for', () => logged(rig, '/misbehave/never - [499]') === 1)
    expect([await cancel(rig, 'running'), await cancel(rig, 'nobody')]).toEqual([202, 404])
    expect(receiver.received).toEqual([])
  })

  test('reaches what an earlier gateway has stored', async () => {
    const idle = { annotations: { 'com.openfaas.queue': 'idle' } }
    {
      await using first = await start([nodeFunction('misbehave', 'misbehave', idle)], { inFlightMax: 1 })
      await post(first, 'misbehave/never', { 'X-Call-Id': 'running' })
      await until('it runs', () => logged(first, 'Invoking: misbehave') === 1)
      for (const id of ['a', 'b']) await post(first, 'misbehave/never', { 'X-Call-Id': id })
    }
    await using second = await start([nodeFunction('misbehave', 'misbehave', idle)], { inFlightMax: 1 })
    await until('one of them runs', () => logged(second, 'Invoking: misbehave') === 1)
    for (const id of ['a', 'b', 'running']) expect(await cancel(second, id)).toBe(202)
    await empty('OF_idle')
  })
})

describe('at the start', () => {
  test.each([
    ['nats://127.0.0.1:1', 'HUB_SOURCE_UNREACHABLE'],
    ['tls://127.0.0.1:PORT', 'HUB_SOURCE_TLS'],
  ])('%s is %s', async (url, code) => {
    const nowhere = url.replace('PORT', String(server.port))
    await expect(start([], { nats: natsSettings(nowhere) })).rejects.toMatchObject({ code })
  })

  test('wrong credentials and a server without JetStream are named', async () => {
    await using guarded = await startNats({ credentials: { user: 'hub', password: 'right' }, jetStream: false })
    const at = (user: string): string => guarded.url.replace('nats://', `nats://hub:${user}@`)
    await expect(start([], { nats: natsSettings(at('wrong')) })).rejects.toMatchObject({ code: 'HUB_SOURCE_AUTH' })
    const refused = start([], { nats: natsSettings(at('right')) })
    await expect(refused).rejects.toMatchObject({ code: 'HUB_SOURCE_PROTOCOL', message: expect.not.stringContaining('right') }) // prettier-ignore
  })
})

test('a call larger than a message may be is a 413', async () => {
  await using rig = await start([CAT], { bodyBytesMax: 8 * 1024 * 1024 })
  const body = 'x'.repeat(1024 * 1024)
  expect(await rig.call('/async-function/cat', { method: 'POST', body })).toMatchObject({ status: 413 })
  expect(await messages()).toBe(0)
})
