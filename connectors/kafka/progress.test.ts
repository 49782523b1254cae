import fc from 'fast-check'
import { expect, test } from 'vitest'

import { decodeProgress, encodeProgress } from './progress.ts'

test('nothing to say is no metadata', () => {
  expect(encodeProgress({ settled: [], tries: new Map() })).toBe('')
})

test('whatever is said can be read again', () => {
  const distances = fc.uniqueArray(fc.nat(14_999), { maxLength: 400 }).map((all) => all.toSorted((left, right) => left - right)) // prettier-ignore
  fc.assert(
    fc.property(distances, fc.uniqueArray(fc.tuple(fc.nat(14_999), fc.integer({ min: 1, max: 50 })), { maxLength: 50, selector: ([distance]) => distance }), (settled, tried) => {
      const tries = new Map(tried)
      expect(decodeProgress(encodeProgress({ settled, tries }))).toEqual({ settled, tries })
    }), // prettier-ignore
  )
})

test('the most that may run ahead fits into what brokers take, and tries that do not fit are left out', () => {
  const settled = Array.from({ length: 15_000 }, (_, distance) => distance)
  const tries = new Map(settled.map((distance) => [distance, 17]))
  const text = encodeProgress({ settled, tries })
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4096)
  const read = decodeProgress(text)
  expect(read.settled).toEqual(settled)
  expect(read.tries.size).toBeGreaterThan(100)
  for (const [distance, count] of read.tries) expect([distance, count]).toEqual([distance, 17])
})

test.each([null, '', 'left by another client', 'hub2;1:2;AA==', 'hub1;a:b;', 'hub1;1;', '{"a":1}'])(
  'metadata that is not ours says nothing: %s',
  (metadata) => {
    expect(decodeProgress(metadata)).toEqual({ settled: [], tries: new Map() })
  },
)
