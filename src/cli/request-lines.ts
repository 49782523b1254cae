// Lines about calls on their way to standard output: written together, since there are many, and no more of them kept than a
// slow reader leaves room for.

import { counted } from './output.ts'
import type { Output } from './output.ts'

/** Some hundred bytes each. */
const LINES_MAX = 10_000

export class RequestLines {
  readonly #output: Output
  readonly #write: (lines: readonly string[]) => void
  #lines: string[] = []
  #leftOut = 0
  #isWriting = false

  /** @param write several lines at once */
  constructor(output: Output, write: (lines: readonly string[]) => void) {
    this.#output = output
    this.#write = write
  }

  add(line: string): void {
    if (this.#lines.length >= LINES_MAX) {
      this.#leftOut += 1
      return
    }
    this.#lines.push(line)
    if (this.#isWriting) return
    this.#isWriting = true
    setImmediate(() => void this.#writeAll())
  }

  /** What is still there. */
  flush(): void {
    const lines = this.#lines
    this.#lines = []
    if (this.#leftOut > 0) lines.push(`${counted(this.#leftOut, 'line')} left out: nobody read them in time`)
    this.#leftOut = 0
    if (lines.length > 0) this.#write(lines)
  }

  /** Never rejects. */
  async #writeAll(): Promise<void> {
    while (this.#lines.length > 0) {
      this.flush()
      // Nobody reads any more: what comes is left out.
      if ((await this.#output.drained?.()) === false) return
    }
    this.#isWriting = false
  }
}
