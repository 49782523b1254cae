// The bound over all queues of one connection: how many deliveries the hub may hold. A quorum queue knows no prefetch for a
// whole channel, so each queue has one of its own and the bound is kept here. Owned by rabbit-source.ts.

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Delivery, HubError } from '../../src/sdk/index.ts'

/** One queue, as the window sees it. */
export interface Supply {
  /** The next delivery for the hub; undefined when nothing waits. */
  take(): Delivery | undefined
  /** How many wait. */
  readonly waiting: number
  /** The delivery was withdrawn before the hub saw it. */
  untake(delivery: Delivery): void
}

export class Window {
  readonly deliveries: DeliveryBuffer<Delivery>
  readonly #max: number
  #out = 0
  /** Those with something to give, in turn. */
  readonly #supplies = new Set<Supply>()
  readonly #owner = new WeakMap<Delivery, Supply>()

  constructor(max: number) {
    this.#max = max
    this.deliveries = new DeliveryBuffer(max)
  }

  /** Something waits there. */
  offer(supply: Supply): void {
    this.#supplies.add(supply)
    this.#pump()
  }

  /** A delivery was settled, one way or another: its place is free. Call once for each. */
  release(): void {
    this.#out -= 1
    this.#pump()
  }

  /** Takes back what the hub has not pulled yet, and hands out nothing more of it. */
  withdraw(supply: Supply): void {
    this.#supplies.delete(supply)
    for (const delivery of this.deliveries.clear()) {
      if (this.#owner.get(delivery) !== supply) {
        this.deliveries.push(delivery)
        continue
      }
      supply.untake(delivery)
      this.#out -= 1
    }
    this.#pump()
  }

  /** The connection is gone. */
  fail(error: HubError): void {
    this.#supplies.clear()
    this.deliveries.fail(error)
  }

  end(): void {
    this.#supplies.clear()
    this.deliveries.clear()
    this.deliveries.end()
  }

  #pump(): void {
    while (this.#out < this.#max) {
      const [supply] = this.#supplies
      if (supply === undefined) return
      this.#supplies.delete(supply)
      const delivery = supply.take()
      if (delivery === undefined) continue
      // To the end of the row.
      if (supply.waiting > 0) this.#supplies.add(supply)
      this.#owner.set(delivery, supply)
      this.#out += 1
      this.deliveries.push(delivery)
    }
  }
}
