// A limit of time for what may be silent: a signal that aborts when nothing was heard. Used by api.ts for requests and watches.

import type { Clock, ClockTimer } from '../sdk/index.ts'

/** Aborts when it is not heard of for too long. One timer for any number of chunks. */
export class Silence {
  readonly #clock: Clock
  readonly #controller = new AbortController()
  #timer: ClockTimer
  #heardAtMs: number
  #limitMs: number

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock
    this.#limitMs = limitMs
    this.#heardAtMs = clock.monotonic()
    this.#timer = clock.after(limitMs, () => this.#due())
  }

  /** What is allowed now. */
  get limitMs(): number {
    return this.#limitMs
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** From now on this long. */
  allow(limitMs: number): void {
    this.#timer.cancel()
    this.#limitMs = limitMs
    this.#heardAtMs = this.#clock.monotonic()
    this.#timer = this.#clock.after(limitMs, () => this.#due())
  }

  async *heard(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
    for await (const chunk of stream) {
      this.#heardAtMs = this.#clock.monotonic()
      yield chunk
    }
  }

  /** Nothing aborts any more. */
  end(): void {
    this.#timer.cancel()
  }

  #due(): void {
    const leftMs = this.#heardAtMs + this.#limitMs - this.#clock.monotonic()
    if (leftMs <= 0) this.#controller.abort()
    else this.#timer = this.#clock.after(leftMs, () => this.#due())
  }
}
