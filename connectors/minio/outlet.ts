// Events that the hub listens for, handed out up to a bound. What nobody has pulled outlives connections: nobody else has it.
// Owned by listen-source.ts.

import { DeliveryBuffer, HubError } from '../../src/sdk/index.ts'
import type { Delivery, EventMessage, SettleResult } from '../../src/sdk/index.ts'

export class Outlet {
  readonly #unsettledMax: number
  #buffer: DeliveryBuffer<Delivery>
  #isRead = false
  #out = 0
  #unread: Delivery[] = []
  #change = Promise.withResolvers<void>()
  #pausing = 0

  constructor(unsettledMax: number) {
    this.#unsettledMax = unsettledMax
    this.#buffer = new DeliveryBuffer(unsettledMax)
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** How many wait for `room`. */
  get pausing(): number {
    return this.#pausing
  }

  /** A new connection, and soon a new reader: it gets what the last one left. */
  open(): void {
    this.pause()
    this.#isRead = true
    this.#buffer = new DeliveryBuffer(this.#unsettledMax)
    for (const delivery of this.#unread.splice(0)) this.#buffer.push(delivery)
    this.#changed()
  }

  /** Resolves when an event can be handed out at once. @param waits called when it cannot. Rejects as `signal` does. */
  async room(signal: AbortSignal, waits: () => void): Promise<void> {
    if (this.#hasRoom) return
    waits()
    this.#pausing += 1
    const abort = (): void => this.#changed()
    signal.addEventListener('abort', abort)
    try {
      while (!this.#hasRoom) {
        signal.throwIfAborted()
        await this.#change.promise
      }
    } finally {
      this.#pausing -= 1
      signal.removeEventListener('abort', abort)
    }
  }

  /** Only after `room`, and before anything else is awaited. */
  push(message: EventMessage, settled: () => void): void {
    this.#out += 1
    let result: Promise<SettleResult> | undefined
    this.#buffer.push({ message, settle: () => (result ??= this.#settle(settled)) })
  }

  /** The reader is told, of the end where there is no error; what it has not pulled waits for the next one. Idempotent. */
  pause(error?: HubError): void {
    this.#unread.push(...this.#buffer.clear())
    this.#isRead = false
    if (error === undefined) this.#buffer.end()
    else this.#buffer.fail(error)
  }

  /** For good. @returns how many events nobody has pulled: they are lost */
  end(): number {
    this.pause()
    return this.#unread.splice(0).length
  }

  get #hasRoom(): boolean {
    return this.#isRead && this.#out < this.#unsettledMax
  }

  #settle(settled: () => void): Promise<SettleResult> {
    this.#out -= 1
    settled()
    this.#changed()
    return Promise.resolve('settled')
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }
}
