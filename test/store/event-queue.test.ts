// What is accepted once, kept, handed out within a bound, and forgotten only when it is settled. On a real file.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import type { Delivery } from '../../src/sdk/index.ts'
import { openDatabase } from '../../src/store/database.ts'
import type { Database } from '../../src/store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue } from '../../src/store/event-queue.ts'
import type { EventQueueOptions, QueuedEvent } from '../../src/store/event-queue.ts'

const ACK = { kind: 'ack' } as const
const REJECT = { kind: 'reject', reason: 'answered 404', letters: [] } as const

let directory: string
let clock: ManualClock
let database: Database
const queues: EventQueue[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'event-queue-test-'))
  clock = new ManualClock()
  database = openDatabase(join(directory, 'inbox.db'), [EVENT_QUEUE_SCHEMA])
})
afterEach(() => {
  for (const queue of queues.splice(0)) queue[Symbol.dispose]()
  database.close()
  rmSync(directory, { recursive: true, force: true })
})

function open(options: Partial<EventQueueOptions> = {}): EventQueue {
  const queue = new EventQueue({ database, name: 'hooks', clock, eventsMax: 100, bytesMax: 10_000, unsettledMax: 50, ...options }) // prettier-ignore
  queues.push(queue)
  return queue
}

const event = (id: string, more: Partial<QueuedEvent> = {}): QueuedEvent => ({
  id,
  topic: 'github:push',
  headers: {},
  body: Buffer.from('{}'),
  timestampMs: clock.now(),
  ...more,
})

/** Reads until the test ends. */
function read(queue: EventQueue, signal = new AbortController().signal): Delivery[] {
  const arrivals: Delivery[] = []
  void (async () => {
    for await (const delivery of queue.deliveries(signal)) arrivals.push(delivery)
  })()
  return arrivals
}

const idsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ message }) => message.id)
const settledTurns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => void setImmediate(resolve))
}

describe('an event', () => {
  test('comes with all that it was put in with', async () => {
    const queue = open()
    const put = event('a', { path: '/x?y=1', contentType: 'application/json', orderingKey: 'k', target: 'f.ns', headers: { 'X-A': 'ü' }, body: Buffer.from([0, 255]) }) // prettier-ignore
    expect(await queue.put(put)).toBe('stored')
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    expect(arrivals[0]?.message).toEqual({ ...put, body: new Uint8Array([0, 255]), source: 'hooks', attempt: 1 })
  })

  test('is no other queue’s', async () => {
    const [queue, other] = [open(), open({ name: 'other' })]
    await queue.put(event('a'))
    const [mine, theirs] = [read(queue), read(other)]
    await expect.poll(() => idsOf(mine)).toEqual(['a'])
    expect([theirs.length, other.length]).toEqual([0, 0])
  })

  test('comes again in a new process, unless it was settled', async () => {
    const queue = open()
    for (const id of ['a', 'b', 'c']) await queue.put(event(id))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(3)
    await arrivals[1]?.settle(ACK)
    queue[Symbol.dispose]()
    expect(await arrivals[0]?.settle(ACK)).toBe('stale')
    const next = open()
    expect(next.length).toBe(2)
    const again = read(next)
    await expect.poll(() => idsOf(again)).toEqual(['a', 'c'])
  })

  test('comes again in a new process although the clock was set back, a retry within an hour', async () => {
    const queue = open()
    for (const id of ['new', 'retried']) await queue.put(event(id))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(2)
    await arrivals[1]?.settle({ kind: 'retry', delayMs: 60_000, reason: 'answered 500' })
    queue[Symbol.dispose]()
    clock.jump(-365 * 86_400_000)
    const again = read(open())
    await expect.poll(() => idsOf(again)).toEqual(['new'])
    await clock.advance(3_600_000)
    await expect.poll(() => idsOf(again)).toEqual(['new', 'retried'])
  })

  test('that is to be retried comes after the delay, with the next attempt', async () => {
    const queue = open()
    await queue.put(event('a'))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    await arrivals[0]?.settle({ kind: 'retry', delayMs: 1000, reason: 'answered 500' })
    await clock.advance(999)
    await settledTurns()
    expect(arrivals).toHaveLength(1)
    await clock.advance(1)
    await expect.poll(() => arrivals.map(({ message }) => message.attempt)).toEqual([1, 2])
  })
})

test('headers with several values keep each of them, over a restart', async () => {
  const queue = open()
  const headers = { 'X-A': '1', 'X-B': 'b', ['__proto__']: 'odd' }
  const put = event('a', { headers, moreHeaders: ['X-A', '2', 'X-A', '3', '__proto__', 'odder'] })
  await queue.put(put)
  queue[Symbol.dispose]()
  const arrivals = read(open())
  await expect.poll(() => arrivals).toHaveLength(1)
  expect(arrivals[0]?.message.headers).toEqual(headers)
  expect(arrivals[0]?.message.moreHeaders).toEqual(['X-A', '2', 'X-A', '3', '__proto__', 'odder'])
})

