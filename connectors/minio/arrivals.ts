// Events on their way from MinIO to the hub: handed out up to a bound, waiting beyond it; who brought one is told what became
// of it. Knows neither HTTP nor MinIO. Owned by webhook-source.ts.

import { DeliveryBuffer, Fifo } from '../../src/sdk/index.ts'
import type { Delivery, EventMessage, SettleResult, Settlement } from '../../src/sdk/index.ts'
import { Recent } from './recent.ts'

/** `returned`: not settled, and nobody here keeps it any more: it must be brought again. */
export type Fate = 'settled' | 'returned'

interface Entry {
  readonly message: EventMessage
  readonly fate: PromiseWithResolvers<Fate>
}

interface EntryDelivery extends Delivery {
  readonly entry: Entry
}

/** An event whose answer was lost on its way is brought again within seconds. */
const SETTLED_REMEMBERED = 10_000

export class Arrivals {
  readonly #unsettledMax: number
  readonly #waitingMax: number
  /** Everything that is neither settled nor returned, by id. */
  readonly #entries = new Map<string, Entry>()
  readonly #waiting = new Fifo<Entry>()
  readonly #settled = new Recent(SETTLED_REMEMBERED)
  #buffer: DeliveryBuffer<EntryDelivery>
  #isRead = false
  #out = 0

  constructor(unsettledMax: number, waitingMax: number) {
    this.#unsettledMax = unsettledMax
    this.#waitingMax = waitingMax
    this.#buffer = new DeliveryBuffer(unsettledMax)
  }

  get waiting(): number {
    return this.#waiting.length + this.#buffer.length
  }

  /** For a new reader. */
  open(): DeliveryBuffer<Delivery> {
    this.#buffer.end()
    this.#buffer = new DeliveryBuffer(this.#unsettledMax)
    this.#isRead = true
    return this.#buffer
  }

  /** One that is here already is not taken twice: both who brought it are told the same. */
  take(message: EventMessage): Promise<Fate> {
    if (this.#settled.has(message.id)) return Promise.resolve('settled')
    const known = this.#entries.get(message.id)
    if (known !== undefined) return known.fate.promise
    if (!this.#isRead || this.#waiting.length >= this.#waitingMax) return Promise.resolve('returned')
    const entry: Entry = { message, fate: Promise.withResolvers() }
    this.#entries.set(message.id, entry)
    this.#waiting.push(entry)
    this.#handOut()
    return entry.fate.promise
  }

  /** Nobody reads any more: what was not pulled is returned, what is out may still be settled. Idempotent. */
  stop(): void {
    this.#isRead = false
    for (const { entry } of this.#buffer.clear()) {
      this.#out -= 1
      this.#return(entry)
    }
    for (let entry = this.#waiting.shift(); entry !== undefined; entry = this.#waiting.shift()) this.#return(entry)
    this.#buffer.end()
  }

  /** Everything is returned; what is settled from now on is stale. Idempotent. */
  end(): void {
    this.stop()
    for (const entry of this.#entries.values()) this.#return(entry)
  }

  #handOut(): void {
    while (this.#isRead && this.#out < this.#unsettledMax) {
      const entry = this.#waiting.shift()
      if (entry === undefined) return
      this.#out += 1
      let settled: Promise<SettleResult> | undefined
      this.#buffer.push({ entry, message: entry.message, settle: (settlement) => (settled ??= this.#settle(entry, settlement)) }) // prettier-ignore
    }
  }

  #settle(entry: Entry, { kind }: Settlement): Promise<SettleResult> {
    this.#out -= 1
    // Returned meanwhile, and perhaps brought again: that one is another entry.
    const isHere = this.#entries.get(entry.message.id) === entry
    if (isHere) {
      this.#entries.delete(entry.message.id)
      if (kind !== 'retry') this.#settled.add(entry.message.id)
      entry.fate.resolve(kind === 'retry' ? 'returned' : 'settled')
    }
    this.#handOut()
    return Promise.resolve(isHere ? 'settled' : 'stale')
  }

  #return(entry: Entry): void {
    this.#entries.delete(entry.message.id)
    entry.fate.resolve('returned')
  }
}
