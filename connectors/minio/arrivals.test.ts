// What becomes of events that are brought more often than once, and of those whom nobody reads.

import { expect, test } from 'vitest'

import type { Delivery, EventMessage } from '../../src/sdk/index.ts'
import { Arrivals } from './arrivals.ts'

function event(id: string): EventMessage {
  return { id, source: 'minio', topic: 't', body: new Uint8Array(), headers: {}, attempt: 1, timestampMs: 0 }
}

async function next(reader: AsyncIterator<Delivery>): Promise<Delivery> {
  const { value } = await reader.next()
  return value as Delivery
}

test('an event that is brought again while it is out is one, and both are told', async () => {
  const arrivals = new Arrivals(2, 10)
  const reader = arrivals.open()[Symbol.asyncIterator]()
  const fates = [arrivals.take(event('a')), arrivals.take(event('a'))]
  expect(await (await next(reader)).settle({ kind: 'ack' })).toBe('settled')
  expect(await Promise.all(fates)).toEqual(['settled', 'settled'])
  expect(await arrivals.take(event('a'))).toBe('settled')
  expect(arrivals.waiting).toBe(0)
})

test('what is given back is returned, and taken again when it is brought again', async () => {
  const arrivals = new Arrivals(1, 10)
  const reader = arrivals.open()[Symbol.asyncIterator]()
  const fate = arrivals.take(event('a'))
  await (await next(reader)).settle({ kind: 'retry', delayMs: 0, reason: 'a test' })
  expect(await fate).toBe('returned')
  const again = arrivals.take(event('a'))
  await (await next(reader)).settle({ kind: 'ack' })
  expect(await again).toBe('settled')
})

test('beyond its bound, without a reader and after its end everything is returned', async () => {
  const arrivals = new Arrivals(1, 1)
  expect(await arrivals.take(event('before'))).toBe('returned')
  const reader = arrivals.open()[Symbol.asyncIterator]()
  const out = arrivals.take(event('out'))
  const waiting = arrivals.take(event('waiting'))
  expect(await arrivals.take(event('beyond'))).toBe('returned')
  const delivery = await next(reader)
  arrivals.stop()
  expect(await waiting).toBe('returned')
  expect(await arrivals.take(event('later'))).toBe('returned')
  // What is out may still be settled, until the end.
  expect(await delivery.settle({ kind: 'ack' })).toBe('settled')
  expect(await out).toBe('settled')
  arrivals.end()
})

test('what is settled after the end is stale', async () => {
  const arrivals = new Arrivals(1, 1)
  const reader = arrivals.open()[Symbol.asyncIterator]()
  const fate = arrivals.take(event('a'))
  const delivery = await next(reader)
  arrivals.end()
  expect(await fate).toBe('returned')
  expect(await delivery.settle({ kind: 'ack' })).toBe('stale')
})
