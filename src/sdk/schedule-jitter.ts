// The share of its jitter that a schedule's fires are delayed by. Pure: the same on every replica and after every restart.
// Called by the cron source, and by `cron next --simulate-down`.

import { createHash } from 'node:crypto'

import type { ScheduleSubscription } from './subscription.ts'

/** One schedule of one function: what its jitter goes by, and what state is kept by. */
export function scheduleIdentity({
  function: name,
  expression,
}: Pick<ScheduleSubscription, 'function' | 'expression'>): string {
  // prettier-ignore
  return `${name}/${expression}`
}

/** A stable amount below `jitterMs`, spread over functions and expressions. Milliseconds. */
export function jitterOf(subscription: Pick<ScheduleSubscription, 'function' | 'expression' | 'jitterMs'>): number {
  const hash = createHash('sha256').update(scheduleIdentity(subscription)).digest().readUInt32BE(0)
  return Math.floor((hash / 2 ** 32) * subscription.jitterMs)
}
