// One fire of one schedule, and what it looks like as an event and in the log (OpenFaaS contract, cron-connector).

import { HeaderWriter, scheduleIdentity } from '../../src/sdk/index.ts'
import type { EventMessage, FunctionResult, Schedule, ScheduleSubscription } from '../../src/sdk/index.ts'
import { isoTime } from './marks.ts'
import type { Slot } from './timetable.ts'

/** A schedule of a function, and where it stands. */
export interface Entry {
  subscription: ScheduleSubscription
  readonly schedule: Schedule
  /** Added to each planned time. Milliseconds. */
  jitterMs: number
  /** The next planned time; undefined: it never fires again. */
  plannedMs: number | undefined
  slot: Slot<Entry> | undefined
  /** Fires that wait or are handed out, oldest first, by planned time. */
  readonly open: Map<number, Fire>
  /** How many of `open` wait, but for those that are made up for, which have a bound of their own. */
  waiting: number
  /** Caught-up fires behind the open one; used where fires must not overlap. */
  backlog: number[]
  /** Every planned time up to here is dealt with, or is in `open` or `backlog`. */
  reachedMs: number
  /** What the state store holds, or is being told: up to here it is settled; where replicas take turns, claimed. */
  savedMs: number
  removed: boolean
}

export interface Fire {
  readonly entry: Entry
  readonly plannedMs: number
  readonly caughtUp: boolean
  /** Aborted when a later fire replaces this one. */
  readonly abort: AbortController
  /** Monotonic; when it was handed out. */
  startedAt: number | undefined
}

/**
 * `cron:billing.prod/0 9 * * *@2026-01-01T09:00:00Z`: equal on every replica and after every restart. So the epoch is no
 * part of it: a fire that is made again by another replica is the same event, and whoever remembers ids must see that.
 * @param epoch of the turn that it is handed out in, for functions that refuse what comes from an earlier one
 */
export function messageOf(fire: Fire, instance: string, epoch?: number): EventMessage {
  const { subscription } = fire.entry
  const at = isoTime(fire.plannedMs)
  return {
    id: `${instance}:${scheduleIdentity(subscription)}@${at}`,
    source: instance,
    topic: 'cron-function',
    target: subscription.function,
    body: new Uint8Array(0),
    headers: new HeaderWriter('X-Cron-')
      .own('X-Cron-Schedule', subscription.expression)
      .own('X-Cron-Scheduled-At', at)
      .own('X-Cron-Caught-Up', fire.caughtUp ? 'true' : undefined)
      .own('X-Cron-Epoch', epoch === undefined ? undefined : String(epoch))
      .build(),
    attempt: 1,
    timestampMs: fire.plannedMs,
  }
}

export function nameOf({ function: name, expression }: ScheduleSubscription): string {
  return `${name} [${expression}]`
}

/** `Response: env [200] (12ms)`, from a second on `(1.25s)`. */
export function responseText({ function: name, status, durationMs }: FunctionResult): string {
  const duration = durationMs < 1000 ? `${Math.floor(durationMs)}ms` : `${(durationMs / 1000).toFixed(2)}s`
  return `Response: ${name.split('.')[0]} [${status}] (${duration})`
}
