// What became of one invocation. Operating failures are values; the retry policy turns them into settlements.

import type { EventMessage, HubError } from '../sdk/index.ts'

/** Kept only when the caller asked for it (`responseBytesMax`). */
export interface ResponseBody {
  /** Flat name, value, name, value list, as received. */
  readonly headers: readonly string[]
  /** Cut at `responseBytesMax`. */
  readonly body: Uint8Array
}

export type Outcome =
  /** The sync route answered. `internal`: the answer came from the platform, not the function (`X-OpenFaaS-Internal`). */
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly durationMs: number
      readonly retryAfterMs: number | undefined
      readonly internal: boolean
      readonly bodyBytes: number
      readonly response: ResponseBody | undefined
    }
  /** The async route answered 202. */
  | { readonly kind: 'accepted'; readonly callId: string; readonly durationMs: number }
  /**
   * Sent, but no complete answer: a timeout or a broken connection. Uses up an attempt. One that cannot be retried was not
   * sent, because as a request it is not valid.
   */
  | { readonly kind: 'interrupted'; readonly error: HubError; readonly durationMs: number }
  /** Never sent: the gateway could not be connected to. Not the event's fault; uses up no attempt. */
  | { readonly kind: 'unreachable'; readonly error: HubError; readonly durationMs: number }
  /** The source withdrew the event (`Delivery.signal`), or the hub is closing. */
  | { readonly kind: 'cancelled'; readonly durationMs: number }

export interface Invocation {
  /** Full function name; checked to be safe in a URL path by whoever built the wiring. */
  readonly function: string
  readonly mode: 'sync' | 'async'
  readonly message: EventMessage
  readonly timeoutMs: number
  readonly callbackUrl: string | undefined
  /** 0: the answer's body is read and dropped. */
  readonly responseBytesMax: number
  readonly signal: AbortSignal | undefined
}

export interface Invoker {
  /** Never rejects. */
  invoke(invocation: Invocation): Promise<Outcome>
  /** Ends what is in flight, and whatever is invoked later, as `cancelled`. Idempotent. */
  close(): Promise<void>
}
