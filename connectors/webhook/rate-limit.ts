// A token bucket for each caller, bounded in number: how much one of them may send.

import { keepNewest } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'

interface Bucket {
  tokens: number
  atMs: number
}

/** Beyond it the caller that was quiet longest is forgotten, and begins anew. */
const CALLERS_MAX = 10_000

export class RateLimit {
  readonly #perMs: number
  readonly #burst: number
  readonly #clock: Clock
  /** In the order of the last request. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(perSecond: number, burst: number, clock: Clock) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#clock = clock
  }

  /** 0 when the caller may send now; else after how many milliseconds. */
  take(caller: string): number {
    const nowMs = this.#clock.monotonic()
    const bucket = this.#buckets.get(caller) ?? { tokens: this.#burst, atMs: nowMs }
    this.#buckets.delete(caller)
    this.#buckets.set(caller, bucket)
    keepNewest(this.#buckets, CALLERS_MAX)
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (nowMs - bucket.atMs) * this.#perMs)
    bucket.atMs = nowMs
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / this.#perMs)
    bucket.tokens -= 1
    return 0
  }
}
