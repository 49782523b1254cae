// Cancelling async calls, queues of their own, and what the queue reports.

import { afterEach, describe, expect, test } from 'vitest'

import { startReceiver } from './receiver.ts'
import { nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

let rig: Rig
afterEach(() => rig[Symbol.asyncDispose]())

const post = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  rig.call(`/async-function/${path}`, { method: 'POST', headers })
const cancel = async (id: string): Promise<number> => (await rig.call(`/async-function/${id}`, { method: 'DELETE' })).status // prettier-ignore
const logged = (part: string): number => rig.log.requests.filter((line) => line.includes(part)).length

async function metric(start: string): Promise<string[]> {
  const { text } = await rig.call('/metrics')
  return text.split('\n').filter((line) => line.startsWith(start))
}

describe('DELETE /async-function/{call-id}', () => {
  test('cancels what waits, what runs and what waits for a retry: 202, also again, and no callback', async () => {
    const WAIT = { 'com.openfaas.retry.min_wait': '1h', 'com.openfaas.retry.max_wait': '1h' }
    rig = await startRig([nodeFunction('misbehave', 'misbehave', { annotations: WAIT })], { queue: { inFlightMax: 1 } })
    await using receiver = await startReceiver()
    const callback = { 'X-Callback-Url': receiver.url }
    await post('misbehave/refuse?code=500', { ...callback, 'X-Call-Id': 'retried' })
    await until('it waits for its retry', () => logged('retry 1 in') === 1)
    await post('misbehave/never', { ...callback, 'X-Call-Id': 'running' })
    await until('it runs', () => logged('Invoking: misbehave with 0 bytes') === 2)
    await post('misbehave/fine', { ...callback, 'X-Call-Id': 'odd/id e' })
    expect(await metric('queue_worker_pending_messages')).toEqual(['queue_worker_pending_messages{queue_name="faas-request"} 2']) // prettier-ignore
    expect(await metric('queue_worker_function_invocation_inflight')).toEqual(['queue_worker_function_invocation_inflight{function_name="misbehave.openfaas-fn"} 1']) // prettier-ignore

    expect(await cancel('odd%2Fid%20e')).toBe(202)
    expect(await cancel('retried')).toBe(202)
    expect(rig.gateway.queueLength).toBe(1)
    expect(await cancel('running')).toBe(202)
    await until('the function is no longer waited for', () => logged('to /function/misbehave/never - [499]') === 1)
    expect(rig.gateway.queueLength).toBe(0)
    expect(await Promise.all(['running', 'retried', 'odd%2Fid%20e'].map(cancel))).toEqual([202, 202, 202])

    // The slot is free, and what follows is called back.
    await post('misbehave/fine', { ...callback, 'X-Call-Id': 'last' })
    await until('the last one is called back', () => receiver.received.length > 0)
    expect(receiver.received.map(({ headers }) => headers['x-call-id'])).toEqual(['last'])
    await until('it is over', () => rig.gateway.queueLength === 0)
    expect(await cancel('last')).toBe(404)
    expect(await metric('queue_worker_messages_')).toEqual([
      'queue_worker_messages_submitted_total{queue_name="faas-request"} 4',
      'queue_worker_messages_processed_total{queue_name="faas-request"} 1',
      'queue_worker_messages_cancelled_total{queue_name="faas-request"} 3',
    ])
  })

  test('is a 404 for an id that nobody knows, and for none', async () => {
    rig = await startRig([])
    expect(await rig.call('/async-function/nobody', { method: 'DELETE' })).toMatchObject({
      status: 404,
      text: 'no call nobody is queued or running\n',
    })
    expect(await Promise.all(['', '%zz'].map(cancel))).toEqual([404, 404])
  })

  test('breaks a callback off that is on its way', async () => {
    rig = await startRig([processFunction('cat', 'cat')])
    await using silent = await startReceiver(200, {}, () => false)
    await post('cat', { 'X-Callback-Url': silent.url, 'X-Call-Id': 'mine' })
    await until('it is on its way', () => silent.received.length === 1)
    expect(await cancel('mine')).toBe(202)
    await until('it is over', () => logged('the call was cancelled') === 1)
    expect(rig.gateway.queueLength).toBe(0)
  })

  test('an id that was cancelled can be used again', async () => {
    rig = await startRig([processFunction('cat', 'cat')])
    await post('nobody', { 'X-Call-Id': 'again' })
    expect(await cancel('again')).toBe(202)
    await post('cat', { 'X-Call-Id': 'again' })
    await until('it has run', () => rig.gateway.queueLength === 0 && logged('Invoked: cat [200]') === 1)
    expect(await cancel('again')).toBe(404)
  })
})

test('a queue of its own does not hold the others up, and is bounded for itself', async () => {
  const slow = { 'com.openfaas.queue': 'slow' }
  rig = await startRig([nodeFunction('misbehave', 'misbehave', { annotations: slow }), processFunction('cat', 'cat')], {
    queue: { inFlightMax: 1, drainMs: 0 },
  })
  for (let call = 0; call < 3; call += 1) await post('misbehave/never')
  await until('one of them runs', () => logged('Invoking: misbehave') === 1)
  for (let call = 0; call < 5; call += 1) await post('cat')
  await until('the other queue is empty', () => rig.gateway.queueLength === 3)
  expect(logged('Invoking: misbehave')).toBe(1)
  expect(await metric('queue_worker_messages_processed_total')).toEqual([
    'queue_worker_messages_processed_total{queue_name="faas-request"} 5',
    'queue_worker_messages_processed_total{queue_name="slow"} 0',
  ])
})

test('a function that is queued by both of its names gets no more calls than it takes', async () => {
  rig = await startRig([processFunction('single', 'cat', { envVars: { max_inflight: '1' } })])
  await Promise.all(Array.from({ length: 10 }, (_, call) => post(call % 2 === 0 ? 'single' : 'single.openfaas-fn')))
  await until('all have run', () => rig.gateway.queueLength === 0)
  expect([logged('Invoked: single'), logged('[429]')]).toEqual([10, 0])
})

test('the worker says what it does as OpenFaaS’s own', async () => {
  rig = await startRig([processFunction('cat', 'cat')])
  await using receiver = await startReceiver()
  await rig.call('/async-function/cat/a?b=1', { method: 'POST', headers: { 'X-Callback-Url': receiver.url, 'X-Call-Id': 'mine' }, body: 'hello' }) // prettier-ignore
  await until('it is over', () => rig.gateway.queueLength === 0)
  const lines = rig.log.requests.filter((line) => line.startsWith('['))
  expect(lines.map((line) => line.replace(/in \d+\.\d{6}s$/, 'in <s>s'))).toEqual([
    '[mine] Queueing (5) bytes for: cat.',
    "[#1] Received on [faas-request]: 'mine'",
    `[#1] Invoking: cat with 5 bytes, via: ${rig.gateway.address}/function/cat/a?b=1`,
    '[#1] Invoked: cat [200] in <s>s',
    '[#1] cat returned 5 bytes',
    `[#1] Callback to: ${receiver.url}/`,
    `[#1] Posted result for cat to callback-url: ${receiver.url}/, status: 200`,
  ])
})

describe('settings', () => {
  test('a function that is not deployed is a 404 where that is checked', async () => {
    rig = await startRig([processFunction('cat', 'cat')], { queue: { checksFunctions: true } })
    expect(await post('nobody')).toMatchObject({
      status: 404,
      text: 'error finding function nobody.openfaas-fn: it is not deployed\n',
    })
    expect((await post('cat')).status).toBe(202)
  })

  test('a body may be as large as they say', async () => {
    rig = await startRig([processFunction('cat', 'cat')], { queue: { bodyBytesMax: 10 } })
    const status = async (body: string): Promise<number> => (await rig.call('/async-function/cat', { method: 'POST', body })).status // prettier-ignore
    expect([await status('0123456789'), await status('0123456789x')]).toEqual([202, 413])
  })
})
