// Counting semaphores: how many invocations may run at once, per function and in the whole process.

import { Fifo } from '../sdk/index.ts'

/** What waits for a permit. */
export interface Waiter {
  /** Called with the permit already taken. */
  permitted(): void
  /** True when the waiter has left and its turn passes to the next. */
  readonly gone: boolean
}

/** First come, first served. */
export class Permits {
  #max: number
  #used = 0
  /** Of those in the queue. */
  #gone = 0
  readonly #waiting = new Fifo<Waiter>()

  constructor(max: number) {
    this.#max = max
  }

  get max(): number {
    return this.#max
  }

  get used(): number {
    return this.#used
  }

  get waiting(): number {
    return this.#waiting.length - this.#gone
  }

  /** Raising the bound lets waiters go; lowering it takes effect as permits come back. */
  resize(max: number): void {
    this.#max = max
    while (this.#used < this.#max && this.#admitNext());
  }

  tryTake(): boolean {
    if (this.#used >= this.#max) return false
    this.#used += 1
    return true
  }

  /** Calls `waiter.permitted` when its turn comes, never synchronously. */
  enqueue(waiter: Waiter): void {
    this.#waiting.push(waiter)
  }

  /** One that waits has become `gone`. What it holds is let go before its turn comes. */
  left(): void {
    this.#gone += 1
    if (this.#gone * 2 <= this.#waiting.length) return
    this.#waiting.retain((waiter) => !waiter.gone)
    this.#gone = 0
  }

  release(): void {
    this.#used -= 1
    if (this.#used < this.#max) this.#admitNext()
  }

  #admitNext(): boolean {
    for (;;) {
      const next = this.#waiting.shift()
      if (next === undefined) return false
      if (next.gone) {
        this.#gone -= 1
        continue
      }
      this.#used += 1
      next.permitted()
      return true
    }
  }
}

/** The limits of one process, shared by all of its connectors. */
export class Limits {
  readonly total: Permits
  readonly #functions = new Map<string, Permits>()

  /** @param inFlightMax concurrent invocations over all connectors and functions */
  constructor(inFlightMax: number) {
    this.total = new Permits(inFlightMax)
  }

  /** The permits of one function; a changed `concurrency` is applied to what exists. */
  forFunction(name: string, concurrency: number): Permits {
    let permits = this.#functions.get(name)
    if (permits === undefined) this.#functions.set(name, (permits = new Permits(concurrency)))
    else if (permits.max !== concurrency) permits.resize(concurrency)
    return permits
  }

  /** Functions that are invoked or waited for right now, for metrics. */
  *functions(): Iterable<{
    readonly function: string
    readonly inFlight: number
    readonly waiting: number
    readonly max: number
  }> {
    for (const [name, { used, waiting, max }] of this.#functions) yield { function: name, inFlight: used, waiting, max }
  }
}
