import fc from 'fast-check'
import { expect, test } from 'vitest'

import { OffsetTracker } from '../../src/sdk/index.ts'

test('only a contiguous prefix of settled positions can be committed', () => {
  const tracker = new OffsetTracker()
  for (const position of [5n, 6n, 9n]) tracker.add(position)
  expect(tracker.committable).toBeUndefined()
  expect(tracker.settle(6n)).toBe(false)
  expect(tracker.committable).toBeUndefined()
  expect(tracker.settle(5n)).toBe(true)
  expect(tracker.committable).toBe(7n)
  expect(tracker.span).toBe(1)
  expect(tracker.settle(9n)).toBe(true)
  expect(tracker.committable).toBe(10n)
  expect(tracker.unsettled).toBe(0)
})

test('settling a position twice or one that was never added does nothing', () => {
  const tracker = new OffsetTracker()
  tracker.add(1n)
  expect(tracker.settle(2n)).toBe(false)
  expect(tracker.settle(1n)).toBe(true)
  expect(tracker.settle(1n)).toBe(false)
  expect(tracker.committable).toBe(2n)
})

test('positions must be added in ascending order, also after everything before was settled', () => {
  const tracker = new OffsetTracker()
  tracker.add(3n)
  expect(() => tracker.add(3n)).toThrow(RangeError)
  tracker.settle(3n)
  expect(() => tracker.add(2n)).toThrow(RangeError)
})

test('whatever the order of settling, nothing unsettled is ever below the committable position', () => {
  const scenario = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3000 }).chain((gaps) => {
    let at = 0
    const positions = gaps.map((gap) => (at += gap))
    return fc.tuple(fc.constant(positions), fc.shuffledSubarray(positions))
  })
  fc.assert(
    fc.property(scenario, ([positions, settledInOrder]) => {
      const tracker = new OffsetTracker()
      for (const position of positions) tracker.add(BigInt(position))
      for (const position of settledInOrder) tracker.settle(BigInt(position))
      const done = new Set(settledInOrder)
      const firstOpen = positions.find((position) => !done.has(position))
      const prefix = positions.filter((position) => firstOpen === undefined || position < firstOpen)
      expect(tracker.committable).toBe(prefix.length === 0 ? undefined : BigInt(prefix.at(-1) as number) + 1n)
      expect(tracker.unsettled).toBe(positions.length - done.size)
    }),
    { numRuns: 60 },
  )
})
