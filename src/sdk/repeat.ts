// Asking something now and then: the next time begins when the last one has ended. For connectors that keep counts for metrics.

import type { Clock, ClockTimer } from './clock.ts'

export class Repeat {
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #work: () => Promise<void>
  #timer: ClockTimer | undefined
  #isStopped = false
  #isWorking = false
  /** Asked for while it was working. */
  #isDue = false

  /** @param work must not reject; runs first when `now` is called */
  constructor(clock: Clock, everyMs: number, work: () => Promise<void>) {
    this.#clock = clock
    this.#everyMs = everyMs
    this.#work = work
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** At once, or again when what runs has ended; then now and again. */
  now(): void {
    this.#isDue = this.#isWorking
    if (this.#isWorking) return
    this.#timer?.cancel()
    this.#later(0)
  }

  /** What runs ends by itself. Idempotent. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #later(afterMs: number): void {
    if (!this.#isStopped) this.#timer = this.#clock.after(afterMs, () => void this.#run())
  }

  async #run(): Promise<void> {
    this.#isWorking = true
    await this.#work()
    this.#isWorking = false
    this.#later(this.#isDue ? 0 : this.#everyMs)
    this.#isDue = false
  }
}
