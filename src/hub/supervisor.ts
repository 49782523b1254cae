// Runs one connector instance: connects with back-off, keeps it subscribed to the wiring, feeds its dispatcher, drains and
// closes it. A failing broker never ends the process.

import type { Dispatcher } from '../delivery/dispatcher.ts'
import type { Invoker } from '../invoke/outcome.ts'
import { HubError, asHubError, backoffMs, sleep } from '../sdk/index.ts'
import type { Clock, Source, Subscription } from '../sdk/index.ts'
import type { ConnectorState, HubEvents } from '../telemetry/events.ts'

export interface SupervisorOptions {
  readonly name: string
  readonly source: Source
  readonly dispatcher: Dispatcher
  readonly invoker: Invoker
  readonly events: HubEvents
  readonly clock: Clock
}

export interface SupervisorStatus {
  readonly connector: string
  readonly state: ConnectorState
  /** Unix milliseconds. */
  readonly since: number
  /** `CODE: message` of what keeps it from being active. */
  readonly problem: string | undefined
  readonly subscriptions: number
  readonly unsettled: number
}

const RECONNECT = { minWaitMs: 250, maxWaitMs: 30_000, jitter: 'equal' } as const
/** A connector that held this long starts its back-off anew. */
const STABLE_MS = 60_000
/** Credentials and TLS are not mended by waiting a moment, but a rotated secret is: try, rarely. */
const HOPELESS_WAIT_MS = 30_000

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stop = new AbortController()
  #state: ConnectorState = 'pending'
  #since: number
  #problem: HubError | undefined
  #wanted: readonly Subscription[] | undefined
  #connected = false
  /** Serialises subscribe calls; the last wanted set wins. */
  #subscribing: Promise<void> = Promise.resolve()
  #wantedChanged: (() => void) | undefined
  #connection: AbortController | undefined
  #loop: Promise<void> | undefined

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#since = options.clock.now()
  }

  /** Connects once the first wiring is there, and runs until `drain`. */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** The complete wanted set. Takes effect at once when connected, else after the next connect. */
  want(subscriptions: readonly Subscription[]): void {
    this.#wanted = subscriptions
    this.#wantedChanged?.()
    if (this.#connected) void this.#subscribe()
  }

  get status(): SupervisorStatus {
    const problem = this.#problem === undefined ? undefined : `${this.#problem.code}: ${this.#problem.message}`
    return {
      connector: this.#options.name,
      state: this.#state,
      since: this.#since,
      problem,
      subscriptions: this.#wanted?.length ?? 0,
      unsettled: this.#options.dispatcher.unsettled,
    }
  }

  /** Stops pulling, waits for what runs, closes the source. Bounded by the timeout and a short grace. Idempotent. */
  async drain(timeoutMs: number): Promise<void> {
    const { name, dispatcher, invoker, source, events, clock } = this.#options
    if (this.#state === 'closed') return
    this.#move('draining', 'stopped pulling')
    const startedAt = clock.monotonic()
    // Pulling stops through the dispatcher, before the source is told: what it holds stays settleable.
    const { unsettled } = await dispatcher.drain(timeoutMs)
    this.#stop.abort()
    this.#connection?.abort()
    await source.close()
    await this.#loop
    await invoker.close()
    events.drained(name, unsettled, clock.monotonic() - startedAt)
    this.#move('closed', 'closed')
  }

  async #run(): Promise<void> {
    const { clock, source, events, name } = this.#options
    const stop = this.#stop.signal
    if (this.#wanted === undefined) await new Promise<void>((resolve) => this.#resumeWith(resolve))
    let failures = 0
    while (!stop.aborted) {
      const startedAt = clock.monotonic()
      try {
        await this.#connectAndPull(source)
        if (stop.aborted || this.#state === 'draining') return
        throw new HubError('HUB_SOURCE_LOST', 'the source ended by itself', { canRetry: true })
      } catch (error) {
        if (stop.aborted) return
        const problem = asHubError(error, 'HUB_SOURCE_LOST', true)
        failures = clock.monotonic() - startedAt > STABLE_MS ? 1 : failures + 1
        const waitMs = problem.canRetry
          ? backoffMs(failures, RECONNECT)
          : Math.max(HOPELESS_WAIT_MS, backoffMs(failures, RECONNECT))
        this.#problem = problem
        if (this.#state !== 'draining' && this.#state !== 'failing')
          this.#move('failing', `${problem.message}. ${problem.hint}`, problem)
        events.connectorRetry(name, problem, failures, waitMs)
        await sleep(clock, waitMs, stop).catch(() => undefined)
      }
    }
  }

  #resumeWith(resolve: () => void): void {
    this.#wantedChanged = resolve
    this.#stop.signal.addEventListener('abort', () => resolve(), { once: true })
  }

  async #connectAndPull(source: Source): Promise<void> {
    const connection = new AbortController()
    this.#connection = connection
    const signal = AbortSignal.any([connection.signal, this.#stop.signal])
    try {
      await source.connect(signal)
      await source.subscribe(this.#wanted ?? [], signal)
      this.#connected = true
      this.#problem = undefined
      if (this.#state !== 'draining') this.#move('active', `connected, ${this.#wanted?.length ?? 0} subscriptions`)
      await this.#options.dispatcher.run(source.deliveries(signal), signal)
    } finally {
      this.#connected = false
    }
  }

  /** A refused subscription is a fault of its topic: it is reported, and the connection goes on with the rest. */
  #subscribe(): Promise<void> {
    this.#subscribing = this.#subscribing.then(async () => {
      const signal = this.#connection?.signal
      if (!this.#connected || signal === undefined || signal.aborted) return
      try {
        await this.#options.source.subscribe(this.#wanted ?? [], signal)
      } catch (error) {
        if (!signal.aborted)
          this.#options.events.connectorRetry(this.#options.name, asHubError(error, 'HUB_SOURCE_FORBIDDEN'), 1, 0)
      }
    })
    return this.#subscribing
  }

  #move(state: ConnectorState, detail: string, problem?: HubError): void {
    this.#state = state
    this.#since = this.#options.clock.now()
    this.#options.events.connectorState(this.#options.name, state, detail, problem)
  }
}
