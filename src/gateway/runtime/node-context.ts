// What a handler sets its answer with: `context` of OpenFaaS's Node template. Runs inside the function's process.

import type { Answer } from './node-answer.ts'
import { textOf } from './node-answer.ts'

export class FunctionContext {
  readonly #send: (answer: Answer) => void
  readonly #isStrict: boolean
  #status = 200
  #headers: Record<string, unknown> = {}
  /** How often an answer was given. */
  cbCalled = 0

  /** @param isStrict an error nobody caught is a 500 */
  constructor(send: (answer: Answer) => void, isStrict: boolean) {
    this.#send = send
    this.#isStrict = isStrict
  }

  status(code?: number): this | number {
    if (code === undefined || code === 0) return this.#status
    this.#status = code
    return this
  }

  headers(value?: Record<string, unknown>): this | Record<string, unknown> {
    if (!value) return this.#headers
    this.#headers = value
    return this
  }

  succeed(value?: unknown): this {
    this.cbCalled += 1
    this.#send({ status: this.#status, headers: this.#headers, value })
    return this
  }

  /** 200 becomes 500, any other status is kept. Headers are not sent, unless there is nothing to fail with. */
  fail(error?: unknown): this {
    if (this.#status === 200) this.#status = 500
    this.#failed(error)
    return this
  }

  /** An error nobody caught, or the callback's: the template keeps the status as it stands, 200 unless it was set. */
  thrown(error: unknown): void {
    if (this.cbCalled > 0) return
    if (this.#isStrict && this.#status === 200) this.#status = 500
    this.#failed(error)
  }

  #failed(error: unknown): void {
    if (!error) {
      this.succeed(undefined)
      return
    }
    this.cbCalled += 1
    console.error(error)
    this.#send({ status: this.#status, headers: {}, value: textOf(error) })
  }
}
