// Whether the gateway can be reached at all. Closed by the first invocation that could not connect, opened by a probe;
// while it is closed nothing is pulled and nothing is invoked, so an outage uses up no attempts.

import { request } from 'undici'

import { backoffMs } from '../sdk/index.ts'
import type { Clock, ClockTimer, HubError } from '../sdk/index.ts'

export interface GatewayGateOptions {
  readonly gatewayUrl: string
  readonly clock: Clock
  readonly onClosed: (error: HubError) => void
  readonly onOpened: (outageMs: number) => void
}

const PROBE_TIMEOUT_MS = 5000
const PROBE_BACKOFF = { minWaitMs: 100, maxWaitMs: 5000, jitter: 'equal' } as const

export class GatewayGate {
  readonly #options: GatewayGateOptions
  readonly #healthUrl: string
  readonly #waiting = new Set<() => void>()
  readonly #aborted = new AbortController()
  #closedAtMs: number | undefined
  #timer: ClockTimer | undefined

  constructor(options: GatewayGateOptions) {
    this.#options = options
    this.#healthUrl = `${options.gatewayUrl.replace(/\/+$/, '')}/healthz`
  }

  get open(): boolean {
    return this.#closedAtMs === undefined
  }

  /** Calls back once when the gate opens; at once is never. The returned function takes the wish back. */
  whenOpen(callback: () => void): () => void {
    this.#waiting.add(callback)
    return () => void this.#waiting.delete(callback)
  }

  /** Closes the gate and starts probing. Does nothing while it is closed. */
  report(error: HubError): void {
    if (!this.open || this.#aborted.signal.aborted) return
    this.#closedAtMs = this.#options.clock.monotonic()
    this.#options.onClosed(error)
    this.#probeLater(1)
  }

  /** Stops probing. Idempotent. */
  close(): void {
    this.#aborted.abort()
    this.#timer?.cancel()
    this.#waiting.clear()
  }

  #probeLater(tries: number): void {
    this.#timer = this.#options.clock.after(backoffMs(tries, PROBE_BACKOFF), () => {
      void this.#probe().then((reachable) => {
        if (this.#aborted.signal.aborted) return
        if (reachable) this.#reopen()
        else this.#probeLater(tries + 1)
      })
    })
  }

  /** Any answer will do: a gateway without /healthz says 404 and is there. Never rejects. */
  async #probe(): Promise<boolean> {
    try {
      const signal = AbortSignal.any([this.#aborted.signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)])
      const { body } = await request(this.#healthUrl, { signal, reset: true })
      await body.dump()
      return true
    } catch {
      return false
    }
  }

  #reopen(): void {
    const outageMs = this.#options.clock.monotonic() - (this.#closedAtMs ?? 0)
    this.#closedAtMs = undefined
    this.#options.onOpened(outageMs)
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const callback of waiting) callback()
  }
}
