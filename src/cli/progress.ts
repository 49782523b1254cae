// A progress bar on one line of standard error, on a terminal only.

import { CLEAR_LINE, paint } from './output.ts'
import type { Output } from './output.ts'

const WIDTH = 24
const REDRAW_MS = 100

export class Progress implements Disposable {
  readonly #output: Output
  readonly #total: number
  readonly #noun: string
  readonly #startedAt = performance.now()
  #drawnAt = -Infinity

  /** @param noun of what is counted, in the plural */
  constructor(output: Output, total: number, noun: string) {
    this.#output = output
    this.#total = total
    this.#noun = noun
  }

  at(done: number): void {
    const now = performance.now()
    if (!this.#output.isInteractive || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    const filled = Math.floor((done / this.#total) * WIDTH)
    const bar = paint(this.#output.warnColor, 'cyan', '█'.repeat(filled)) + '░'.repeat(WIDTH - filled)
    const perSecond = Math.round((done * 1000) / Math.max(1, now - this.#startedAt))
    this.#output.warn(`${CLEAR_LINE}${bar} ${done} of ${this.#total} ${this.#noun}, ${perSecond}/s`)
  }

  /** Removes the bar, so that what follows stands alone. Idempotent. */
  [Symbol.dispose](): void {
    if (this.#drawnAt > -Infinity) this.#output.warn(CLEAR_LINE)
    this.#drawnAt = -Infinity
  }
}
