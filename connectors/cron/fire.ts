// One fire of one schedule, and what it looks like as an event and in the log (OpenFaaS contract, cron-connector).

import { HeaderWriter, scheduleIdentity } from '../../src/sdk/index.ts'
import type { EventMessage, FunctionResult, Schedule, ScheduleSubscription } from '../../src/sdk/index.ts'
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
  /** How many of `open` wait. */
  waiting: number
  /** Caught-up fires behind the open one; used where fires must not overlap. */
  backlog: number[]
  /** Every planned time up to here is dealt with, or is in `open` or `backlog`. */
  reachedMs: number
  /** What the state store holds, or is being told. */
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

/** `cron:billing.prod/0 9 * * *@2026-01-01T09:00:00Z`: equal on every replica and after every restart. */
export function messageOf(fire: Fire, instance: string): EventMessage {
  const { subscription } = fire.entry
  const at = new Date(fire.plannedMs).toISOString().replace('.000Z', 'Z')
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
