// A trigger is a function and the reason it is called: the unit that routing finds and delivery invokes.

import type { EventMessage } from './event.ts'

export interface RetrySettings {
  /** Retries after the first invocation; 0: never retry. `com.openfaas.retry.attempts`. */
  readonly attempts: number
  /** HTTP statuses that are retried; undefined: 408, 425, 429 and 5xx. `com.openfaas.retry.codes`. */
  readonly codes: ReadonlySet<number> | undefined
  /** A redirect is an answer like any other, for whoever waits for it; by default it is a failure. */
  readonly redirectsSucceed?: boolean
  /** `com.openfaas.retry.min_wait`. */
  readonly minWaitMs: number
  /** `com.openfaas.retry.max_wait`. */
  readonly maxWaitMs: number
  /** `full`: uniform in 0–100 % of the exponential wait; `equal`: 50–100 %; `none`: exactly it (contract §5.5). */
  readonly jitter: 'full' | 'equal' | 'none'
}

/** `error`: the expression could not be evaluated on this event; counts as not matched and is reported. */
export type FilterVerdict =
  | { readonly kind: 'pass' }
  | { readonly kind: 'fail' }
  | { readonly kind: 'error'; readonly reason: string }

/** A compiled `connector.filter`. */
export interface EventFilter {
  /** As written in the annotation. */
  readonly expression: string
  /** Never throws. */
  test(message: EventMessage): FilterVerdict
}

export interface TriggerSettings {
  readonly mode: 'sync' | 'async'
  /** Whole invocation: connect, send, answer read. */
  readonly timeoutMs: number
  /** Concurrent invocations of the function, over all connectors of the process. */
  readonly concurrency: number
  /** `key`: events with equal ordering keys one at a time, in order. */
  readonly ordering: 'key' | 'none'
  readonly retry: RetrySettings
  readonly filter?: EventFilter
  /** Sent as `X-Callback-Url` on the async route. */
  readonly callbackUrl?: string
}

export interface Trigger {
  /** Full name: `name.namespace`, or bare `name` where the gateway has no namespaces. */
  readonly function: string
  /** The topic pattern or schedule that made the match, as annotated. */
  readonly pattern: string
  readonly settings: TriggerSettings
}

/** Finds the triggers of an event. Implementations are immutable; a new wiring is a new router. */
export interface Router {
  match(message: EventMessage): readonly Trigger[]
}
