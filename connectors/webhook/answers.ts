// Callers that wait for what the functions answer, by event. Owned by webhook-source.ts.

import type { Clock, EndpointAnswer, FunctionResult } from '../../src/sdk/index.ts'

type Resolve = (results: readonly FunctionResult[] | undefined) => void

export class Answers {
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #waiting = new Map<string, Set<Resolve>>()

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  /** What the functions answered; undefined when that takes too long, the caller has gone, or the source closes. */
  of(id: string, signal: AbortSignal): Promise<readonly FunctionResult[] | undefined> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, waiting)
      const give: Resolve = (results) => {
        timer.cancel()
        signal.removeEventListener('abort', leave)
        waiting.delete(give)
        if (waiting.size === 0) this.#waiting.delete(id)
        resolve(results)
      }
      waiting.add(give)
      const leave = (): void => give(undefined)
      const timer = this.#clock.after(this.#timeoutMs, leave)
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    })
  }

  give(id: string, results: readonly FunctionResult[] | undefined): void {
    for (const give of this.#waiting.get(id) ?? []) give(results)
  }

  /** Nobody is answered any more. */
  end(): void {
    for (const id of this.#waiting.keys()) this.give(id, undefined)
  }
}

/** A matter of the connection that the answer came over. */
const NOT_COPIED = new Set([
  'connection', 'content-length', 'date', 'keep-alive', 'proxy-connection', 'trailer', 'transfer-encoding', 'upgrade',
]) // prettier-ignore

/** Of several functions, the first by name that failed, else the first by name. */
export function answerOf(results: readonly FunctionResult[]): EndpointAnswer {
  const sorted = results.toSorted((left, right) => (left.function < right.function ? -1 : 1))
  const result = sorted.find(({ status }) => status >= 400) ?? sorted[0]
  // All of them have filtered it out.
  if (result === undefined) return { status: 204 }
  const headers: Record<string, string | string[]> = {}
  for (let index = 0; index < result.headers.length; index += 2) {
    const [name, value] = result.headers.slice(index, index + 2) as [string, string]
    const key = name.toLowerCase()
    if (NOT_COPIED.has(key)) continue
    const before = headers[key]
    headers[key] = before === undefined ? value : [before, value].flat()
  }
  return { status: result.status, headers: { ...headers, 'X-Function-Name': result.function }, body: result.body }
}
