// What a command is still waiting for, on one line of standard error, on a terminal only. Lines of results go around it.

import { systemClock } from '../sdk/index.ts'
import type { Clock, ClockTimer } from '../sdk/index.ts'
import { CLEAR_LINE, paint, printable } from './output.ts'
import type { Output } from './output.ts'

/** What is there at once needs no announcement. */
const FIRST_MS = 300
const REDRAW_MS = 1000
const NAMES_MAX = 5

export class Waiting implements Disposable {
  readonly #output: Output
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #for = new Set<string>()
  #isDrawn = false
  #timer: ClockTimer | undefined

  constructor(output: Output, isShown: boolean, clock: Clock = systemClock) {
    this.#output = output
    this.#clock = clock
    this.#startedAtMs = clock.monotonic()
    if (isShown && output.isInteractive) this.#later(FIRST_MS)
  }

  /** The outcome of the work, which is named while it goes on. */
  async for<T>(what: string, work: Promise<T>): Promise<T> {
    this.#for.add(what)
    try {
      return await work
    } finally {
      this.#for.delete(what)
    }
  }

  /** Lines on standard output. */
  write(text: string): void {
    this.#clear()
    this.#output.write(text)
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel()
    this.#clear()
  }

  #later(afterMs: number): void {
    this.#timer = this.#clock.after(afterMs, () => {
      this.#draw()
      this.#later(REDRAW_MS)
    })
  }

  #draw(): void {
    this.#clear()
    if (this.#for.size === 0) return
    const names = [...this.#for].slice(0, NAMES_MAX)
    const more = this.#for.size > names.length ? ` and ${this.#for.size - names.length} more` : ''
    const seconds = Math.floor((this.#clock.monotonic() - this.#startedAtMs) / 1000)
    this.#output.warn(paint(this.#output.warnColor, 'gray', printable(`waiting for ${names.join(', ')}${more} … ${seconds} s`))) // prettier-ignore
    this.#isDrawn = true
  }

  #clear(): void {
    if (this.#isDrawn) this.#output.warn(CLEAR_LINE)
    this.#isDrawn = false
  }
}