describe('cancelling', () => {
  test('forgets what waits, also for its retry, and whatever shares the id', async () => {
    const queue = open({ canCancel: true, unsettledMax: 1 })
    for (const id of ['retried', 'a', 'a', 'b']) await queue.put(event(id))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    expect(await queue.cancel('b')).toBe(1)
    await arrivals[0]?.settle({ kind: 'retry', delayMs: 1000, reason: 'answered 500' })
    await expect.poll(() => idsOf(arrivals)).toEqual(['retried', 'a'])
    expect(await Promise.all(['retried', 'a', 'b', 'never'].map((id) => queue.cancel(id)))).toEqual([1, 2, 0, 0])
    expect([queue.length, queue.unsettled, clock.pending]).toEqual([0, 0, 0])
    queue[Symbol.dispose]()
    expect(open().length).toBe(0)
  })

  test('withdraws what is handed out: settling it is stale', async () => {
    const queue = open({ canCancel: true })
    await queue.put(event('a'))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    expect(arrivals[0]?.signal?.aborted).toBe(false)
    const cancelled = queue.cancel('a')
    expect(arrivals[0]?.signal?.aborted).toBe(true)
    expect(await arrivals[0]?.settle(ACK)).toBe('stale')
    expect(await cancelled).toBe(1)
    expect(queue.length).toBe(0)
  })

  test('reaches what is just being put off until its retry', async () => {
    const queue = open({ canCancel: true })
    await queue.put(event('a'))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    const settled = arrivals[0]?.settle({ kind: 'retry', delayMs: 1000, reason: 'answered 500' })
    expect(await queue.cancel('a')).toBe(1)
    expect(await settled).toBe('stale')
    expect([queue.length, clock.pending]).toEqual([0, 0])
  })

  test('comes too late for what is just being settled for good', async () => {
    const queue = open({ canCancel: true })
    await queue.put(event('a'))
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    const settled = arrivals[0]?.settle(ACK)
    expect(await queue.cancel('a')).toBe(0)
    expect(await settled).toBe('settled')
    expect(queue.length).toBe(0)
  })

  test('that cannot be written leaves each event to be handed out again, once', async () => {
    const queue = open({ canCancel: true, unsettledMax: 2 })
    for (const id of ['retried', 'out', 'waiting']) await queue.put(event(id))
    const arrivals = read(queue)
    await expect.poll(() => idsOf(arrivals)).toEqual(['retried', 'out'])
    await arrivals[0]?.settle({ kind: 'retry', delayMs: 60_000, reason: 'answered 500' })
    await expect.poll(() => idsOf(arrivals)).toEqual(['retried', 'out', 'waiting'])
    database.sqlite.exec("CREATE TRIGGER kept BEFORE DELETE ON events BEGIN SELECT raise(FAIL, 'disk full'); END")
    for (const id of ['retried', 'out', 'waiting']) await expect(queue.cancel(id)).rejects.toThrow('disk full')
    database.sqlite.exec('DROP TRIGGER kept')
    await expect.poll(() => idsOf(arrivals.slice(3))).toEqual(['retried', 'out'])
    await Promise.all(arrivals.slice(3).map((delivery) => delivery.settle(ACK)))
    await expect.poll(() => idsOf(arrivals.slice(5))).toEqual(['waiting'])
    await arrivals[5]?.settle(ACK)
    expect([queue.length, queue.unsettled, clock.pending]).toEqual([0, 0, 0])
  })

  test('does not hand out what it is about to forget', async () => {
    const queue = open({ canCancel: true })
    await queue.put(event('a'))
    const cancelled = queue.cancel('a')
    const arrivals = read(queue)
    expect(await cancelled).toBe(1)
    await queue.put(event('b'))
    await expect.poll(() => idsOf(arrivals)).toEqual(['b'])
  })
})

