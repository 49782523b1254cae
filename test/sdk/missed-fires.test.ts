import fc from 'fast-check'
import { expect, test } from 'vitest'

import { missedFires, parseSchedule } from '../../src/sdk/index.ts'

const EXPRESSIONS = ['* * * * *', '*/7 * * * *', '@hourly', '@every 90s', '0 3 * * *', 'CRON_TZ=Europe/London 30 1 * * *', '0 0 30 2 *'] // prettier-ignore
const DAY_MS = 86_400_000

test('what is kept and what is dropped is what a walk over every fire says', () => {
  const scenario = fc.record({
    expression: fc.constantFrom(...EXPRESSIONS),
    afterMs: fc.integer({ min: Date.UTC(2026, 2, 27), max: Date.UTC(2026, 2, 30) }),
    lengthMs: fc.integer({ min: 0, max: 3 * DAY_MS }),
    windowMs: fc.integer({ min: 1000, max: 4 * DAY_MS }),
    policy: fc.constantFrom('none', 'last', 'all'),
    fireMax: fc.integer({ min: 1, max: 20 }),
  })
  fc.assert(
    fc.property(scenario, ({ expression, afterMs, lengthMs, windowMs, policy, fireMax }) => {
      const schedule = parseSchedule(expression)
      const untilMs = afterMs + lengthMs
      const all: number[] = []
      for (let atMs = schedule.next(afterMs); atMs !== undefined && atMs <= untilMs; atMs = schedule.next(atMs)) all.push(atMs) // prettier-ignore
      const keepMax = { none: 0, last: 1, all: fireMax }[policy]
      const oldestMs = untilMs - windowMs
      const inWindow = all.filter((atMs) => atMs > oldestMs)
      const expected = inWindow.slice(Math.max(0, inWindow.length - keepMax))

      const missed = missedFires(schedule, afterMs, untilMs, { policy, fireMax, oldestMs })
      expect(missed.fires).toEqual(expected)
      // Counted up to 100 beyond what may be kept.
      expect(missed.dropped).toBe(Math.min(all.length, keepMax + 100) - expected.length)
      expect(missed.more).toBe(all.length > keepMax + 100)
    }),
    { numRuns: 300 },
  )
})
