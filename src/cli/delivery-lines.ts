// A delivery as lines for a person: one for each function that it was for. Pure; shown by live-view.ts and by `tail`.

import type { DeliveryEnd, LedgerCall, LedgerEntry } from '../delivery/ledger.ts'
import { formatDuration } from '../sdk/index.ts'
import { paint, printable } from './output.ts'
import type { Style } from './output.ts'

export interface DeliveryLine {
  readonly end: DeliveryEnd
  /** Without a line feed, nothing in it drives the terminal. */
  readonly text: string
}

const END: Readonly<Record<DeliveryEnd, readonly [string, Style]>> = {
  acked: ['✓', 'green'],
  unmatched: ['·', 'gray'],
  filtered: ['·', 'gray'],
  deadLettered: ['✗', 'red'],
  returned: ['↺', 'yellow'],
}

/** What a person has to look at. */
export function isFailure(end: DeliveryEnd): boolean {
  return end === 'deadLettered' || end === 'returned'
}

/** @param atMs shown as its time, Unix milliseconds */
export function deliveryLines(entry: LedgerEntry, atMs: number, color: boolean): readonly DeliveryLine[] {
  const head = (end: DeliveryEnd): string => `${clockText(atMs, color)} ${paint(color, END[end][1], END[end][0])} ${entry.source} ${paint(color, 'bold', entry.topic)}` // prettier-ignore
  if (entry.calls.length === 0) return [{ end: entry.end, text: printable(`${head(entry.end)} ${paint(color, 'gray', '→ no function')}`, color) }] // prettier-ignore
  return entry.calls.map((call) => ({
    end: call.result,
    text: printable(`${head(call.result)} → ${call.function}  ${paint(color, callStyle(call), callText(call))}`, color),
  }))
}

/** `12:00:00`, in UTC. */
export function clockText(atMs: number, color: boolean): string {
  return paint(color, 'gray', new Date(atMs).toISOString().slice(11, 19))
}

function callText({ result, invocations, status, reason, durationMs }: LedgerCall): string {
  if (result === 'filtered') return 'filtered out'
  if (result === 'deadLettered') return `dead letter: ${reason}`
  if (result === 'returned') return reason
  const tries = invocations > 1 ? `, ${invocations} attempts` : ''
  return `${status === 0 ? 'no answer' : status} in ${formatDuration(durationMs)}${tries}`
}

function callStyle({ result }: LedgerCall): Style {
  return result === 'acked' ? 'gray' : END[result][1]
}
