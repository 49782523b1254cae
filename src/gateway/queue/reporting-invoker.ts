// Around the invoker of a queue's worker: the worker's log lines as OpenFaaS writes them (OpenFaaS contract, worker log
// lines), and how many calls of each function run. Changes no outcome.

import type { Invocation, Invoker, Outcome } from '../../invoke/outcome.ts'
import type { EventMessage } from '../../sdk/index.ts'

export interface ReportingOptions {
  readonly gatewayUrl: string
  /** Of the message, in the log. */
  readonly numberOf: (message: EventMessage) => number
  /** Calls that run, by the full name of their function; kept by the caller. */
  readonly running: Map<string, number>
  readonly log: (line: string) => void
}

export class ReportingInvoker implements Invoker {
  readonly #invoker: Invoker
  readonly #options: ReportingOptions

  constructor(invoker: Invoker, options: ReportingOptions) {
    this.#invoker = invoker
    this.#options = options
  }

  async invoke(invocation: Invocation): Promise<Outcome> {
    const { gatewayUrl, numberOf, log } = this.#options
    const { message, function: fullName } = invocation
    const { topic: name, body, path = '/' } = message
    const number = numberOf(message)
    log(`[#${number}] Invoking: ${name} with ${body.byteLength} bytes, via: ${gatewayUrl}/function/${name}${path}`)
    this.#count(fullName, 1)
    // Called by the name that it was queued with.
    const outcome = await this.#invoker.invoke({ ...invocation, function: name })
    this.#count(fullName, -1)
    const seconds = (outcome.durationMs / 1000).toFixed(6)
    if (outcome.kind === 'answered') {
      log(`[#${number}] Invoked: ${name} [${outcome.status}] in ${seconds}s`)
      log(`[#${number}] ${name} returned ${outcome.bodyBytes} bytes`)
    } else if ('error' in outcome) log(`[#${number}] Error invoking ${name}, error: ${outcome.error.message}`)
    else log(`[#${number}] Stopped: ${name} after ${seconds}s`)
    return outcome
  }

  close(): Promise<void> {
    return this.#invoker.close()
  }

  #count(name: string, change: 1 | -1): void {
    const count = (this.#options.running.get(name) ?? 0) + change
    if (count === 0) this.#options.running.delete(name)
    else this.#options.running.set(name, count)
  }
}
