// What became of every event of one connector: exact counters that must balance, and the latest deliveries in a ring.

/** How a delivery ended. `returned`: given back to the broker, which delivers it again. */
export type DeliveryEnd = 'acked' | 'unmatched' | 'filtered' | 'deadLettered' | 'returned'

export interface LedgerCounts {
  readonly received: number
  readonly acked: number
  readonly unmatched: number
  readonly filtered: number
  readonly deadLettered: number
  readonly returned: number
  readonly inFlight: number
}

/** One function's share of a delivery. */
export interface LedgerCall {
  readonly function: string
  readonly result: 'acked' | 'filtered' | 'deadLettered' | 'returned'
  readonly invocations: number
  /** HTTP status of the last answer; 0 where there was none. */
  readonly status: number
  readonly reason: string
  readonly durationMs: number
}

export interface LedgerEntry {
  readonly id: string
  readonly source: string
  readonly topic: string
  /** Unix milliseconds. */
  readonly receivedAtMs: number
  /** From pulled to settled. */
  readonly durationMs: number
  readonly end: DeliveryEnd
  readonly calls: readonly LedgerCall[]
}

export class Ledger {
  readonly #counts = { received: 0, acked: 0, unmatched: 0, filtered: 0, deadLettered: 0, returned: 0 }
  #inFlight: () => number = () => 0
  readonly #ring: (LedgerEntry | undefined)[]
  #written = 0
  readonly #listeners = new Set<(entry: LedgerEntry) => void>()

  /** @param entriesMax how many ended deliveries are remembered */
  constructor(entriesMax: number) {
    this.#ring = Array.from({ length: entriesMax })
  }

  /** In flight is counted by whoever holds the deliveries, so that the balance compares two independent accounts. */
  measureInFlight(inFlight: () => number): void {
    this.#inFlight = inFlight
  }

  received(): void {
    this.#counts.received += 1
  }

  ended(entry: LedgerEntry): void {
    this.#counts[entry.end] += 1
    if (this.#ring.length > 0) this.#ring[this.#written++ % this.#ring.length] = entry
    for (const listener of this.#listeners) listener(entry)
  }

  get counts(): LedgerCounts {
    return { ...this.#counts, inFlight: this.#inFlight() }
  }

  /** received − (acked + unmatched + filtered + dead-lettered + returned + in flight): anything but 0 is a bug. */
  get imbalance(): number {
    const { received, acked, unmatched, filtered, deadLettered, returned, inFlight } = this.counts
    return received - (acked + unmatched + filtered + deadLettered + returned + inFlight)
  }

  /** The remembered deliveries, oldest first. */
  entries(): readonly LedgerEntry[] {
    const size = this.#ring.length
    const from = Math.max(0, this.#written - size)
    return Array.from({ length: this.#written - from }, (_, index) => this.#ring[(from + index) % size] as LedgerEntry)
  }

  /** Calls back for every delivery that ends; the returned function stops it. The listener must not throw. */
  listen(listener: (entry: LedgerEntry) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
