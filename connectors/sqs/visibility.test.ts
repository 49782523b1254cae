// A message is hidden from others for as long as it is held here, and no longer.

import { beforeEach, describe, expect, test, vi } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { startFront } from './front.ts'
import type { Front } from './front.ts'
import { Place, WAIT, ack, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const HOURS_MS = 3_600_000

describe('visibility', { timeout: 60_000 }, () => {
  test('an event outlives the visibility timeout many times while it is held, and is settled then', async () => {
    const queue = await place.queue()
    await place.send(queue, 'slow')
    const source = await place.source({ visibilityTimeout: '1s' }).opened([queue])
    await source.arrived(1)
    const heldUntil = Date.now() + 4000
    await vi.waitFor(async () => {
      expect(await place.receive(queue)).toEqual([])
      expect(Date.now()).toBeGreaterThan(heldUntil)
    }, WAIT)
    expect(source.arrivals).toHaveLength(1)
    expect(await ack(source.arrivals[0])).toBe('settled')
    expect(await place.count(queue)).toBe(0)
  })

  test('what is held when the source is closed is visible at once, handed out or not', async () => {
    const queue = await place.queue()
    for (let sent = 0; sent < 12; sent++) await place.send(queue, `event ${sent}`)
    const source = await place.source({}, { unsettledMax: 4 }).opened([queue])
    await source.arrived(4)
    await ack(source.arrivals[0])
    await source.arrived(5)
    await source[Symbol.asyncDispose]()
    expect(await place.receive(queue)).toHaveLength(11)
  })

  test('a poll that is open when the source is closed is not cut, and what it brings goes back', async () => {
    const queue = await place.queue()
    const source = await place.source({ waitTime: '2s' }).opened([queue])
    const closed = source.source.close()
    await place.send(queue, 'late')
    await closed
    expect((await place.receive(queue)).map(({ Body: body }) => body)).toEqual(['late'])
  })

  test('of a topic that is not wanted any more, what the hub has not seen goes back, and the rest is settled', async () => {
    const [queue, other] = [await place.queue(), await place.queue()]
    for (let sent = 0; sent < 4; sent++) await place.send(queue, `event ${sent}`)
    const source = await place.source({}, { unsettledMax: 2 }).opened([queue, other])
    await source.arrived(2)
    await until(() => source.source.backlog?.().find(({ topic }) => topic === queue)?.waiting === 2, 'two wait here') // prettier-ignore
    await source.subscribe([other])
    await vi.waitFor(async () => expect(await place.receive(queue)).toHaveLength(2), WAIT)
    for (const arrival of source.arrivals) expect(await ack(arrival)).toBe('settled')
    expect(await place.count(queue)).toBe(2)
  })

  test('a retry that SQS delays counts as a receive, one beyond maxReceiveCount is made here', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters, receivesMax: 2 })
    await place.send(queue, 'shaky')
    const source = await place.source().opened([queue])
    for (let attempt = 1; attempt <= 4; attempt++) {
      await source.arrived(attempt)
      const arrival = source.arrivals[attempt - 1]
      expect(arrival?.message.attempt).toBe(attempt)
      await arrival?.settle({ kind: 'retry', delayMs: 0, reason: 'answered 500' })
    }
    await source.arrived(5)
    expect(await ack(source.arrivals[4])).toBe('settled')
    expect(await place.count(letters)).toBe(0)
    expect(await place.count(queue)).toBe(0)
    expect(source.log.lines.some((line) => line.includes('sqs.few-receives'))).toBe(true)
  })

  test('a message that SQS delivers again while it is held is the same event, settled with the new receipt', async () => {
    const queue = await place.queue()
    await place.send(queue, 'twice')
    await using front = await startFront(place.server.port)
    // Heartbeats are not heard: SQS loses patience.
    front.answer = ({ operation }) => (operation === 'ChangeMessageVisibilityBatch' ? { status: 200, body: { Successful: [] } } : undefined) // prettier-ignore
    const source = await place.source({ endpoint: front.url, visibilityTimeout: '2s' }).opened([queue])
    await source.arrived(1)
    // Each waits a second: the fourth has begun when the two are over, and ended when there is a fifth.
    await until(() => receives(front) >= 5, 'it is received again')
    front.answer = () => undefined
    expect(await ack(source.arrivals[0])).toBe('settled')
    expect(await place.count(queue)).toBe(0)
    expect(source.arrivals).toHaveLength(1)
  })
})

function receives({ calls }: Front): number {
  return calls.filter(({ operation }) => operation === 'ReceiveMessage').length
}

describe('twelve hours', { timeout: 60_000 }, () => {
  let clock: ManualClock
  beforeEach(() => void (clock = new ManualClock()))

  test('are what SQS hides a message for: no heartbeat asks for more, and then the event is let go', async () => {
    const queue = await place.queue()
    await place.send(queue, 'endless')
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url, visibilityTimeout: '1h' }, { clock }).opened([queue])
    await source.arrived(1)
    const heartbeats = (): number[] => front.calls.flatMap(({ operation, input }) => operation === 'ChangeMessageVisibilityBatch' ? [(input['Entries'] as { VisibilityTimeout: number }[])[0]?.VisibilityTimeout ?? -1] : []) // prettier-ignore
    for (let hour = 0; hour < 13 * 3; hour++) {
      const before = heartbeats().length
      await clock.advance(HOURS_MS / 3)
      // One is due at each look once a third of the time is over, until nothing is left.
      if (hour >= 1 && hour < 35) await until(() => heartbeats().length > before, `heartbeat ${hour}`)
    }
    const asked = heartbeats()
    expect(Math.max(...asked)).toBe(3600)
    expect(asked.at(-1)).toBeLessThan(3600)
    expect(asked.at(-1)).toBeGreaterThan(0)
    expect(source.counts['sqs_lapsed_total']).toBe(1)
  })
})
