// Calls functions through a gateway's public routes over HTTP, one POST each, bytes unchanged. Decides nothing about
// retrying; called by the dispatcher.

import { Pool, errors } from 'undici'
import type { Dispatcher as UndiciDispatcher } from 'undici'

import { HubError, errorText, redactUrl } from '../sdk/index.ts'
import type { Clock, ClockTimer } from '../sdk/index.ts'
import type { Invocation, Invoker, Outcome, ResponseBody } from './outcome.ts'
import { RequestHead } from './request-head.ts'
import type { RequestHeadOptions } from './request-head.ts'
import { parseRetryAfter } from './retry-after.ts'

export interface HttpInvokerOptions extends RequestHeadOptions {
  /** Sockets to the gateway; invocations beyond it wait for one. */
  readonly connectionsMax: number
  readonly clock: Clock
}

const CONNECT_TIMEOUT_MS = 10_000
/** What undici says of the request alone: a header that is none, `Expect`, a length that is not the body's. */
const UNSENDABLE = [errors.InvalidArgumentError, errors.NotSupportedError, errors.RequestContentLengthMismatchError]

export class HttpInvoker implements Invoker {
  readonly #options: HttpInvokerOptions
  readonly #pool: Pool
  readonly #head: RequestHead
  readonly #live = new Set<Exchange>()
  #closed = false

  constructor(options: HttpInvokerOptions) {
    this.#options = options
    this.#head = new RequestHead(options)
    this.#pool = new Pool(new URL(options.gatewayUrl).origin, {
      connections: options.connectionsMax,
      pipelining: 1,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      keepAliveTimeout: 30_000,
      // The invocation's own timeout covers headers and body.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  invoke(invocation: Invocation): Promise<Outcome> {
    return new Promise((resolve) => {
      const exchange = new Exchange(invocation, this.#options, (outcome) => {
        this.#live.delete(exchange)
        resolve(outcome)
      })
      if (this.#closed || invocation.signal?.aborted === true) {
        exchange.cancel()
        return
      }
      this.#live.add(exchange)
      const { message } = invocation
      try {
        this.#pool.dispatch(
          {
            method: 'POST',
            path: this.#head.path(invocation),
            headers: this.#head.headers(invocation),
            body: message.body.byteLength === 0 ? null : message.body,
          },
          exchange,
        )
      } catch (error) {
        exchange.unsendable(error)
      }
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const exchange of this.#live) exchange.cancel()
    if (!this.#pool.destroyed) await this.#pool.destroy()
  }
}

/** One request and its answer, as undici's callbacks tell it. */
class Exchange implements UndiciDispatcher.DispatchHandler {
  #ended = false
  readonly #invocation: Invocation
  readonly #options: HttpInvokerOptions
  readonly #resolve: (outcome: Outcome) => void
  readonly #startedAt: number
  readonly #timer: ClockTimer
  readonly #onAbort: (() => void) | undefined
  #controller: UndiciDispatcher.DispatchController | undefined
  #started = false
  #status = 0
  #headers: Readonly<Record<string, string | string[] | undefined>> = {}
  #bodyBytes = 0
  #kept: Buffer[] | undefined
  #keptBytes = 0

