import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Timetable } from './timetable.ts'

test('hands out what is due in order of time, without what was cancelled', () => {
  const entry = fc.record({ dueMs: fc.integer({ min: 0, max: 50 }), cancelled: fc.boolean() })
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 200 }), fc.integer({ min: 0, max: 60 }), (entries, nowMs) => {
      const table = new Timetable<number>()
      const slots = entries.map(({ dueMs }) => table.add(dueMs, dueMs))
      for (const [index, slot] of slots.entries()) slot.cancelled = entries[index]?.cancelled === true
      const live = entries.filter(({ cancelled }) => !cancelled).map(({ dueMs }) => dueMs).sort((a, b) => a - b) // prettier-ignore
      const taken: number[] = []
      for (let item = table.takeDue(nowMs); item !== undefined; item = table.takeDue(nowMs)) taken.push(item)
      expect(taken).toEqual(live.filter((dueMs) => dueMs <= nowMs))
      expect(table.nextDueMs).toBe(live.find((dueMs) => dueMs > nowMs))
    }),
  )
})