describe('bounds', () => {
  test('no more than unsettledMax is out, and a new reader counts what the last one left', async () => {
    const queue = open({ unsettledMax: 2 })
    for (const id of ['a', 'b', 'c', 'd']) await queue.put(event(id))
    const first = new AbortController()
    const arrivals = read(queue, first.signal)
    await expect.poll(() => idsOf(arrivals)).toEqual(['a', 'b'])
    first.abort()
    const again = read(queue)
    await settledTurns()
    expect(again).toHaveLength(0)
    await arrivals[0]?.settle(ACK)
    await expect.poll(() => idsOf(again)).toEqual(['c'])
    await again[0]?.settle({ kind: 'retry', delayMs: 60_000, reason: 'later' })
    await expect.poll(() => idsOf(again)).toEqual(['c', 'd'])
  })

  test.each([
    ['events', { eventsMax: 2 }],
    ['bytes', { bytesMax: 9 }],
  ])('of %s: what finds no room is refused, and a settled event makes room, over a restart', async (_, bound) => {
    const first = open(bound)
    await first.put(event('a'))
    first[Symbol.dispose]()
    const queue = open(bound)
    await queue.put(event('b'))
    await expect(queue.put(event('c'))).rejects.toMatchObject({ code: 'HUB_QUEUE_FULL', canRetry: true })
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(2)
    await arrivals[0]?.settle(ACK)
    expect(await queue.put(event('c'))).toBe('stored')
  })

  test('an event that could not be written takes no room', async () => {
    const queue = open({ eventsMax: 1 })
    database.sqlite.exec('ALTER TABLE events RENAME TO elsewhere')
    await expect(queue.put(event('a'))).rejects.toThrow('no such table')
    database.sqlite.exec('ALTER TABLE elsewhere RENAME TO events')
    expect(await queue.put(event('a'))).toBe('stored')
  })
})

describe('a settlement that cannot be written', () => {
  const away = (): void => database.sqlite.exec('ALTER TABLE events RENAME TO elsewhere')
  const back = (): void => database.sqlite.exec('ALTER TABLE elsewhere RENAME TO events')

  test.each([
    ['an end', ACK, [], 0],
    ['a retry', { kind: 'retry', delayMs: 5000, reason: 'answered 500' }, [['a', 2]], 1],
  ] as const)(
    'is written once it can be, and the event is not handed out before: %s',
    async (_, settlement, later, left) => {
      const queue = open()
      const arrivals = read(queue)
      await queue.put(event('a'))
      await expect.poll(() => idsOf(arrivals)).toEqual(['a'])
      away()
      await expect(arrivals[0]?.settle(settlement)).rejects.toThrow('no such table')
      await clock.advance(60_000)
      expect([idsOf(arrivals), queue.length]).toEqual([['a'], 1])
      back()
      await clock.advance(1000)
      await expect.poll(() => queue.unsettled).toBe(0)
      await clock.advance(5000)
      await expect.poll(() => queue.length).toBe(left)
      expect(arrivals.slice(1).map(({ message }) => [message.id, message.attempt])).toEqual(later)
    },
  )

  test('does not keep the event from being cancelled', async () => {
    const queue = open({ canCancel: true })
    const arrivals = read(queue)
    await queue.put(event('a'))
    await expect.poll(() => idsOf(arrivals)).toEqual(['a'])
    away()
    await expect(arrivals[0]?.settle({ kind: 'retry', delayMs: 0, reason: '' })).rejects.toThrow('no such table')
    back()
    expect(await queue.cancel('a')).toBe(1)
    await clock.advance(60_000)
    expect([idsOf(arrivals), queue.length, clock.pending]).toEqual([['a'], 0, 0])
  })
})

describe('an id that is remembered', () => {
  const REMEMBER = { rememberMs: 60_000 }

  test('is taken once, also when it comes twice at the same moment', async () => {
    const queue = open()
    const results = await Promise.all([queue.put(event('a'), REMEMBER), queue.put(event('a'), REMEMBER)])
    expect(results).toEqual(['stored', 'known'])
    expect(queue.length).toBe(1)
  })

  test('is known after it was settled, over a restart, until its time is over', async () => {
    const queue = open()
    await queue.put(event('a'), REMEMBER)
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    await arrivals[0]?.settle(ACK)
    queue[Symbol.dispose]()
    const next = open()
    await clock.advance(59_999)
    expect(await next.put(event('a'), REMEMBER)).toBe('known')
    await clock.advance(1)
    expect(await next.put(event('a'), REMEMBER)).toBe('stored')
  })

  test('is known as long as its event waits, whatever the time', async () => {
    const queue = open()
    await queue.put(event('a'), REMEMBER)
    await clock.advance(3_600_000)
    expect(await queue.put(event('a'), REMEMBER)).toBe('known')
  })

  test('is taken again after it was rejected', async () => {
    const queue = open()
    await queue.put(event('a'), REMEMBER)
    const arrivals = read(queue)
    await expect.poll(() => arrivals).toHaveLength(1)
    await arrivals[0]?.settle(REJECT)
    expect(await queue.put(event('a'), REMEMBER)).toBe('stored')
  })

  test('does not stay for ever', async () => {
    const queue = open({ eventsMax: 10_000, bytesMax: 1e6 })
    await queue.put(event('old'), REMEMBER)
    await clock.advance(60_000)
    await Promise.all(Array.from({ length: 1000 }, (_, index) => queue.put(event(`new-${index}`), REMEMBER)))
    const count = (): unknown => database.sqlite.prepare("SELECT count(*) AS n FROM remembered WHERE id = 'old'").get()
    await expect.poll(count).toEqual({ n: 0 })
  })
})
