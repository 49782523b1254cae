import fc from 'fast-check'
import { expect, test } from 'vitest'

import { backoffMs } from '../../src/sdk/index.ts'

test('without jitter the wait doubles from minWait and stops at maxWait', () => {
  const settings = { minWaitMs: 1000, maxWaitMs: 10_000, jitter: 'none' } as const
  expect([1, 2, 3, 4, 5, 6].map((retry) => backoffMs(retry, settings))).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]) // prettier-ignore
})

test('a retry number below 1 is the first, and huge ones stay finite', () => {
  const settings = { minWaitMs: 1000, maxWaitMs: 60_000, jitter: 'none' } as const
  expect(backoffMs(0, settings)).toBe(1000)
  expect(backoffMs(1e9, settings)).toBe(60_000)
})

test('a minWait above maxWait is capped, and zero waits for nothing', () => {
  expect(backoffMs(1, { minWaitMs: 9000, maxWaitMs: 5000, jitter: 'none' })).toBe(5000)
  expect(backoffMs(5, { minWaitMs: 0, maxWaitMs: 5000, jitter: 'full' })).toBe(0)
})

test('jitter full is uniform in 0–100 % of the wait and equal in 50–100 % (OpenFaaS contract, async retries)', () => {
  const settings = { minWaitMs: 1000, maxWaitMs: 60_000 }
  for (const [random, full, equal] of [[0, 0, 2000], [0.5, 2000, 3000], [0.75, 3000, 3500]] as const) {
    expect(backoffMs(3, { ...settings, jitter: 'full' }, () => random)).toBe(full)
    expect(backoffMs(3, { ...settings, jitter: 'equal' }, () => random)).toBe(equal)
  } // prettier-ignore
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (retry, random) => {
      const wait = backoffMs(retry, { ...settings, jitter: 'none' })
      const full = backoffMs(retry, { ...settings, jitter: 'full' }, () => random)
      const equal = backoffMs(retry, { ...settings, jitter: 'equal' }, () => random)
      expect(full).toBeGreaterThanOrEqual(0)
      expect(full).toBeLessThan(wait)
      expect(equal).toBeGreaterThanOrEqual(wait / 2)
      expect(equal).toBeLessThan(wait)
    }),
  )
})
