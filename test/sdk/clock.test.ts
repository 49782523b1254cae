import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { ManualClock, sleep, systemClock } from '../../src/sdk/index.ts'

describe('ManualClock', () => {
  test('fires in order of time, then of setting, with the time that it is due', async () => {
    const clock = new ManualClock(1000)
    const seen: string[] = []
    const note = (name: string) => () => void seen.push(`${name}@${clock.now()}`)
    clock.after(20, note('c'))
    clock.after(10, note('a'))
    clock.after(10, note('b'))
    clock.after(31, note('late'))
    await clock.advance(30)
    expect(seen).toEqual(['a@1010', 'b@1010', 'c@1020'])
    expect(clock.now()).toBe(1030)
    expect(clock.pending).toBe(1)
  })

  test('fires what a timer sets within the advance, after letting promises settle', async () => {
    const clock = new ManualClock(0)
    const seen: number[] = []
    const loop = async (): Promise<void> => {
      for (let round = 0; round < 3; round++) {
        await sleep(clock, 10)
        seen.push(clock.now())
      }
    }
    const looping = loop()
    await clock.advance(100)
    await looping
    expect(seen).toEqual([10, 20, 30])
  })

  test('a cancelled timer does not fire, and cancelling again does nothing', async () => {
    const clock = new ManualClock()
    const fired = vi.fn<() => void>()
    const timer = clock.after(5, fired)
    timer.cancel()
    timer.cancel()
    await clock.advance(10)
    expect(fired).not.toHaveBeenCalled()
    expect(clock.pending).toBe(0)
  })

  test('a jump of the wall clock moves neither timers nor the monotonic clock', async () => {
    const clock = new ManualClock(10_000)
    const fired = vi.fn<() => void>()
    clock.after(50, fired)
    clock.jump(-5000)
    expect(clock.now()).toBe(5000)
    expect(clock.monotonic()).toBe(0)
    await clock.advance(49)
    clock.jump(1_000_000)
    expect(fired).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(fired).toHaveBeenCalledOnce()
    expect(clock.now()).toBe(1_005_050)
  })
})

describe('sleep', () => {
  test('rejects with the reason of its signal and leaves no timer', async () => {
    const clock = new ManualClock()
    const abort = new AbortController()
    const sleeping = sleep(clock, 1000, abort.signal)
    abort.abort(new Error('closing'))
    await expect(sleeping).rejects.toThrow('closing')
    expect(clock.pending).toBe(0)
    await expect(sleep(clock, 1000, abort.signal)).rejects.toThrow('closing')
    expect(clock.pending).toBe(0)
  })

  test('leaves no listener on a signal that outlives it', async () => {
    const clock = new ManualClock()
    const { signal } = new AbortController()
    const remove = vi.spyOn(signal, 'removeEventListener')
    const sleeping = sleep(clock, 10, signal)
    await clock.advance(10)
    await sleeping
    expect(remove).toHaveBeenCalledOnce()
  })
})

describe('systemClock', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const DAY_MS = 86_400_000

  test('keeps delays that Node’s own timers cut to a millisecond', () => {
    const fired = vi.fn<() => void>()
    systemClock.after(60 * DAY_MS, fired)
    vi.advanceTimersByTime(60 * DAY_MS - 1)
    expect(fired).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(fired).toHaveBeenCalledOnce()
  })

  test('cancels a long delay in any of its parts', () => {
    const fired = vi.fn<() => void>()
    const timer = systemClock.after(60 * DAY_MS, fired)
    vi.advanceTimersByTime(30 * DAY_MS)
    timer.cancel()
    expect(vi.getTimerCount()).toBe(0)
    vi.advanceTimersByTime(60 * DAY_MS)
    expect(fired).not.toHaveBeenCalled()
  })

  test('a negative delay is as soon as possible', () => {
    const fired = vi.fn<() => void>()
    systemClock.after(-5, fired)
    vi.advanceTimersByTime(1)
    expect(fired).toHaveBeenCalledOnce()
  })
})
