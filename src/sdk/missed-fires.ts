// Which of the fires that were missed are made up for. Pure. Called by the cron source after it was away: stopped,
// suspended, or over a jump of the wall clock; and by `cron next --simulate-down`, which shows what it will do.

import type { Schedule } from './schedule.ts'
import type { CatchUpPolicy } from './subscription.ts'

/** Where the configuration says nothing else. */
export const CATCH_UP_DEFAULTS = { catchUpWindow: '24h', catchUpMax: 100 } as const

export interface CatchUpLimits {
  readonly policy: CatchUpPolicy
  /** Most fires kept by `all`; the newest ones. */
  readonly fireMax: number
  /** Nothing at or before this is caught up. Unix milliseconds. */
  readonly oldestMs: number
  /** At or before `afterMs`, oldest first: begun and not known to have been settled, so to be judged with the missed ones. */
  readonly openMs?: readonly number[]
}

export interface Missed {
  /** To be fired now, oldest first. */
  readonly fires: readonly number[]
  /** Not to be fired. At least this many when `more` is set: an exact number is not worth the search. */
  readonly dropped: number
  readonly more: boolean
}

/** Beyond what is kept, this many are counted. */
const COUNT_MAX = 100

/** Fires after `afterMs` up to and including `untilMs`, sorted into those that are made up for and those that are not. */
export function missedFires(schedule: Schedule, afterMs: number, untilMs: number, limits: CatchUpLimits): Missed {
  const keepMax = limits.policy === 'none' ? 0 : limits.policy === 'last' ? 1 : limits.fireMax
  const first: number[] = []
  let atMs = schedule.next(afterMs)
  for (; atMs !== undefined && atMs <= untilMs && first.length < keepMax + COUNT_MAX; atMs = schedule.next(atMs))
    first.push(atMs)
  const more = atMs !== undefined && atMs <= untilMs
  const inWindow = more
    ? newestFires(schedule, Math.max(afterMs, limits.oldestMs), untilMs, keepMax)
    : first.filter((one) => one > limits.oldestMs)
  const { openMs = [] } = limits
  const candidates = [...openMs.filter((one) => one > limits.oldestMs), ...inWindow]
  const fires = candidates.slice(Math.max(0, candidates.length - keepMax))
  return { fires, dropped: openMs.length + first.length - fires.length, more }
}

/** The last `max` fires, oldest first. */
function newestFires(schedule: Schedule, afterMs: number, untilMs: number, max: number): readonly number[] {
  const fires: number[] = []
  for (let endMs = untilMs; fires.length < max;) {
    const lastMs = lastFire(schedule, afterMs, endMs)
    if (lastMs === undefined) break
    fires.push(lastMs)
    endMs = lastMs - 1
  }
  return fires.toReversed()
}

/** The last fire after `afterMs` and at or before `untilMs`, found by bisection: schedules only look forward. */
function lastFire(schedule: Schedule, afterMs: number, untilMs: number): number | undefined {
  let found: number | undefined
  let lowMs = afterMs
  let highMs = untilMs
  while (lowMs < highMs) {
    const middleMs = found === undefined ? lowMs : Math.floor((lowMs + highMs) / 2)
    const atMs = schedule.next(middleMs)
    if (atMs !== undefined && atMs <= untilMs) {
      found = atMs
      lowMs = atMs
    } else if (found === undefined) return undefined
    else highMs = middleMs
  }
  return found
}
