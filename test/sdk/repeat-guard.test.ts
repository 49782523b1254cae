import { expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { RepeatGuard } from '../../src/sdk/index.ts'

test('says a thing once a window, and then how often it was left unsaid', async () => {
  const clock = new ManualClock()
  const guard = new RepeatGuard(clock, 1000)
  expect([guard.pass('a'), guard.pass('a'), guard.pass('a'), guard.pass('b')]).toEqual([0, undefined, undefined, 0])
  await clock.advance(999)
  expect(guard.pass('a')).toBeUndefined()
  await clock.advance(1)
  expect([guard.pass('a'), guard.pass('a')]).toEqual([3, undefined])
  await clock.advance(5000)
  expect(guard.pass('b')).toBe(0)
})

test('goes by the time that passed, not by the wall clock', () => {
  const clock = new ManualClock()
  const guard = new RepeatGuard(clock, 1000)
  guard.pass('a')
  clock.jump(-3_600_000)
  expect(guard.pass('a')).toBeUndefined()
  clock.jump(7_200_000)
  expect(guard.pass('a')).toBeUndefined()
})
