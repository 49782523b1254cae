// Posts the result of a finished call to its callback URL (OpenFaaS contract, callback): once, bounded in time and memory.
// Decides nothing about the call; its failure is only logged.

import { Agent, request } from 'undici'

import { errorText, formatSize, redactUrl } from '../../sdk/index.ts'
import type { EventMessage, FunctionResult } from '../../sdk/index.ts'
import { basicAuthorization } from '../headers.ts'
import { forwardable } from '../http.ts'
import { lastValue } from './call.ts'

export interface CallbacksOptions {
  /** Relative callback URLs are resolved against it. */
  readonly gatewayUrl: string
  readonly timeoutMs: number
  readonly insecureTls: boolean
  /** Sent of each answer; a longer one is cut, and the log says so. */
  readonly responseBytesMax: number
  readonly userAgent: string
  /** On their way at once, and bytes of their bodies; with more, no more calls are taken up. */
  readonly pendingMax?: number
  readonly pendingBytesMax?: number
  readonly log: (line: string) => void
}

export interface FinishedCall {
  /** Of the worker's log. */
  readonly number: number
  readonly message: EventMessage
  readonly result: FunctionResult
  /** Since the call was received by the worker. */
  readonly durationMs: number
  /** Aborted when the call is cancelled. */
  readonly signal: AbortSignal
}

const CONNECT_TIMEOUT_MS = 10_000
const PENDING_MAX = 1000
const PENDING_BYTES_MAX = 128 * 1024 * 1024
const REDIRECTS_MAX = 3
/** Those that keep method and body (RFC 9110 §15.4); after any other a client may send a GET without the result. */
const FOLLOWED = new Set([307, 308])

export class Callbacks implements Disposable {
  readonly #options: CallbacksOptions
  readonly #agent: Agent
  readonly #closed = new AbortController()
  #pending = 0
  #pendingBytes = 0
  readonly #waiting = new Set<() => void>()

  constructor(options: CallbacksOptions) {
    this.#options = options
    const { timeoutMs, insecureTls } = options
    this.#agent = new Agent({
      connect: { timeout: Math.min(CONNECT_TIMEOUT_MS, timeoutMs), rejectUnauthorized: !insecureTls },
      // Each callback has its own time for all of it.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** Resolves when another call may be taken up. */
  async room(signal: AbortSignal): Promise<void> {
    if (this.#hasRoom) return
    const wakeUp = (): void => this.#wake()
    signal.addEventListener('abort', wakeUp, { once: true })
    while (!signal.aborted && !this.#hasRoom) await new Promise<void>((resolve) => this.#waiting.add(resolve))
    signal.removeEventListener('abort', wakeUp)
  }

  /** Never rejects. False when it was broken off because the gateway closes: it is to be posted again. */
  async post(url: string, call: FinishedCall): Promise<boolean> {
    const { number, message, result, signal } = call
    const { responseBytesMax, gatewayUrl, log } = this.#options
    const target = URL.parse(url, gatewayUrl)
    const shownUrl = redactUrl(target?.href ?? url)
    log(`[#${number}] Callback to: ${shownUrl}`)
    const body = result.body.subarray(0, responseBytesMax)
    if (body.byteLength < result.body.byteLength)
      log(`[#${number}] The answer of ${message.topic} is cut at ${formatSize(responseBytesMax)} for its callback`)
    this.#pending += 1
    this.#pendingBytes += body.byteLength
    try {
      if (target === null) throw new Error('it is not a URL')
      const status = await this.#send(target, body, call)
      log(`[#${number}] Posted result for ${message.topic} to callback-url: ${shownUrl}, status: ${status}`)
    } catch (error) {
      if (this.#closed.signal.aborted) return false
      const why = signal.aborted ? 'the call was cancelled' : errorText(error)
      log(`[#${number}] Error posting result for ${message.topic} to callback-url: ${shownUrl}: ${why}`)
    } finally {
      this.#pending -= 1
      this.#pendingBytes -= body.byteLength
      this.#wake()
    }
    return true
  }

  /** Breaks off what is on its way. Idempotent. */
  [Symbol.dispose](): void {
    this.#closed.abort()
    this.#wake()
    // Detached: nothing waits for sockets.
    void this.#agent.destroy()
  }

  /** @returns the status of the last answer */
  async #send(first: URL, result: Uint8Array, call: FinishedCall): Promise<number> {
    const { timeoutMs, userAgent } = this.#options
    const signal = AbortSignal.any([call.signal, this.#closed.signal, AbortSignal.timeout(timeoutMs)])
    const headers = [...callbackHeaders(call), 'User-Agent', userAgent]
    let url = first
    for (let redirects = 0; ; redirects += 1) {
      const credentials = basicAuthorization(url)
      const {
        statusCode,
        headers: answered,
        body,
      } = await request(withoutCredentials(url).href, {
        method: 'POST',
        headers: credentials === undefined ? headers : [...headers, 'Authorization', credentials],
        body: result,
        signal,
        dispatcher: this.#agent,
      })
      // Only the status is of interest; an answer that breaks off has one all the same.
      await body.dump().catch(() => undefined)
      const { location } = answered
      const next = FOLLOWED.has(statusCode) && typeof location === 'string' ? URL.parse(location, url.href) : null
      if (next === null || redirects === REDIRECTS_MAX) return statusCode
      url = next
    }
  }

  get #hasRoom(): boolean {
    const { pendingMax = PENDING_MAX, pendingBytesMax = PENDING_BYTES_MAX } = this.#options
    return this.#pending < pendingMax && this.#pendingBytes < pendingBytesMax
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

/** Set by the callback itself. */
const OWN = new Set([
  'content-length', 'user-agent', 'x-call-id', 'x-duration-seconds', 'x-function-name', 'x-function-status', 'x-retry',
  'x-retry-max', 'x-start-time',
]) // prettier-ignore

/** The function's own headers and the call's. */
function callbackHeaders({ message, result, durationMs }: FinishedCall): string[] {
  const startTime = lastValue(message, 'X-Start-Time')
  const headers = [
    ['X-Call-Id', message.id],
    ['X-Duration-Seconds', (durationMs / 1000).toFixed(6)],
    ['X-Function-Name', message.topic],
    ['X-Function-Status', String(result.status)],
    ['X-Retry', String(result.retries)],
    ['X-Retry-Max', String(result.retriesMax)],
    ...(startTime === undefined ? [] : [['X-Start-Time', startTime]]),
  ].flat()
  const copied = forwardable(result.headers)
  for (let index = 0; index < copied.length; index += 2) {
    const [name, value] = copied.slice(index, index + 2) as [string, string]
    if (!OWN.has(name.toLowerCase())) headers.push(name, value)
  }
  return headers
}

function withoutCredentials(url: URL): URL {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare
}
