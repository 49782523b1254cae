// Messages of core NATS on their way to the hub: handed out up to a bound, waiting up to another, dropped beyond. They
// outlive connections, since nobody else has them. Owned by core-source.ts.

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Delivery, EventMessage, FunctionResult, HubError, SettleResult } from '../../src/sdk/index.ts'

/** A message, and how its functions' answers go back where it asks for them. */
export interface Arrival {
  readonly message: EventMessage
  readonly reply: { readonly bytesMax: number; send(results: readonly FunctionResult[]): void } | undefined
}

export interface WaitingOptions {
  readonly unsettledMax: number
  readonly pendingMax: number
  readonly pendingBytesMax: number
  /** One found no room. */
  dropped(): void
}

interface WaitingDelivery extends Delivery {
  readonly arrival: Arrival
}

const CUT_OFF = 1024

export class Waiting {
  readonly #options: WaitingOptions
  #buffer: DeliveryBuffer<WaitingDelivery>
  /** In the order of arrival, from `#head` on. */
  #queue: (Arrival | undefined)[] = []
  #head = 0
  #bytes = 0
  /** Handed out and not settled, the buffered ones included. */
  #unsettled = 0
  /** A buffer that has ended takes nothing. */
  #isRead = false

  constructor(options: WaitingOptions) {
    this.#options = options
    this.#buffer = new DeliveryBuffer(options.unsettledMax)
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** Received, and nobody has pulled them. */
  get length(): number {
    return this.#queue.length - this.#head + this.#buffer.length
  }

  /** A new connection, and soon a new reader. */
  begin(): void {
    this.#keep()
    this.#buffer.end()
    this.#isRead = true
    this.#buffer = new DeliveryBuffer(this.#options.unsettledMax)
    this.#handOut()
  }

  take(arrival: Arrival): void {
    const { pendingMax, pendingBytesMax } = this.#options
    const size = arrival.message.body.byteLength
    if (this.#queue.length - this.#head >= pendingMax || this.#bytes + size > pendingBytesMax) {
      this.#options.dropped()
      return
    }
    this.#queue.push(arrival)
    this.#bytes += size
    this.#handOut()
  }

  /** The reader is told, of the end where there is no error; what it has not pulled waits for the next. */
  pause(error?: HubError): void {
    this.#keep()
    this.#isRead = false
    if (error === undefined) this.#buffer.end()
    else this.#buffer.fail(error)
  }

  /** For good. What nobody has pulled is lost; returns how many. */
  end(): number {
    const lost = this.length
    this.#isRead = false
    this.#buffer.clear()
    this.#buffer.end()
    this.#queue = []
    this.#head = 0
    this.#bytes = 0
    return lost
  }

  #handOut(): void {
    while (this.#isRead && this.#head < this.#queue.length && this.#unsettled < this.#options.unsettledMax) {
      const arrival = this.#queue[this.#head] as Arrival
      this.#queue[this.#head] = undefined
      this.#head += 1
      if (this.#head === this.#queue.length || this.#head > CUT_OFF) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
      this.#bytes -= arrival.message.body.byteLength
      this.#unsettled += 1
      this.#buffer.push(this.#deliveryOf(arrival))
    }
  }

  #deliveryOf(arrival: Arrival): WaitingDelivery {
    const { message, reply } = arrival
    let settled: Promise<SettleResult> | undefined
    return {
      arrival,
      message,
      ...(reply === undefined ? {} : { responseBytesMax: reply.bytesMax }),
      settle: (_, results = []) => (settled ??= this.#settle(arrival, results)),
    }
  }

  #settle({ reply }: Arrival, results: readonly FunctionResult[]): Promise<SettleResult> {
    reply?.send(results)
    this.#unsettled -= 1
    this.#handOut()
    return Promise.resolve('settled')
  }

  /** What is buffered goes back to where it came from. */
  #keep(): void {
    const unseen = this.#buffer.clear().map(({ arrival }) => arrival)
    this.#unsettled -= unseen.length
    for (const { message } of unseen) this.#bytes += message.body.byteLength
    this.#queue = [...unseen, ...this.#queue.slice(this.#head)]
    this.#head = 0
  }
}
