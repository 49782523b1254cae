// A replica that is asked whether it is alive, and whose process is killed when it is not: what runs it starts it again, as
// after a crash. What is asked and how often is probes.ts's.

import { killGroup } from '../../sdk/index.ts'
import type { Clock, ClockTimer } from '../../sdk/index.ts'
import type { HttpProbe } from '../probes.ts'
import { failureOf } from './http-probe.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'

export interface WatchedRuntimeOptions {
  readonly runtime: FunctionRuntime
  readonly liveness: HttpProbe
  readonly clock: Clock
  readonly log: InstanceLog
}

export class WatchedRuntime implements FunctionRuntime {
  readonly #options: WatchedRuntimeOptions
  /** Of the process that was asked last. */
  #asked: { readonly pid: number; readonly sinceMs: number; failures: number } | undefined
  #timer: ClockTimer | undefined
  #isAsking = false
  #isClosed = false

  constructor(options: WatchedRuntimeOptions) {
    this.#options = options
    this.#schedule()
  }

  get ready(): boolean {
    return this.#options.runtime.ready
  }

  get pids(): readonly number[] {
    return this.#options.runtime.pids ?? []
  }

  warm(): Promise<boolean> {
    return this.#options.runtime.warm()
  }

  call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    return this.#options.runtime.call(request)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#options.runtime[Symbol.asyncDispose]()
  }

  #schedule(): void {
    const { clock, liveness } = this.#options
    this.#timer = clock.after(liveness.periodMs, () => {
      this.#schedule()
      if (this.#isAsking) return
      this.#isAsking = true
      void this.#ask().finally(() => (this.#isAsking = false))
    })
  }

  /** Never rejects. */
  async #ask(): Promise<void> {
    const { clock, liveness, runtime, log } = this.#options
    const pid = this.pids.at(-1)
    if (pid !== undefined && pid !== this.#asked?.pid) this.#asked = { pid, sinceMs: clock.monotonic(), failures: 0 }
    const asked = this.#asked
    // One that is starting has a limit of its own, and one that nobody has called yet is not started by this.
    if (pid === undefined || asked === undefined || !runtime.ready) return
    if (clock.monotonic() - asked.sinceMs < liveness.initialDelayMs) return
    const failure = await failureOf(runtime, liveness, clock)
    // It may have ended meanwhile, and then that was the answer.
    if (this.#isClosed || this.pids.at(-1) !== pid) return
    asked.failures = failure === undefined ? 0 : asked.failures + 1
    if (asked.failures < liveness.failureThreshold) return
    asked.failures = 0
    log.lifecycle(`not alive, and is killed: GET ${liveness.path} ${failure}`)
    killGroup(pid)
  }
}
