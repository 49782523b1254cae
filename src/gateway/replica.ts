// One replica as its set sees it: how busy it is, whether it has been started, and its end once its calls are over.

import { sleep, within } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'

/** As the gateway of OpenFaaS asks for a replica that is starting: every 100 ms, 1000 times. */
const START_POLL_MS = 100
export const START_TIMEOUT_MS = 1000 * START_POLL_MS

export interface ReplicaOptions {
  readonly clock: Clock
  /** How long the calls of a replica that is taken away may go on. */
  readonly drainMs: number
  /** A process runs between calls, too: one that does not is not started. */
  readonly keepsProcess: boolean
}

export class Replica {
  readonly runtime: FunctionRuntime
  /** Counted from 1 by its set. */
  readonly index: number
  readonly #options: ReplicaOptions
  /** Calls it has now; one more for each that the set hands out, one less for each `release`. */
  inFlight = 0
  /** It was asked to start, and did: new calls come here before they wait for one that is starting. */
  isUp = false
  #starting: Promise<boolean> | undefined
  #isRetired = false
  #drained: PromiseWithResolvers<void> | undefined
  #ended: Promise<void> | undefined

  constructor(runtime: FunctionRuntime, index: number, options: ReplicaOptions) {
    this.runtime = runtime
    this.index = index
    this.#options = options
  }

  /** A call would be tried now; of one that was never asked to start, it is its first call that starts it. */
  get isAvailable(): boolean {
    return this.#starting === undefined && this.runtime.ready
  }

  get takesCalls(): boolean {
    return this.isUp && this.runtime.ready
  }

  /** Of one call that the set gave to it; exactly once, when its answer has been sent. */
  release(): void {
    this.inFlight -= 1
    if (this.#isRetired && this.inFlight === 0) this.#drained?.resolve()
  }

  /** Resolves with whether it takes calls; asked while it is starting, with the outcome of that. Never rejects. */
  start(): Promise<boolean> {
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined))
    return this.#starting
  }

  /** Gets no more calls. Resolves when it has ended: once its calls are over, or after the time they may take. */
  async retire(): Promise<void> {
    this.#isRetired = true
    if (this.inFlight > 0) {
      this.#drained = Promise.withResolvers()
      await within(this.#options.clock, this.#options.drainMs, this.#drained.promise)
    }
    await this.end()
  }

  /** At once, whatever it is doing. Idempotent. */
  end(): Promise<void> {
    this.#isRetired = true
    this.#drained?.resolve()
    this.#ended ??= Promise.resolve(this.runtime[Symbol.asyncDispose]())
    return this.#ended
  }

  async #start(): Promise<boolean> {
    const { clock } = this.#options
    await this.runtime.warm()
    for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS && !this.#isRetired; waitedMs += START_POLL_MS) {
      if (!this.#isRunning) return false
      if (this.runtime.ready) {
        this.isUp = true
        return true
      }
      await sleep(clock, START_POLL_MS)
    }
    return false
  }

  get #isRunning(): boolean {
    return !this.#options.keepsProcess || (this.runtime.pids ?? []).length > 0
  }
}
