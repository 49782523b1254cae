// A delivery is one event plus the one-shot handle that settles it with its broker.

import type { EventMessage } from './event.ts'

/** Why a function's share of an event ended up undeliverable. One letter per function that failed. */
export interface DeadLetter {
  readonly message: EventMessage
  /** Full name of the function that failed. */
  readonly function: string
  /** A person-readable reason, e.g. `answered 500 after 6 attempts`. */
  readonly reason: string
  /** HTTP status of the last answer, where there was one. */
  readonly status?: number
  /** How often the function was invoked with this event. */
  readonly attempts: number
  /** Unix milliseconds. */
  readonly failedAtMs: number
}

/** What one function answered, handed to `settle` when the delivery asked for responses. */
export interface FunctionResult {
  readonly function: string
  /** HTTP status; 503 when the function could not be reached (as OpenFaaS reports it, contract §5.3). */
  readonly status: number
  /** Flat name, value, name, value list, as received. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
  readonly durationMs: number
  /** Retries made, and retries allowed (contract §5.3 `X-Retry`, `X-Retry-Max`). */
  readonly retries: number
  readonly retriesMax: number
}

/** The verdict on a delivery. */
export type Settlement =
  /** Done: the broker may forget the event. */
  | { readonly kind: 'ack' }
  /** Deliver again, not before `delayMs`. Only given to sources whose `capabilities.retry` is not `held`. */
  | { readonly kind: 'retry'; readonly delayMs: number; readonly reason: string }
  /**
   * Never again. With `capabilities.reject: 'broker'` the source makes every letter durable in the broker's own place
   * BEFORE it removes the event; with `'hub'` the letters are already durable elsewhere and the list is empty.
   */
  | { readonly kind: 'reject'; readonly reason: string; readonly letters: readonly DeadLetter[] }

/** `stale`: the broker had already taken the delivery back (connection lost, lease over) and will deliver it again. */
export type SettleResult = 'settled' | 'stale'

/** One event on its way. Whoever pulls a delivery must settle it exactly once, or leave it to the broker's redelivery. */
export interface Delivery {
  readonly message: EventMessage
  /** Aborted when the source no longer wants the outcome, e.g. a replaced cron fire or a revoked partition. */
  readonly signal?: AbortSignal
  /**
   * Asked right before each invocation: false, where somebody else may have begun to handle this event (see `Term`). It
   * is then not invoked, and the source has it back. Must not throw.
   */
  mayInvoke?(): boolean
  /** Ask for the functions' answers in `settle`, each body cut at this many bytes. 0 or absent: not kept. */
  readonly responseBytesMax?: number
  /** Who owns the dead letters of this event, where its topic decides (SQS: a redrive policy). Default: `capabilities.reject`. */
  readonly reject?: 'broker' | 'hub'
  /**
   * The hub keeps this delivery for another try: so many invocations have been made with the event, over all deliveries
   * of it. For sources that can keep the count with the broker, so that a restart does not begin again at 1. Must not throw.
   */
  tried?(attempts: number): void
  /** The first call wins; later calls do nothing and resolve as the first did. Rejects when the broker could not be told. */
  settle(settlement: Settlement, results?: readonly FunctionResult[]): Promise<SettleResult>
}
