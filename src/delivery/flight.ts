// One delivery on its way through the dispatcher, and its calls: one per function that wants it.

import type { ResponseBody } from '../invoke/outcome.ts'
import type { ClockTimer, DeadLetter, Delivery, Trigger } from '../sdk/index.ts'
import type { LedgerCall } from './ledger.ts'
import type { FunctionState } from './function-state.ts'
import type { Permits, Waiter } from './limits.ts'

/** Where a call is. `done` is final. */
export type CallState =
  /** Behind an earlier event of the same ordering key. */
  | 'in-lane'
  /** Waiting for a permit of its function, of the process, or of the connector. */
  | 'limited'
  | 'invoking'
  /** Waiting out a retry delay. */
  | 'held'
  /** Waiting for the gateway to come back. */
  | 'gated'
  /** Undeliverable; its dead letter is being made durable. */
  | 'burying'
  | 'done'

export class Call implements Waiter {
  readonly flight: Flight
  readonly trigger: Trigger
  readonly target: FunctionState
  /** Runs when the permit that was waited for is granted. */
  onPermit: (call: Call) => void = nothing
  state: CallState = 'in-lane'
  /** What it has to give back when it ends, wherever it ends. */
  holdsLane = false
  holdsFunctionPermit = false
  /** Where that permit came from. */
  functionPermits: Permits | undefined
  holdsTotalPermit = false
  holdsSlot = false
  /** Invocations that counted: one that could not reach the gateway does not. */
  invocations = 0
  /** HTTP status of the last answer; 0 where there was none. */
  status = 0
  durationMs = 0
  timer: ClockTimer | undefined
  leaveGate: (() => void) | undefined
  result: LedgerCall | undefined
  response: ResponseBody | undefined

  constructor(flight: Flight, trigger: Trigger, target: FunctionState) {
    this.flight = flight
    this.trigger = trigger
    this.target = target
  }

  get done(): boolean {
    return this.state === 'done'
  }

  /** Left the queue of permits it may still stand in. */
  get gone(): boolean {
    return this.state !== 'limited'
  }

  permitted(): void {
    this.onPermit(this)
  }

  /** Invocations with this event, by earlier deliveries of the broker and by this one. */
  get attempts(): number {
    return this.flight.delivery.message.attempt - 1 + this.invocations
  }
}

function nothing(): void {}

export class Flight {
  readonly delivery: Delivery
  readonly receivedAtMs: number
  readonly startedAt: number
  readonly calls: Call[] = []
  /** Calls that are not done. */
  open = 0
  /** For sources that own their dead letters. */
  readonly letters: DeadLetter[] = []
  /** Nothing is settled: the source withdrew it, or it is left to the broker at shutdown. */
  leftToBroker = false
  onAbort: (() => void) | undefined

  constructor(delivery: Delivery, receivedAtMs: number, startedAt: number) {
    this.delivery = delivery
    this.receivedAtMs = receivedAtMs
    this.startedAt = startedAt
  }
}
