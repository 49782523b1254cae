// Finished deliveries as server-sent events (WHATWG HTML, §9.2), for `tail`; and the remembered ones of an id, for `explain`.
// Holds names, times and outcomes, never a body. Served by admin.ts.

import type { IncomingMessage, ServerResponse } from 'node:http'

import type { Ledger, LedgerEntry } from '../delivery/ledger.ts'

/** Which deliveries; what is left out does not matter. */
export interface StreamFilter {
  /** Instance. */
  readonly connector: string | undefined
  /** Full name. */
  readonly function: string | undefined
  /** `failed`: dead-lettered or given back. */
  readonly outcome: string | undefined
}

/** Waiting for a reader that is too slow; what comes meanwhile is counted and not kept. */
const WAITING_BYTES_MAX = 1024 * 1024
const SIGN_OF_LIFE_MS = 15_000
const FAILED: ReadonlySet<string> = new Set(['deadLettered', 'returned'])

/** Writes deliveries as they end, until the reader goes. */
export function streamEvents(
  request: IncomingMessage,
  response: ServerResponse,
  filter: StreamFilter,
  ledgers: Iterable<readonly [connector: string, ledger: Ledger]>,
): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  response.write(': listening\n\n')
  let leftOut = 0
  const write = (entry: LedgerEntry): void => {
    const shown = shownPart(entry, filter)
    if (shown === undefined) return
    if (response.writableLength > WAITING_BYTES_MAX) {
      leftOut += 1
      return
    }
    if (leftOut > 0) response.write(`event: left-out\ndata: ${leftOut}\n\n`)
    leftOut = 0
    response.write(`data: ${JSON.stringify(shown)}\n\n`)
  }
  const stops = [...ledgers].flatMap(([connector, ledger]) => filter.connector === undefined || filter.connector === connector ? [ledger.listen(write)] : []) // prettier-ignore
  const alive = setInterval(() => response.write(': still here\n\n'), SIGN_OF_LIFE_MS)
  alive.unref()
  request.once('close', () => {
    clearInterval(alive)
    for (const stop of stops) stop()
  })
}

/** What is remembered of an event, oldest first; it may have been delivered several times. */
export function entriesOf(
  id: string,
  ledgers: Iterable<readonly [connector: string, ledger: Ledger]>,
): readonly LedgerEntry[] {
  // prettier-ignore
  return [...ledgers].flatMap(([, ledger]) => ledger.entries().filter((entry) => entry.id === id))
}

/** The delivery with the calls that are asked for; undefined when there is nothing of that in it. */
function shownPart(entry: LedgerEntry, { function: name, outcome }: StreamFilter): LedgerEntry | undefined {
  if (name === undefined && outcome === undefined) return entry
  const isMeant = (result: string): boolean => outcome === undefined || result === outcome || (outcome === 'failed' && FAILED.has(result)) // prettier-ignore
  if (entry.calls.length === 0) return name === undefined && isMeant(entry.end) ? entry : undefined
  const calls = entry.calls.filter((call) => (name === undefined || call.function === name) && isMeant(call.result))
  return calls.length === 0 ? undefined : { ...entry, calls }
}
