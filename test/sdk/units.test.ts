import fc from 'fast-check'
import { expect, test } from 'vitest'

import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/sdk/index.ts'

test.each([
  ['0', 0],
  ['300ms', 300],
  ['30s', 30_000],
  ['1m30s', 90_000],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['1.s', 1000],
  ['1h1m1s1ms', 3_661_001],
  ['100us', 0.1],
  ['100\u00b5s', 0.1],
  ['100\u03bcs', 0.1],
  ['1500ns', 0.0015],
  [' 5s ', 5000],
  ['1.005s', 1005],
  ['1m1h', 3_660_000],
])('the Go duration %j is %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each(['', ' ', '5', '1.5', 's', '5 s', '5d', '1w', '-5s', '+5s', '5S', '1m30', '1e3s', '.s', '1..5s', 'Infinity', `${'9'.repeat(400)}h`])(
  '%j is not a duration',
  (text) => {
    expect(parseDuration(text)).toBeUndefined()
  },
) // prettier-ignore

test.each([
  [0, '0ms'],
  [0.25, '0.25ms'],
  [850, '850ms'],
  [999.4, '999ms'],
  [999.7, '1s'],
  [1500, '1.5s'],
  [59_990, '59.99s'],
  [59_999, '1m'],
  [150_000, '2m30s'],
  [3_600_000, '1h'],
  [3_660_000, '1h1m'],
  [86_400_000, '24h'],
  [-1500, '-1.5s'],
])('%d ms is written %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('what is written as a duration can be read as one, within its precision', () => {
  fc.assert(
    fc.property(fc.double({ min: 1, max: 1e10, noNaN: true }), (ms) => {
      const back = parseDuration(formatDuration(ms)) as number
      // Shown to the millisecond, from a second to its hundredth, from a minute to the second.
      expect(Math.abs(back - ms)).toBeLessThanOrEqual(ms < 1000 ? 0.51 : ms < 60_000 ? 5.1 : 510)
    }),
  )
})

test.each([
  ['0B', 0],
  ['100B', 100],
  ['512KiB', 524_288],
  ['1MiB', 1_048_576],
  ['1.5GiB', 1_610_612_736],
  ['10kB', 10_000],
  ['10MB', 10_000_000],
  ['1GB', 1_000_000_000],
  ['1 MiB', 1_048_576],
])('the size %j is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each(['', '5', '1.5', 'MiB', '-1B', '1mib', '1KB', '1K', '1TiB', '1e3B', '1,5MiB', `${'9'.repeat(400)}GB`])(
  '%j is not a size',
  (text) => {
    expect(parseSize(text)).toBeUndefined()
  },
)

test.each([
  [0, '0B'],
  [1023, '1023B'],
  [1024, '1KiB'],
  [1536, '1.5KiB'],
  [1_048_576, '1MiB'],
  [1_048_575, '1MiB'],
  [5 * 2 ** 30, '5GiB'],
])('%d bytes are written %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text)
})