  constructor(invocation: Invocation, options: HttpInvokerOptions, resolve: (outcome: Outcome) => void) {
    this.#invocation = invocation
    this.#options = options
    this.#resolve = resolve
    this.#startedAt = options.clock.monotonic()
    this.#timer = options.clock.after(invocation.timeoutMs, () => this.#onTimeout())
    const { signal } = invocation
    if (signal === undefined) return
    this.#onAbort = () => this.cancel()
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  onRequestStart(controller: UndiciDispatcher.DispatchController): void {
    this.#controller = controller
    this.#started = true
    // Timed out or cancelled while it waited for a socket: nothing of it may be sent.
    if (this.#ended) controller.abort(new Error('no longer wanted'))
  }

  onResponseStart(
    _: unknown,
    statusCode: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (statusCode < 200) return
    this.#status = statusCode
    this.#headers = headers
  }

  onResponseData(_: unknown, chunk: Buffer): void {
    this.#bodyBytes += chunk.byteLength
    const room = this.#invocation.responseBytesMax - this.#keptBytes
    if (room <= 0) return
    const part = chunk.byteLength > room ? chunk.subarray(0, room) : chunk
    ;(this.#kept ??= []).push(part)
    this.#keptBytes += part.byteLength
  }

  onResponseEnd(): void {
    const durationMs = this.#durationMs()
    if (this.#invocation.mode === 'async' && this.#status === 202) {
      this.#end({ kind: 'accepted', callId: this.#header('x-call-id') ?? '', durationMs })
      return
    }
    const retryAfter = this.#header('retry-after')
    this.#end({
      kind: 'answered',
      status: this.#status,
      durationMs,
      retryAfterMs: retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, this.#options.clock.now()),
      internal: this.#headers['x-openfaas-internal'] !== undefined,
      bodyBytes: this.#bodyBytes,
      response: this.#response(),
    })
  }

  onResponseError(_: unknown, error: Error): void {
    this.fail(error)
  }

  /** This very request is not valid HTTP: the event's fault, so it uses up an attempt and leaves the gateway alone. */
  unsendable(error: unknown): void {
    const text = `${this.#invocation.function}: the request cannot be sent: ${errorText(error)}`
    const invalid = new HubError('HUB_INVOKE_INTERRUPTED', text, { cause: error })
    this.#end({ kind: 'interrupted', error: invalid, durationMs: this.#durationMs() })
  }

  fail(error: unknown): void {
    if (this.#ended) return
    if (UNSENDABLE.some((kind) => error instanceof kind)) {
      this.unsendable(error)
      return
    }
    const durationMs = this.#durationMs()
    const gateway = redactUrl(this.#options.gatewayUrl)
    if (this.#started) {
      const text = `${this.#invocation.function}: the connection to ${gateway} broke: ${errorText(error)}`
      const broken = new HubError('HUB_INVOKE_INTERRUPTED', text, { cause: error, canRetry: true })
      this.#end({ kind: 'interrupted', error: broken, durationMs })
    } else {
      const text = `${gateway}: ${errorText(error)}`
      const refused = new HubError('HUB_GATEWAY_UNREACHABLE', text, { cause: error, canRetry: true })
      this.#end({ kind: 'unreachable', error: refused, durationMs })
    }
  }

  #onTimeout(): void {
    const { timeoutMs, function: name } = this.#invocation
    const durationMs = this.#durationMs()
    const error = this.#started
      ? new HubError('HUB_INVOKE_TIMEOUT', `${name}: no complete answer within ${timeoutMs} ms`, { canRetry: true })
      : new HubError(
          'HUB_GATEWAY_UNREACHABLE',
          `${redactUrl(this.#options.gatewayUrl)}: no connection within ${timeoutMs} ms`,
          { canRetry: true },
        )
    this.#end({ kind: this.#started ? 'interrupted' : 'unreachable', error, durationMs })
    this.#controller?.abort(error)
  }

  cancel(): void {
    this.#end({ kind: 'cancelled', durationMs: this.#durationMs() })
    this.#controller?.abort(new Error('cancelled'))
  }

  #end(outcome: Outcome): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer.cancel()
    if (this.#onAbort !== undefined) this.#invocation.signal?.removeEventListener('abort', this.#onAbort)
    this.#resolve(outcome)
  }

  #response(): ResponseBody | undefined {
    if (this.#invocation.responseBytesMax === 0) return undefined
    const headers: string[] = []
    for (const [name, value] of Object.entries(this.#headers)) {
      for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.push(name, one)
    }
    return { headers, body: this.#kept === undefined ? new Uint8Array(0) : Buffer.concat(this.#kept) }
  }

  #header(name: string): string | undefined {
    const value = this.#headers[name]
    return Array.isArray(value) ? value[0] : value
  }

  #durationMs(): number {
    return this.#options.clock.monotonic() - this.#startedAt
  }
}
