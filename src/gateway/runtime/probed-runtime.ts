// A replica that is asked whether it is ready: until it says so calls wait for it, and when it no longer does it gets none.
// What is asked and how often is probes.ts's; starts and restarts nothing itself.

import { orAborted, within } from '../../sdk/index.ts'
import type { Clock, ClockTimer } from '../../sdk/index.ts'
import type { HttpProbe } from '../probes.ts'
import { failureOf } from './http-probe.ts'
import { RuntimeFailure } from './runtime.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'

export interface ProbedRuntimeOptions {
  readonly runtime: FunctionRuntime
  readonly readiness: HttpProbe
  readonly clock: Clock
  readonly log: InstanceLog
}

/** Of one process, from its start to its end. */
interface Verdict {
  readonly pid: number
  readonly startedAtMs: number
  /** Resolves with its first success, or its end. */
  readonly first: PromiseWithResolvers<void>
  state: 'starting' | 'ready' | 'unready'
  /** In a row. */
  failures: number
}

export class ProbedRuntime implements FunctionRuntime {
  readonly #options: ProbedRuntimeOptions
  #verdict: Verdict | undefined
  #timer: ClockTimer | undefined
  #asking: Promise<void> | undefined
  #isClosed = false

  constructor(options: ProbedRuntimeOptions) {
    this.#options = options
    this.#schedule()
  }

  get ready(): boolean {
    const { runtime } = this.#options
    // One that is started by its first call has nobody to ask yet.
    return runtime.ready && (this.#current()?.state ?? 'ready') === 'ready'
  }

  get pids(): readonly number[] {
    return this.#options.runtime.pids ?? []
  }

  async warm(): Promise<boolean> {
    if (!(await this.#options.runtime.warm())) return false
    await this.#ask()
    return true
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const { runtime, clock } = this.#options
    // Why it cannot be started, the call itself says best.
    if (this.#current() === undefined && !(await this.warm())) return await runtime.call(request)
    const verdict = this.#current()
    if (verdict?.state === 'starting') await within(clock, request.timeoutMs, orAborted(verdict.first.promise, request.signal)) // prettier-ignore
    if (verdict !== undefined && verdict.state !== 'ready') throw new RuntimeFailure('unready', 'it is not ready')
    return await runtime.call(request)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#options.runtime[Symbol.asyncDispose]()
  }

  /** Of the process that runs now; undefined where none does. */
  #current(): Verdict | undefined {
    const pid = this.pids.at(-1)
    if (pid === this.#verdict?.pid) return this.#verdict
    // Whoever waits for that one hears that it will not come.
    this.#verdict?.first.resolve()
    const startedAtMs = this.#options.clock.monotonic()
    this.#verdict = pid === undefined ? undefined : { pid, startedAtMs, first: Promise.withResolvers(), state: 'starting', failures: 0 } // prettier-ignore
    return this.#verdict
  }

  #schedule(): void {
    const { clock, readiness } = this.#options
    this.#timer = clock.after(readiness.periodMs, () => {
      this.#schedule()
      void this.#ask()
    })
  }

  /** Once at a time. Never rejects. */
  #ask(): Promise<void> {
    this.#asking ??= this.#askOnce().finally(() => (this.#asking = undefined))
    return this.#asking
  }

  async #askOnce(): Promise<void> {
    const { clock, readiness, runtime, log } = this.#options
    const verdict = this.#current()
    const isDue = verdict !== undefined && clock.monotonic() - verdict.startedAtMs >= readiness.initialDelayMs
    // One that is starting is not to be asked by a call that would wait for it, or start another.
    if (this.#isClosed || !isDue || !runtime.ready) return
    const failure = await failureOf(runtime, readiness, clock)
    // It may have ended meanwhile, and then that was the answer.
    if (this.#isClosed || this.#current() !== verdict) return
    verdict.failures = failure === undefined ? 0 : verdict.failures + 1
    if (failure === undefined && verdict.state !== 'ready') {
      if (verdict.state === 'unready') log.lifecycle(`ready again: GET ${readiness.path}`)
      verdict.state = 'ready'
      verdict.first.resolve()
    } else if (verdict.state === 'ready' && verdict.failures >= readiness.failureThreshold) {
      verdict.state = 'unready'
      log.lifecycle(`not ready, and gets no calls: GET ${readiness.path} ${failure}`)
    }
  }
}
