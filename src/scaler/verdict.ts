// What follows for scaling from what a broker said. Pure; called by the service.

import type { HubError } from '../sdk/index.ts'
import type { LagReading } from './lag-watch.ts'

export type Verdict<T> = { readonly value: T } | { readonly problem: HubError }

/**
 * Is there work? No only when everything is known: a hub must not be taken away while a part of its topics cannot be seen.
 * A place that no hub has made yet is work, since only a hub that runs makes it.
 */
export function activity(reading: LagReading, activationLag: number): Verdict<boolean> {
  if (reading.kind === 'unknown') return reading
  const { lags } = reading
  if (eventsOf(reading) > activationLag || lags.some(({ kind }) => kind === 'unread')) return { value: true }
  const unknown = lags.find((lag) => lag.kind === 'unknown')
  return unknown === undefined ? { value: false } : unknown
}

/** Events that are not settled, of the topics that are known. A queue that is missing must not keep the others from scaling. */
export function lagEvents(reading: LagReading): Verdict<number> {
  if (reading.kind === 'unknown') return reading
  const { lags } = reading
  const unknown = lags.find((lag) => lag.kind === 'unknown')
  if (unknown !== undefined && lags.every(({ kind }) => kind === 'unknown')) return unknown
  return { value: eventsOf(reading) }
}

function eventsOf({ lags, held }: Extract<LagReading, { kind: 'read' }>): number {
  return lags.reduce((sum, lag) => (lag.kind === 'known' ? sum + lag.waiting + (lag.unsettled ?? 0) : sum), held)
}
