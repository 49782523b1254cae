// What `dev` and `gateway` tell while they run: for people by live-view.ts, for machines as one JSON object a line.

import type { LedgerCounts, LedgerEntry } from '../delivery/ledger.ts'
import { viewWiring } from '../discovery/index.ts'
import type { Wiring } from '../discovery/index.ts'
import type { Subscription } from '../sdk/index.ts'
import { LiveView } from './live-view.ts'
import type { Output } from './output.ts'

export interface View {
  /** What a person may want to use, by name. */
  started(addresses: readonly (readonly [what: string, address: string])[]): void
  wired(wiring: Wiring): void
  /** What is sent to the broker from now on arrives. */
  subscribed(connector: string, subscriptions: readonly Subscription[]): void
  delivery(entry: LedgerEntry): void
  /** A line that a function printed. */
  functionOutput(name: string, text: string): void
  /** Lines about calls. */
  requests(lines: readonly string[]): void
  /** The books of every connector, at the end. */
  totals(rows: readonly (readonly [connector: string, counts: LedgerCounts])[]): void
}

export function viewFor(output: Output, json: boolean | undefined): View {
  return json === true ? jsonView(output) : new LiveView(output)
}

/** `kind` says what an object is; nothing is left out. */
function jsonView(output: Output): View {
  const line = (kind: string, facts: Readonly<Record<string, unknown>>): void =>
    output.write(`${JSON.stringify({ kind, ...facts })}\n`)
  return {
    started: (addresses) => line('started', { addresses: Object.fromEntries(addresses) }),
    wired: (wiring) =>
      line('wired', {
        functions: wiring.functions,
        triggers: wiring.triggers,
        ...viewWiring(wiring),
        idle: wiring.idle,
        findings: wiring.findings,
      }),
    subscribed: (connector, subscriptions) => line('subscribed', { connector, subscriptions }),
    delivery: (entry) => line('delivery', { ...entry }),
    functionOutput: (name, text) => line('output', { function: name, text }),
    requests: (lines) => output.write(lines.map((text) => `${JSON.stringify({ kind: 'request', text })}\n`).join('')),
    totals: (rows) => line('totals', { connectors: Object.fromEntries(rows) }),
  }
}
