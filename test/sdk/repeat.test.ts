// Now and then, never twice at a time, and at once when it is asked for.

import { expect, test } from 'vitest'

import { ManualClock, Repeat } from '../../src/sdk/index.ts'

function repeating(clock: ManualClock): { readonly repeat: Repeat; readonly runs: PromiseWithResolvers<void>[] } {
  const runs: PromiseWithResolvers<void>[] = []
  const work = (): Promise<void> => {
    const run = Promise.withResolvers<void>()
    runs.push(run)
    return run.promise
  }
  return { repeat: new Repeat(clock, 1000, work), runs }
}

test('runs when it is asked to, and again so long after the last time has ended', async () => {
  const clock = new ManualClock()
  const { repeat, runs } = repeating(clock)
  await clock.advance(5000)
  expect(runs).toHaveLength(0)
  repeat.now()
  await clock.advance(5000)
  expect(runs).toHaveLength(1)
  runs[0]?.resolve()
  await clock.advance(999)
  expect(runs).toHaveLength(1)
  await clock.advance(1)
  expect(runs).toHaveLength(2)
})

test('what is asked for while it runs comes right after it, once', async () => {
  const clock = new ManualClock()
  const { repeat, runs } = repeating(clock)
  repeat.now()
  await clock.advance(0)
  repeat.now()
  repeat.now()
  expect(runs).toHaveLength(1)
  runs[0]?.resolve()
  await clock.advance(0)
  await clock.advance(0)
  expect(runs).toHaveLength(2)
})

test('stopped, it does not begin again', async () => {
  const clock = new ManualClock()
  const { repeat, runs } = repeating(clock)
  repeat.now()
  await clock.advance(0)
  repeat.stop()
  runs[0]?.resolve()
  await clock.advance(10_000)
  repeat.now()
  await clock.advance(10_000)
  expect([runs.length, repeat.isStopped]).toEqual([1, true])
})
