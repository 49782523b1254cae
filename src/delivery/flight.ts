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

/** One function's share of an event that is not settled. */
export interface OpenCall {
  readonly function: string
  readonly state: CallState
  /** So far, by earlier deliveries of the broker too. */
  readonly attempts: number
  /** HTTP status of the last answer; 0 where there was none. */
  readonly status: number
  /** Why it is held, and until when (Unix milliseconds). */
  readonly reason?: string
  readonly untilMs?: number
}

/** An event that is not settled, and what it waits for. Bounded by what a source may hand out. */
export interface OpenDelivery {
  readonly id: string
  readonly source: string
  readonly topic: string
  readonly orderingKey?: string
  /** Unix milliseconds. */
  readonly receivedAtMs: number
  readonly calls: readonly OpenCall[]
}

export class Call implements Waiter {
  readonly flight: Flight
  readonly trigger: Trigger
  readonly target: FunctionState
  readonly #goOn: (call: Call) => void
  state: CallState = 'in-lane'
  /** What it has to give back when it ends, wherever it ends. */
  holdsLane = false
  /** How many of its permits, in their order. */
  permitsHeld = 0
  functionPermits: Permits | undefined
  /** Invocations that counted: one that could not reach the gateway does not. */
  invocations = 0
  /** HTTP status of the last answer; 0 where there was none. */
  status = 0
  durationMs = 0
  timer: ClockTimer | undefined
  leaveGate: (() => void) | undefined
  /** Why and until when (Unix milliseconds) it is held. */
  heldFor: { readonly reason: string; readonly untilMs: number } | undefined
  result: LedgerCall | undefined
  response: ResponseBody | undefined
  #waitsFor: Permits | undefined

  /** @param goOn called when a permit that was waited for is granted */
  constructor(flight: Flight, trigger: Trigger, target: FunctionState, goOn: (call: Call) => void) {
    this.#goOn = goOn
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

  waitFor(permits: Permits): void {
    this.#waitsFor = permits
    permits.enqueue(this)
  }

  permitted(): void {
    this.#waitsFor = undefined
    this.permitsHeld += 1
    this.#goOn(this)
  }

  /** Leaves the queue of permits. Whoever calls it never lets the call wait for a permit again. */
  waitNoMore(): void {
    if (this.#waitsFor === undefined) return
    if (this.state === 'limited') this.state = 'held'
    this.#waitsFor.left()
    this.#waitsFor = undefined
  }

  /** Invocations with this event, by earlier deliveries of the broker and by this one. */
  get attempts(): number {
    return this.flight.delivery.message.attempt - 1 + this.invocations
  }
}

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
