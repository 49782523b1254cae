// What the server waits for us to settle, over all consumers of one connection: the bound, redeliveries, copies, and signs
// of life for what takes long. Owned by nats-source.ts.

import type { JsMsg } from '@nats-io/jetstream'

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Delivery, EventMessage, HubError, Settlement, SettleResult } from '../../src/sdk/index.ts'

export interface HeldOptions {
  readonly unsettledMax: number
  /** How long the server may take to confirm a settlement. Milliseconds. */
  readonly confirmMs: number
  toEvent(message: JsMsg): EventMessage
}

interface Entry {
  /** The latest delivery of it: only that one can be settled. */
  message: JsMsg
}

/** Settled events that may still come as a copy by an overlapping consumer. */
const REMEMBERED_MAX = 10_000

export class Held {
  readonly #options: HeldOptions
  readonly #buffer: DeliveryBuffer<Delivery>
  /** By stream and sequence. */
  readonly #entries = new Map<string, Entry>()
  readonly #settled = new Set<string>()
  #waiting: (() => void)[] = []
  #over = false
  /** Some subjects have two consumers, each of which brings its own copy. */
  remembers = false

  constructor(options: HeldOptions) {
    this.#options = options
    this.#buffer = new DeliveryBuffer(options.unsettledMax)
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** Resolves when one more may be held, or nothing will be held any more. */
  async room(): Promise<void> {
    while (!this.#over && this.#entries.size >= this.#options.unsettledMax)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Call after `room`. */
  take(message: JsMsg): void {
    if (this.#over) {
      message.nak()
      return
    }
    const { stream, streamSequence, consumer } = message.info
    const key = `${stream}:${streamSequence}`
    const known = this.#entries.get(key)
    if (known !== undefined) {
      // The server has lost patience, or the acknowledgement of the hub is on its way: still one event.
      if (known.message.info.consumer === consumer) known.message = message
      else message.ack()
      return
    }
    if (this.#settled.has(key)) {
      message.ack()
      return
    }
    const entry: Entry = { message }
    this.#entries.set(key, entry)
    let settled: Promise<SettleResult> | undefined
    this.#buffer.push({
      message: this.#options.toEvent(message),
      settle: (settlement) => (settled ??= this.#settle(key, entry, settlement)),
    })
  }

  /** Tells the server that all of it is being worked on, so that it does not deliver it again. */
  touch(): void {
    for (const { message } of this.#entries.values()) message.working()
  }

  /** The connection is gone, and with it the right to settle: the server delivers again after its wait. */
  lost(error: HubError): void {
    this.#finish()
    this.#buffer.fail(error)
  }

  /** Gives everything back at once, for other replicas or the next start. */
  giveBack(): void {
    for (const { message } of this.#entries.values()) message.nak()
    this.#finish()
    this.#buffer.clear()
    this.#buffer.end()
  }

  #finish(): void {
    this.#over = true
    this.#entries.clear()
    this.#wake()
  }

  async #settle(key: string, entry: Entry, settlement: Settlement): Promise<SettleResult> {
    if (this.#entries.get(key) !== entry) return 'stale'
    try {
      return await this.#tell(key, entry, settlement)
    } catch {
      // Not confirmed: it will come again.
      return 'stale'
    } finally {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      this.#wake()
    }
  }

  async #tell(key: string, { message }: Entry, settlement: Settlement): Promise<SettleResult> {
    if (settlement.kind === 'retry') {
      // Unconfirmed, as the client has it: lost with the connection, it comes again after the wait.
      message.nak(settlement.delayMs)
      return 'settled'
    }
    if (settlement.kind === 'reject') {
      message.term(settlement.reason)
      this.#remember(key)
      return 'settled'
    }
    if (!(await message.ackAck({ timeout: this.#options.confirmMs }))) return 'stale'
    this.#remember(key)
    return 'settled'
  }

  #remember(key: string): void {
    if (!this.remembers) return
    this.#settled.add(key)
    if (this.#settled.size <= REMEMBERED_MAX) return
    const [oldest] = this.#settled
    if (oldest !== undefined) this.#settled.delete(oldest)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}
