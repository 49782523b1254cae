// The queue itself: what is settled, what comes again, and what a restart finds.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { AsyncQueue } from '../../src/gateway/queue.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import type { Delivery } from '../../src/sdk/index.ts'

const ACK = { kind: 'ack' } as const

let directory: string
let clock: ManualClock
const stop = new AbortController()

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'queue-test-'))
  clock = new ManualClock()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function openQueue(callsMax = 100): AsyncQueue {
  const path = join(directory, 'queue.db')
  return new AsyncQueue({
    path,
    clock,
    callsMax,
    bytesMax: 1e6,
    responseBytesMax: 1024,
    userAgent: 'test/1',
    log: () => {},
  })
}

function enqueue(queue: AsyncQueue, callId: string): Promise<void> {
  return queue.enqueue({
    callId,
    function: 'orders.shop',
    path: '/v1?a=1',
    contentType: 'text/plain',
    headers: { 'X-Mine': 'yes' },
    body: Buffer.from([0, 255]),
    callbackUrl: undefined,
  })
}

/** The next `count` deliveries; waits for them. */
async function take(queue: AsyncQueue, count: number): Promise<Delivery[]> {
  const taken: Delivery[] = []
  for await (const delivery of queue.deliveries(stop.signal)) {
    taken.push(delivery)
    if (taken.length === count) break
  }
  return taken
}

const idsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ message }) => message.id)

test('a call is a delivery for its function, with everything it was queued with', async () => {
  using queue = openQueue()
  await enqueue(queue, 'a')
  const [delivery] = await take(queue, 1)
  expect(delivery?.message).toEqual({
    id: 'a',
    source: 'queue',
    topic: 'orders.shop',
    target: 'orders.shop',
    path: '/v1?a=1',
    contentType: 'text/plain',
    headers: { 'X-Mine': 'yes' },
    body: new Uint8Array([0, 255]),
    attempt: 1,
    timestampMs: clock.now(),
  })
})

test('calls come in the order they were accepted', async () => {
  using queue = openQueue()
  await Promise.all(['a', 'b', 'c'].map((id) => enqueue(queue, id)))
  expect(idsOf(await take(queue, 3))).toEqual(['a', 'b', 'c'])
})

test('a restart finds what was not settled, and only that', async () => {
  {
    using queue = openQueue()
    await Promise.all(['a', 'b', 'c'].map((id) => enqueue(queue, id)))
    const [, second] = await take(queue, 2)
    expect(await second?.settle(ACK)).toBe('settled')
    expect(queue.length).toBe(2)
  }
  using queue = openQueue()
  expect(queue.length).toBe(2)
  expect(idsOf(await take(queue, 2))).toEqual(['a', 'c'])
})

test('a retry comes when its time has come, with its count, over a restart', async () => {
  {
    using queue = openQueue()
    await enqueue(queue, 'a')
    const [first] = await take(queue, 1)
    await first?.settle({ kind: 'retry', delayMs: 5000, reason: 'answered 500' })
  }
  using queue = openQueue()
  const next = take(queue, 1)
  let came = false
  void next.then(() => (came = true))
  await clock.advance(4999)
  expect(came).toBe(false)
  await clock.advance(1)
  expect((await next)[0]?.message).toMatchObject({ id: 'a', attempt: 2 })
})

test('only the first settlement counts', async () => {
  using queue = openQueue()
  await enqueue(queue, 'a')
  const [delivery] = await take(queue, 1)
  await Promise.all([delivery?.settle(ACK), delivery?.settle({ kind: 'retry', delayMs: 0, reason: 'late' })])
  expect(queue.length).toBe(0)
  await enqueue(queue, 'b')
  expect(idsOf(await take(queue, 1))).toEqual(['b'])
})

test('a rejected call is gone', async () => {
  using queue = openQueue()
  await enqueue(queue, 'a')
  const [delivery] = await take(queue, 1)
  await delivery?.settle({ kind: 'reject', reason: 'answered 404', letters: [] })
  expect(queue.length).toBe(0)
})

test('a full queue refuses, and takes more once a call is done', async () => {
  using queue = openQueue(2)
  await enqueue(queue, 'a')
  await enqueue(queue, 'b')
  await expect(enqueue(queue, 'c')).rejects.toMatchObject({ code: 'HUB_QUEUE_FULL', canRetry: true })
  const [delivery] = await take(queue, 1)
  await delivery?.settle(ACK)
  await enqueue(queue, 'c')
  expect(queue.length).toBe(2)
})

test('deliveries end when they are no longer wanted', async () => {
  using queue = openQueue()
  const end = new AbortController()
  const next = queue.deliveries(end.signal).next()
  end.abort()
  expect(await next).toEqual({ done: true, value: undefined })
})
