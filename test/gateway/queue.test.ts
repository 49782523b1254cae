// Queued calls in the embedded store: what is settled, what comes again, and what a restart finds.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test } from 'vitest'

import type { DueCall } from '../../src/gateway/queue/call.ts'
import { SqliteCalls } from '../../src/gateway/queue/sqlite-calls.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import { openDatabase } from '../../src/store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue } from '../../src/store/event-queue.ts'

const ACK = { kind: 'ack' } as const

let directory: string
let clock: ManualClock
const stop = new AbortController()

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'queue-test-'))
  clock = new ManualClock()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function openQueue(callsMax = 100): SqliteCalls {
  return new SqliteCalls({ path: join(directory, 'queue.db'), clock, callsMax, bytesMax: 1e6 })
}

const QUEUE = 'faas-request'

function enqueue(queue: SqliteCalls, callId: string, name = QUEUE): Promise<'queued'> {
  return queue.put(name, {
    callId,
    function: 'orders.shop',
    path: '/v1?a=1',
    host: 'gateway:8080',
    contentType: 'text/plain',
    headers: { 'X-Mine': 'yes' },
    moreHeaders: ['X-Mine', 'no'],
    body: Buffer.from([0, 255]),
    callbackUrl: 'http://caller/done',
    annotations: {},
  })
}

/** The next `count` calls; waits for them. */
async function take(queue: SqliteCalls, count: number, name = QUEUE): Promise<DueCall[]> {
  const taken: DueCall[] = []
  for await (const call of queue.calls(name, stop.signal)) {
    taken.push(call)
    if (taken.length === count) break
  }
  return taken
}

const idsOf = (calls: readonly DueCall[]): string[] => calls.map(({ message }) => message.id)

test('a call comes with everything it was queued with', async () => {
  await using queue = openQueue()
  await enqueue(queue, 'a')
  const [call] = await take(queue, 1)
  expect(call?.callbackUrl).toBe('http://caller/done')
  expect(call?.message).toEqual({
    id: 'a',
    source: 'faas-request',
    topic: 'orders.shop',
    target: 'orders.shop',
    path: '/v1?a=1',
    contentType: 'text/plain',
    headers: { 'X-Mine': 'yes' },
    moreHeaders: ['X-Mine', 'no'],
    body: new Uint8Array([0, 255]),
    attempt: 1,
    timestampMs: clock.now(),
  })
})

test('calls come in the order they were accepted', async () => {
  await using queue = openQueue()
  await Promise.all(['a', 'b', 'c'].map((id) => enqueue(queue, id)))
  expect(idsOf(await take(queue, 3))).toEqual(['a', 'b', 'c'])
})

test('a restart finds what was not settled, and only that', async () => {
  {
    await using queue = openQueue()
    await Promise.all(['a', 'b', 'c'].map((id) => enqueue(queue, id)))
    const [, second] = await take(queue, 2)
    expect(await second?.settle(ACK)).toBe('settled')
    expect(queue.length).toBe(2)
  }
  await using queue = openQueue()
  expect(queue.length).toBe(2)
  expect(idsOf(await take(queue, 2))).toEqual(['a', 'c'])
})

test('a retry comes when its time has come, with its count, over a restart', async () => {
  {
    await using queue = openQueue()
    await enqueue(queue, 'a')
    const [first] = await take(queue, 1)
    await first?.settle({ kind: 'retry', delayMs: 5000, reason: 'answered 500' })
  }
  await using queue = openQueue()
  const next = take(queue, 1)
  let came = false
  void next.then(() => (came = true))
  await clock.advance(4999)
  expect(came).toBe(false)
  await clock.advance(1)
  expect((await next)[0]?.message).toMatchObject({ id: 'a', attempt: 2 })
})

test('only the first settlement counts', async () => {
  await using queue = openQueue()
  await enqueue(queue, 'a')
  const [call] = await take(queue, 1)
  await Promise.all([call?.settle(ACK), call?.settle({ kind: 'retry', delayMs: 0, reason: 'late' })])
  expect(queue.length).toBe(0)
  await enqueue(queue, 'b')
  expect(idsOf(await take(queue, 1))).toEqual(['b'])
})

test('a rejected call is gone', async () => {
  await using queue = openQueue()
  await enqueue(queue, 'a')
  const [call] = await take(queue, 1)
  await call?.settle({ kind: 'reject', reason: 'answered 404', letters: [] })
  expect(queue.length).toBe(0)
})

test('a full queue refuses, and takes more once a call is done', async () => {
  await using queue = openQueue(2)
  await enqueue(queue, 'a')
  await enqueue(queue, 'b')
  await expect(enqueue(queue, 'c')).rejects.toMatchObject({ code: 'HUB_QUEUE_FULL', canRetry: true })
  const [call] = await take(queue, 1)
  await call?.settle(ACK)
  await enqueue(queue, 'c')
  expect(queue.length).toBe(2)
})

test('calls end when they are no longer wanted', async () => {
  await using queue = openQueue()
  const end = new AbortController()
  const next = queue.calls(QUEUE, end.signal).next()
  end.abort()
  expect(await next).toEqual({ done: true, value: undefined })
})

test('queues of several names do not mix, and a restart knows them', async () => {
  {
    await using queue = openQueue()
    await enqueue(queue, 'a')
    await enqueue(queue, 'b', 'slow')
    expect(idsOf(await take(queue, 1, 'slow'))).toEqual(['b'])
    expect([queue.length, await queue.pending(QUEUE), await queue.pending('slow')]).toEqual([2, 1, 0])
  }
  await using queue = openQueue()
  expect(queue.names.toSorted()).toEqual(['faas-request', 'slow'])
  expect(idsOf(await take(queue, 1, 'slow'))).toEqual(['b'])
})

test('a call is cancelled in whichever queue it is', async () => {
  await using queue = openQueue()
  await enqueue(queue, 'a')
  await enqueue(queue, 'a', 'slow')
  await enqueue(queue, 'b', 'slow')
  const [running] = await take(queue, 1)
  expect(await queue.cancel('a')).toEqual(
    new Map([
      ['faas-request', 1],
      ['slow', 1],
    ]),
  )
  expect(running?.signal.aborted).toBe(true)
  expect(await running?.settle(ACK)).toBe('stale')
  expect(await queue.cancel('a')).toEqual(new Map())
  expect(idsOf(await take(queue, 1, 'slow'))).toEqual(['b'])
})

test('what was queued before queues had names is in the default one', async () => {
  const path = join(directory, 'queue.db')
  {
    using old = openDatabase(path, [EVENT_QUEUE_SCHEMA])
    const event = { id: 'old', topic: 'f', headers: {}, body: Buffer.from('x'), timestampMs: 1 }
    using events = new EventQueue({ database: old, name: 'queue', clock, eventsMax: 9, bytesMax: 99, unsettledMax: 9 })
    await events.put(event)
  }
  await using queue = openQueue()
  expect(idsOf(await take(queue, 1))).toEqual(['old'])
})
