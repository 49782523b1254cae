// What the broker of one instance said last of how much waits there: asked now and then over a connection of its own, kept
// for whoever wants to know. Consumes nothing. Made by the hub, read by the scaler's server.

import { HubError, Repeat, asHubError, formatDuration, orAborted } from '../sdk/index.ts'
import type { Clock, LagProbe, SourceLog, Subscription, TopicLag } from '../sdk/index.ts'

/** The latest answer. What is not known is never taken for nothing. */
export type LagReading =
  | {
      readonly kind: 'read'
      readonly lags: readonly TopicLag[]
      /** Events that replicas say they have, where the broker does not tell. */
      readonly held: number
    }
  | { readonly kind: 'unknown'; readonly problem: HubError }

export interface LagWatchOptions {
  readonly name: string
  readonly open: (signal: AbortSignal) => Promise<LagProbe>
  /** Undefined: the functions are not known yet. */
  readonly wanted: () => readonly Subscription[] | undefined
  /** What the replicas have and have not settled; undefined: they are not asked. @throws HubError when one does not say */
  readonly held: ((signal: AbortSignal) => Promise<number>) | undefined
  readonly clock: Clock
  readonly log: SourceLog
  readonly intervalMs: number
}

/** For one answer, connecting included. */
const ANSWER_MS = 10_000
/** Credentials and TLS are not mended by asking again soon, and may lock an account. */
const HOPELESS_WAIT_MS = 30_000

export class LagWatch {
  readonly name: string
  readonly #options: LagWatchOptions
  readonly #repeat: Repeat
  readonly #stop = new AbortController()
  readonly #listeners = new Set<() => void>()
  #probe: LagProbe | undefined
  #reading: LagReading
  #notBeforeMs = 0
  #looking: Promise<void> = Promise.resolve()

  constructor(options: LagWatchOptions) {
    this.name = options.name
    this.#options = options
    this.#reading = { kind: 'unknown', problem: notAsked(options.name) }
    this.#repeat = new Repeat(options.clock, options.intervalMs, () => (this.#looking = this.#look()))
  }

  get reading(): LagReading {
    return this.#reading
  }

  /** Asks at once, and then again and again until `close`. */
  look(): void {
    this.#repeat.now()
  }

  /** Told after every answer, or when there was none. @returns what ends that */
  onReading(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Ends what is being asked. Idempotent, never rejects. */
  async close(): Promise<void> {
    this.#repeat.stop()
    this.#stop.abort()
    await this.#looking
    await this.#letGo()
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { name, open, wanted, clock } = this.#options
    if (clock.monotonic() < this.#notBeforeMs || this.#stop.signal.aborted) return
    const subscriptions = wanted()
    if (subscriptions === undefined) {
      // Discovery says for itself what it waits for.
      this.#reading = { kind: 'unknown', problem: notListed(name) }
      return
    }
    const late = new AbortController()
    const timer = clock.after(ANSWER_MS, () => late.abort(silent(name)))
    const signal = AbortSignal.any([late.signal, this.#stop.signal])
    try {
      this.#probe ??= await open(signal)
      const lags = await this.#probe.read(subscriptions, signal)
      this.#became({ kind: 'read', lags, held: await this.#held(lags, signal) })
    } catch (error) {
      await this.#letGo()
      if (!this.#stop.signal.aborted) this.#failed(asHubError(error, 'HUB_SOURCE_LOST', true))
    } finally {
      timer.cancel()
    }
  }

  async #held(lags: readonly TopicLag[], signal: AbortSignal): Promise<number> {
    const { held } = this.#options
    const isTold = lags.every((lag) => lag.kind !== 'known' || lag.unsettled !== undefined)
    return isTold || held === undefined ? 0 : await orAborted(held(signal), signal)
  }

  #failed(problem: HubError): void {
    const { clock, intervalMs } = this.#options
    if (!problem.canRetry) this.#notBeforeMs = clock.monotonic() + Math.max(HOPELESS_WAIT_MS, intervalMs)
    this.#became({ kind: 'unknown', problem })
  }

  #became(reading: LagReading): void {
    const { log, name } = this.#options
    const before = this.#reading
    this.#reading = reading
    if (reading.kind === 'unknown')
      log.warn('scaler.unknown', `how much waits for ${name} is not known, so its replicas stay as they are: ${reading.problem.message}. ${reading.problem.hint}`, { code: reading.problem.code }) // prettier-ignore
    else if (before.kind === 'unknown') log.info('scaler.known', `the broker tells how much waits for ${name}`)
    for (const listener of this.#listeners) listener()
  }

  async #letGo(): Promise<void> {
    const probe = this.#probe
    this.#probe = undefined
    await probe?.[Symbol.asyncDispose]().then(undefined, () => undefined)
  }
}

function notAsked(name: string): HubError {
  return new HubError('HUB_SOURCE_UNREACHABLE', `the broker of ${name} was not asked yet`, { canRetry: true, hint: 'Ask again in a moment.' }) // prettier-ignore
}

function notListed(name: string): HubError {
  return new HubError('HUB_DISCOVERY_FAILED', `the functions are not known yet, and so not what ${name} has to read`, { canRetry: true }) // prettier-ignore
}

function silent(name: string): HubError {
  return new HubError('HUB_SOURCE_UNREACHABLE', `the broker of ${name} gave no answer within ${formatDuration(ANSWER_MS)}`, { canRetry: true }) // prettier-ignore
}
