// The way back from zero replicas: the first call starts the function and every call that comes meanwhile waits for that one
// start (OpenFaaS contract, scale from zero). The invocation route comes here only when there is no replica.

import { orAborted, within } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { START_TIMEOUT_MS } from './replica.ts'

export interface ScaleFromZeroOptions {
  /** Sees to it that replicas are wanted; resolves with whether one takes calls. Never rejects. */
  readonly start: () => Promise<boolean>
  readonly clock: Clock
  /** Once for each start that came to something. */
  readonly onStarted: (seconds: number) => void
}

export class ScaleFromZero {
  readonly #options: ScaleFromZeroOptions
  #pending: Promise<boolean> | undefined

  constructor(options: ScaleFromZeroOptions) {
    this.#options = options
  }

  /** False when no replica could be started, or none in 100 seconds. @throws the signal's reason when it is aborted first */
  started(signal: AbortSignal): Promise<boolean> {
    this.#pending ??= this.#start().finally(() => (this.#pending = undefined))
    return orAborted(this.#pending, signal)
  }

  async #start(): Promise<boolean> {
    const { start, clock, onStarted } = this.#options
    const startedAtMs = clock.monotonic()
    const isUp = (await within(clock, START_TIMEOUT_MS, start())) === true
    if (isUp) onStarted((clock.monotonic() - startedAtMs) / 1000)
    return isUp
  }
}
