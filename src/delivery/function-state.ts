// What one source keeps per function: its lanes and its meter.
// Order: events with equal ordering keys go one at a time, in the order they arrived.

import type { InvocationMeter } from '../telemetry/metrics.ts'
import { Fifo } from '../sdk/index.ts'
import type { Call } from './flight.ts'

export class FunctionState {
  readonly meter: InvocationMeter
  /** Keys in use; a queue only once a second event of the key waits. */
  readonly #lanes = new Map<string, Fifo<Call> | undefined>()

  constructor(meter: InvocationMeter) {
    this.meter = meter
  }

  /** True: the call holds the lane and may go on. False: it waits, and `leaveLane` of the one before will return it. */
  enterLane(key: string, call: Call): boolean {
    if (!this.#lanes.has(key)) {
      this.#lanes.set(key, undefined)
      return true
    }
    let queue = this.#lanes.get(key)
    if (queue === undefined) this.#lanes.set(key, (queue = new Fifo()))
    queue.push(call)
    return false
  }

  /** Ends the turn of the call that holds the lane; returns the next one, which now holds it. */
  leaveLane(key: string): Call | undefined {
    const queue = this.#lanes.get(key)
    for (;;) {
      const next = queue?.shift()
      if (next === undefined) {
        this.#lanes.delete(key)
        return undefined
      }
      // One that was withdrawn while it waited passes its turn on.
      if (next.state === 'in-lane') return next
    }
  }
}
