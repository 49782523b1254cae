// Finished deliveries as server-sent events (WHATWG HTML, §9.2), for `tail`; and the remembered ones of an id, for `explain`.
// Holds names, times and outcomes, never a body. Served by admin.ts.

import type { IncomingMessage, ServerResponse } from 'node:http'

import type { DeliveryEnd, Ledger, LedgerEntry } from '../delivery/ledger.ts'

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
const WAITING_BYTES_MAX = 4 * 1024 * 1024
/** Failures are kept when successes no longer are. */
const WAITING_FAILED_BYTES_MAX = 5 * 1024 * 1024
/** With the bound above, what all of them can take of the memory. */
const READERS_MAX = 16
const SIGN_OF_LIFE_MS = 15_000
const FAILED: ReadonlySet<string> = new Set<DeliveryEnd>(['deadLettered', 'returned'])

/** The readers of one hub. */
export class EventStreams {
  #readers = 0

  /** Writes deliveries as they end, until the reader goes. Holds up nothing: what a reader does not take in time is left out and counted. */
  stream(
    request: IncomingMessage,
    response: ServerResponse,
    filter: StreamFilter,
    ledgers: ReadonlyMap<string, Ledger>,
  ): void {
    const refused = this.#refusal(filter, ledgers)
    if (refused !== undefined) {
      response.writeHead(refused.status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${refused.text}\n`)
      return
    }
    this.#readers += 1
    const reader = new Reader(response, filter)
    const stops = [...ledgers].flatMap(([name, ledger]) => filter.connector === undefined || filter.connector === name ? [ledger.listen((entry) => reader.take(entry))] : []) // prettier-ignore
    request.once('close', () => {
      this.#readers -= 1
      for (const stop of [...stops, () => reader.end()]) stop()
    })
  }

  #refusal(
    { connector }: StreamFilter,
    ledgers: ReadonlyMap<string, Ledger>,
  ): { readonly status: number; readonly text: string } | undefined {
    // prettier-ignore
    if (connector !== undefined && !ledgers.has(connector))
      return { status: 400, text: `this hub has no connector ${connector}; it has ${[...ledgers.keys()].join(', ')}` }
    if (this.#readers >= READERS_MAX) return { status: 503, text: `${READERS_MAX} readers follow this hub already` }
    return undefined
  }
}

class Reader {
  readonly #response: ServerResponse
  readonly #filter: StreamFilter
  readonly #alive: NodeJS.Timeout
  /** Since the reader was last told, by how the delivery ended. */
  #leftOut: Partial<Record<DeliveryEnd, number>> | undefined

  constructor(response: ServerResponse, filter: StreamFilter) {
    this.#response = response
    this.#filter = filter
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    response.write(': listening\n\n')
    response.on('drain', () => this.#tellLeftOut())
    this.#alive = setInterval(() => {
      // To one that does not read, even signs of life would add up.
      if (response.writableLength === 0) response.write(': still here\n\n')
    }, SIGN_OF_LIFE_MS)
    this.#alive.unref()
  }

  take(entry: LedgerEntry): void {
    const shown = shownPart(entry, this.#filter)
    if (shown === undefined) return
    const max = FAILED.has(entry.end) ? WAITING_FAILED_BYTES_MAX : WAITING_BYTES_MAX
    if (this.#response.writableLength > max) {
      this.#leftOut ??= {}
      this.#leftOut[entry.end] = (this.#leftOut[entry.end] ?? 0) + 1
      return
    }
    this.#tellLeftOut()
    this.#response.write(`data: ${JSON.stringify(shown)}\n\n`)
  }

  end(): void {
    clearInterval(this.#alive)
  }

  #tellLeftOut(): void {
    if (this.#leftOut === undefined || this.#response.writableLength > WAITING_BYTES_MAX) return
    this.#response.write(`event: left-out\ndata: ${JSON.stringify(this.#leftOut)}\n\n`)
    this.#leftOut = undefined
  }
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
