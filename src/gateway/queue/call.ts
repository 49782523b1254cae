// One async call as it is queued, whatever keeps it, and the store of such calls. Written against by the queue's service;
// implemented by the embedded store and by NATS JetStream.

import type { EventMessage, SettleResult, Settlement } from '../../sdk/index.ts'

/** Content type, and every other header that goes on to the function. */
export type CallHeaders = Pick<EventMessage, 'contentType' | 'headers' | 'moreHeaders'>

export interface QueuedCall extends CallHeaders {
  readonly callId: string
  /** As typed, without the default namespace; the callback names it so. */
  readonly function: string
  /** Sub-path and query, or ''. */
  readonly path: string
  /** As the caller named the gateway. */
  readonly host: string
  readonly body: Uint8Array
  readonly callbackUrl: string | undefined
  /** `com.openfaas.retry.*` of the function. */
  readonly annotations: Readonly<Record<string, string>>
}

/** A queued call that is due. Settled once, or never and then due again after a restart. */
export interface DueCall {
  readonly message: EventMessage
  readonly callbackUrl: string | undefined
  /** Aborted when the call is cancelled; settling it then is stale. */
  readonly signal: AbortSignal
  settle(settlement: Settlement): Promise<SettleResult>
}

export interface CallStore extends AsyncDisposable {
  /** Of calls that are due and wait for their function. */
  readonly heldMax: number
  /** Calls accepted and not finished, as far as is known without asking anybody. */
  readonly length: number
  /** Queues in which calls of an earlier process may wait. */
  readonly names: readonly string[]
  /**
   * Resolves once the call is durable.
   * @throws HubError HUB_QUEUE_FULL; HUB_STATE_UNUSABLE, HUB_SOURCE_LOST when it cannot be stored
   */
  put(queue: string, call: QueuedCall): Promise<'queued' | 'too-large'>
  /** Every due call of one queue, oldest first, until `signal` is aborted. One reader for each queue. */
  calls(queue: string, signal: AbortSignal): AsyncIterable<DueCall>
  /** Forgets every call of this id that has not finished. Resolves once durable with how many of each queue there were. */
  cancel(callId: string): Promise<ReadonlyMap<string, number>>
  /** Calls of a queue that do not run: those that wait for a retry, too. */
  pending(queue: string): Promise<number>
}

/** Set by the later call itself. */
const REPLACED = new Set(['host', 'content-length', 'user-agent'])

/** @param flat name, value list; a name that comes more than once keeps each of its values */
export function callHeaders(flat: readonly string[]): CallHeaders {
  const headers = new Map<string, readonly [name: string, value: string]>()
  const moreHeaders: string[] = []
  let contentType: string | undefined
  for (let index = 0; index < flat.length; index += 2) {
    const [name, value] = flat.slice(index, index + 2) as [string, string]
    const key = name.toLowerCase()
    if (REPLACED.has(key)) continue
    const first = headers.get(key)
    if (key === 'content-type') contentType ??= value
    else if (first === undefined) headers.set(key, [name, value])
    else moreHeaders.push(first[0], value)
  }
  return {
    headers: Object.fromEntries(headers.values()),
    ...(moreHeaders.length === 0 ? {} : { moreHeaders }),
    ...(contentType === undefined ? {} : { contentType }),
  }
}

/** The latest value of a header, whatever the case of its name. */
export function lastValue({ headers, moreHeaders = [] }: CallHeaders, name: string): string | undefined {
  const key = name.toLowerCase()
  for (let index = moreHeaders.length - 2; index >= 0; index -= 2)
    if (moreHeaders[index]?.toLowerCase() === key) return moreHeaders[index + 1]
  return Object.entries(headers).find(([one]) => one.toLowerCase() === key)?.[1]
}

/** The event that the dispatcher delivers. `attempt`: from 1. */
export function eventOf(queue: string, call: QueuedCall, attempt: number, timestampMs: number): EventMessage {
  const { callId, function: name, path, contentType, headers, moreHeaders, body } = call
  return {
    id: callId,
    source: queue,
    topic: name,
    target: name,
    headers,
    body,
    attempt,
    timestampMs,
    ...(moreHeaders === undefined ? {} : { moreHeaders }),
    ...(path === '' ? {} : { path }),
    ...(contentType === undefined ? {} : { contentType }),
  }
}
