// Keeps one fault that happens a thousand times a second from becoming a thousand lines a second.

import type { Clock } from './clock.ts'

const KEYS_MAX = 1000

export class RepeatGuard {
  readonly #clock: Clock
  readonly #windowMs: number
  readonly #windows = new Map<string, { startedAtMs: number; suppressed: number }>()

  constructor(clock: Clock, windowMs = 10_000) {
    this.#clock = clock
    this.#windowMs = windowMs
  }

  /** Undefined: say nothing, it is counted. Otherwise how many were suppressed since the last line with this key. */
  pass(key: string): number | undefined {
    const nowMs = this.#clock.monotonic()
    const window = this.#windows.get(key)
    if (window !== undefined && nowMs - window.startedAtMs < this.#windowMs) {
      window.suppressed += 1
      return undefined
    }
    if (this.#windows.size >= KEYS_MAX) this.#windows.clear()
    this.#windows.set(key, { startedAtMs: nowMs, suppressed: 0 })
    return window?.suppressed ?? 0
  }
}
