// Time as a dependency, so that tests never sleep.

/** Handle of a pending timer. */
export interface ClockTimer {
  cancel(): void
}

export interface Clock {
  /** Unix milliseconds; follows the wall clock. */
  now(): number
  /** Monotonic milliseconds with a fraction, for durations. */
  monotonic(): number
  /** Runs `callback` once after `delayMs`. Delays beyond 24.8 days are kept (Node's own timers end there). */
  after(delayMs: number, callback: () => void): ClockTimer
}

/** Node's timers take no longer one: 24.8 days. */
export const TIMEOUT_MAX_MS = 2 ** 31 - 1
/** Further from 1970 no Date goes (ECMA-262 §21.4.1.1). */
export const DATE_MAX_MS = 8.64e15

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    let timer: NodeJS.Timeout
    const arm = (leftMs: number): void => {
      const chunkMs = Math.min(leftMs, TIMEOUT_MAX_MS)
      timer = setTimeout(() => (leftMs > chunkMs ? arm(leftMs - chunkMs) : callback()), chunkMs)
    }
    arm(Math.max(0, delayMs))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Resolves after `delayMs`; rejects with the signal's reason when aborted first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error)
      return
    }
    const onAbort = (): void => {
      timer.cancel()
      reject(signal?.reason as Error)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** A clock that moves only when told to; for tests. */
export class ManualClock implements Clock {
  /** What the wall clock shows at monotonic 0. */
  #wallMs: number
  #monotonicMs = 0
  #sequence = 0
  readonly #timers = new Map<number, { readonly atMs: number; readonly callback: () => void }>()

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = startMs
  }

  now(): number {
    return this.#wallMs + this.#monotonicMs
  }

  monotonic(): number {
    return this.#monotonicMs
  }

  after(delayMs: number, callback: () => void): ClockTimer {
    const id = this.#sequence++
    this.#timers.set(id, { atMs: this.#monotonicMs + Math.max(0, delayMs), callback })
    return { cancel: () => void this.#timers.delete(id) }
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.#timers.size
  }

  /** Moves time forward, firing timers in order and letting promises settle between them. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#monotonicMs + byMs
    await settled()
    for (;;) {
      let next: [number, { readonly atMs: number; readonly callback: () => void }] | undefined
      for (const timer of this.#timers) {
        if (timer[1].atMs <= untilMs && (next === undefined || timer[1].atMs < next[1].atMs)) next = timer
      }
      if (next === undefined) break
      this.#timers.delete(next[0])
      this.#monotonicMs = Math.max(this.#monotonicMs, next[1].atMs)
      next[1].callback()
      await settled()
    }
    this.#monotonicMs = untilMs
    await settled()
  }

  /** Sets the wall clock forward or back. Timers and `monotonic` do not notice, as with the real clock. */
  jump(byMs: number): void {
    this.#wallMs += byMs
  }
}

/** Lets every promise continuation that is ready run. */
function settled(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
