// The async queue: calls that were accepted with 202, durable until their function has settled them. Yields deliveries, so
// that the dispatcher is the queue worker: the same retries, limits and dead letters as for broker events.

import { request } from 'undici'

import { errorText, formatSize, redactUrl } from '../sdk/index.ts'
import type { Clock, Delivery, EventMessage, FunctionResult, SettleResult, Settlement } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue } from '../store/event-queue.ts'
import type { QueuedDelivery } from '../store/event-queue.ts'

export interface QueuedCall {
  readonly callId: string
  /** As typed, without the default namespace; the callback names it so. */
  readonly function: string
  /** Sub-path and query, or ''. */
  readonly path: string
  readonly contentType: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly callbackUrl: string | undefined
}

export interface QueueOptions {
  /** SQLite file; `:memory:` for a queue that need not survive. */
  readonly path: string
  readonly clock: Clock
  readonly callsMax: number
  /** Bodies and headers of all calls together. */
  readonly bytesMax: number
  /** Kept of each answer for the callback; a longer one is cut, and the log says so. */
  readonly responseBytesMax: number
  readonly userAgent: string
  readonly log: (line: string) => void
}

const CALLBACK_TIMEOUT_MS = 60_000

export class AsyncQueue implements Disposable {
  readonly #options: QueueOptions
  readonly #database: Database
  readonly #events: EventQueue

  /** What an earlier process left is due again. @throws HubError HUB_STATE_UNUSABLE */
  constructor(options: QueueOptions) {
    this.#options = options
    this.#database = openDatabase(options.path, [EVENT_QUEUE_SCHEMA])
    this.#events = new EventQueue({
      database: this.#database,
      name: 'queue',
      clock: options.clock,
      eventsMax: options.callsMax,
      bytesMax: options.bytesMax,
      // The dispatcher pulls no more than it has room for.
      unsettledMax: Infinity,
    })
  }

  /** Calls accepted and not finished. */
  get length(): number {
    return this.#events.length
  }

  /** Resolves once the call is durable. @throws HubError HUB_QUEUE_FULL; HUB_STATE_UNUSABLE when it cannot be written */
  async enqueue(call: QueuedCall): Promise<void> {
    const { callId, path, contentType, headers, body, callbackUrl } = call
    await this.#events.put(
      {
        id: callId,
        topic: call.function,
        target: call.function,
        headers,
        body,
        timestampMs: this.#options.clock.now(),
        ...(path === '' ? {} : { path }),
        ...(contentType === undefined ? {} : { contentType }),
      },
      callbackUrl === undefined ? {} : { note: callbackUrl },
    )
  }

  /** Every due call, oldest first, until `signal` is aborted. */
  async *deliveries(signal: AbortSignal): AsyncGenerator<Delivery, void> {
    for await (const delivery of this.#events.deliveries(signal)) yield this.#withCallback(delivery)
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]()
    this.#database.close()
  }

  #withCallback(delivery: QueuedDelivery): Delivery {
    const { message, note: callbackUrl } = delivery
    let settled: Promise<SettleResult> | undefined
    const settle = async (settlement: Settlement, [result]: readonly FunctionResult[]): Promise<SettleResult> => {
      // Before the call is forgotten: after a crash in between, the function runs again and the callback comes late, not never.
      if (settlement.kind !== 'retry' && callbackUrl !== undefined && result !== undefined)
        await this.#callBack(callbackUrl, message, result)
      return await delivery.settle(settlement)
    }
    return {
      message,
      responseBytesMax: callbackUrl === undefined ? 1 : this.#options.responseBytesMax,
      settle: (settlement, results = []) => (settled ??= settle(settlement, results)),
    }
  }

  /** Once, not followed anywhere, and its failure is only logged: so it is in OpenFaaS. Never rejects. */
  async #callBack(url: string, message: EventMessage, result: FunctionResult): Promise<void> {
    const shownUrl = redactUrl(url)
    const { responseBytesMax, userAgent, log } = this.#options
    const { topic: name } = message
    if (result.body.byteLength >= responseBytesMax)
      log(`The answer of ${name} is cut at ${formatSize(responseBytesMax)} for its callback`)
    try {
      const { statusCode, body } = await request(url, {
        method: 'POST',
        headers: [...callbackHeaders(message, result), 'User-Agent', userAgent],
        body: result.body,
        signal: AbortSignal.timeout(CALLBACK_TIMEOUT_MS),
      })
      await body.dump()
      log(`Posted result for ${name} to callback-url: ${shownUrl}, status: ${statusCode}`)
    } catch (error) {
      log(`Error posting result for ${name} to callback-url: ${shownUrl}: ${errorText(error)}`)
    }
  }
}

/** Set by the callback itself, or a matter of the connection that the answer came over. */
const NOT_COPIED = new Set([
  'connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent', 'x-call-id',
  'x-duration-seconds', 'x-function-name', 'x-function-status', 'x-retry', 'x-retry-max',
]) // prettier-ignore

/** The function's own headers and the call's (OpenFaaS contract, callback). */
function callbackHeaders({ id, topic }: EventMessage, result: FunctionResult): string[] {
  const headers = Object.entries({
    'X-Call-Id': id,
    'X-Duration-Seconds': (result.durationMs / 1000).toFixed(6),
    'X-Function-Name': topic,
    'X-Function-Status': String(result.status),
    'X-Retry': String(result.retries),
    'X-Retry-Max': String(result.retriesMax),
  }).flat()
  for (let index = 0; index < result.headers.length; index += 2) {
    const [name, value] = result.headers.slice(index, index + 2) as [string, string]
    if (!NOT_COPIED.has(name.toLowerCase())) headers.push(name, value)
  }
  return headers
}
