import { expect, test } from 'vitest'

import { parseRetryAfter } from '../../src/invoke/retry-after.ts'

const NOW = Date.UTC(2026, 0, 1)

test.each([
  ['120', 120_000],
  [' 0 ', 0],
  ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
  ['Wed, 31 Dec 2025 23:59:00 GMT', 0],
  ['-1', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['', undefined],
  ['2026-01-01T00:00:30Z', undefined],
])('Retry-After: %j is %j ms', (value, expected) => {
  expect(parseRetryAfter(value, NOW)).toBe(expected)
})
