// Runs one connector instance: connects with back-off, keeps it subscribed to the wiring, feeds its dispatcher, drains and
// closes it. A failing broker never ends the process.

import { isDeepStrictEqual } from 'node:util'

import type { Dispatcher } from '../delivery/dispatcher.ts'
import type { Invoker } from '../invoke/outcome.ts'
import { HubError, asHubError, backoffMs, orAborted, sleep } from '../sdk/index.ts'
import type { Clock, Leadership, Source, Subscription, Term } from '../sdk/index.ts'
import type { ConnectorState, HubEvents } from '../telemetry/events.ts'

export interface SupervisorOptions {
  readonly name: string
  readonly source: Source
  readonly dispatcher: Dispatcher
  readonly invoker: Invoker
  readonly events: HubEvents
  readonly clock: Clock
  /** Where replicas take turns: the source is connected only while this one has it. */
  readonly election?: Election
  /** The broker agreed to something else than before, or anew: what is sent from now on arrives. */
  readonly onSubscribed?: (subscriptions: readonly Subscription[]) => void
}

/** Standing for the turn of an instance. */
export interface Election extends Leadership {
  readonly standing: {
    readonly holder: string | undefined
    readonly epoch: number
    readonly isOurs: boolean
    /** What keeps us from having a turn or waiting for one. */
    readonly problem: HubError | undefined
  }
  /** Resolves with the next change of `term` or `standing`. */
  readonly changed: Promise<void>
  /** Idempotent. */
  start(): void
  /** For good: lets another have the turn at once. Idempotent. */
  resign(): Promise<void>
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
  /** Where replicas take turns: who has it, as far as is known. */
  readonly leader?: { readonly holder: string | undefined; readonly epoch: number; readonly isOurs: boolean }
}

/** A refused connection costs little, and whoever restarts a broker waits for us. */
const RECONNECT = { minWaitMs: 250, maxWaitMs: 5000, jitter: 'equal' } as const
/** A connector that held this long starts its back-off anew. */
const STABLE_MS = 60_000
/** Credentials and TLS are not mended by waiting a moment, but a rotated secret is: try, rarely. */
const HOPELESS_WAIT_MS = 30_000
/** For a source to let go of its broker. */
const CLOSE_MS = 5000

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stop = new AbortController()
  #state: ConnectorState = 'pending'
  #since: number
  #problem: HubError | undefined
  #wanted: readonly Subscription[] | undefined
  /** What the broker agreed to on this connection; undefined without one. */
  #subscribed: readonly Subscription[] | undefined
  /** Resolved, and made anew, when something else is wanted or there is nothing to wait for any more. */
  #change = Promise.withResolvers<void>()
  #loop: Promise<void> | undefined
  #drained: Promise<void> | undefined

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
    this.#changed()
  }

  get status(): SupervisorStatus {
    const problem = this.#problem === undefined ? undefined : `${this.#problem.code}: ${this.#problem.message}`
    const { election } = this.#options
    return {
      connector: this.#options.name,
      state: this.#state,
      since: this.#since,
      problem,
      subscriptions: this.#wanted?.length ?? 0,
      unsettled: this.#options.dispatcher.unsettled,
      ...(election === undefined ? {} : { leader: leaderOf(election) }),
    }
  }

  /** Stops pulling, waits for what runs, closes the source. Bounded by the timeout and a short grace. Idempotent. */
  drain(timeoutMs: number): Promise<void> {
    this.#drained ??= this.#drain(timeoutMs)
    return this.#drained
  }

  async #drain(timeoutMs: number): Promise<void> {
    const { name, dispatcher, invoker, events, clock } = this.#options
    this.#move('draining', 'stopped pulling')
    const startedAt = clock.monotonic()
    // Whoever stands by is not to get a turn now. A turn is kept until what was begun in it is settled.
    if (this.#options.election?.term === undefined) void this.#options.election?.resign()
    // Pulling stops through the dispatcher, before the source is told: what it holds stays settleable.
    const { unsettled } = await dispatcher.drain(timeoutMs)
    this.#stop.abort()
    this.#changed()
    await this.#closeSource()
    await this.#options.election?.resign()
    await invoker.close()
    events.drained(name, unsettled, clock.monotonic() - startedAt)
    this.#move('closed', 'closed')
  }

  /** A source that cannot be closed must not keep the process: what it holds is the broker's again when the process ends. */
  async #closeSource(): Promise<void> {
    await this.#bounded(async () => {
      await this.#options.source.close()
      await this.#loop
    })
  }

  async #bounded(close: () => Promise<void>): Promise<void> {
    const { name, events, clock } = this.#options
    const late = new AbortController()
    const closed = close()
    const bound = sleep(clock, CLOSE_MS, late.signal).then(() => {
      throw new HubError('HUB_SOURCE_LOST', `it could not be closed within ${CLOSE_MS} ms`)
    })
    try {
      await Promise.race([closed, bound])
    } catch (error) {
      events.closeFailed(name, asHubError(error, 'HUB_SOURCE_LOST'))
    } finally {
      late.abort()
      bound.catch(() => undefined)
      closed.catch(() => undefined)
    }
  }

  async #run(): Promise<void> {
    const { clock, source, events, name, election } = this.#options
    const stop = this.#stop.signal
    while (this.#wanted === undefined && !stop.aborted) await this.#change.promise
    // Not before: a replica that cannot find out which functions there are must not have the turn.
    if (!stop.aborted) election?.start()
    let failures = 0
    while (!stop.aborted) {
      const term = await this.#turn()
      if (stop.aborted || (election !== undefined && term === undefined)) return
      const startedAt = clock.monotonic()
      try {
        await this.#connectAndPull(source, term)
        if (stop.aborted || this.#state === 'draining') return
        if (term?.signal.aborted === true) await this.#stepDown()
        else throw new HubError('HUB_SOURCE_LOST', 'the source ended by itself', { canRetry: true })
      } catch (error) {
        if (stop.aborted) return
        if (term?.signal.aborted === true) {
          await this.#stepDown()
          continue
        }
        const problem = asHubError(error, 'HUB_SOURCE_LOST', true)
        failures = clock.monotonic() - startedAt > STABLE_MS ? 1 : failures + 1
        const waitMs = retryWaitMs(problem, failures)
        this.#problem = problem
        if (this.#state !== 'draining' && this.#state !== 'failing')
          this.#move('failing', `${problem.message}. ${problem.hint}`, problem)
        events.connectorRetry(name, problem, failures, waitMs)
        await sleep(clock, waitMs, stop).catch(() => undefined)
      }
    }
  }

  /** Where replicas take turns, waits for ours; undefined elsewhere, and when there is nothing to wait for any more. */
  async #turn(): Promise<Term | undefined> {
    const { election } = this.#options
    const stop = this.#stop.signal
    if (election === undefined) return undefined
    while (!stop.aborted && this.#state !== 'draining') {
      const { changed, term } = election
      if (term?.held() === true) return term
      this.#standBy(election.standing)
      await orAborted(changed, stop).catch(() => undefined)
    }
    return undefined
  }

  #standBy({ holder, problem }: Election['standing']): void {
    const isSame = this.#problem?.code === problem?.code
    this.#problem = problem
    if (problem !== undefined) {
      if (this.#state !== 'failing' || !isSame) this.#move('failing', `${problem.message}. ${problem.hint}`, problem)
    } else if (this.#state !== 'standby') this.#move('standby', `stands by, ${holder ?? 'nobody'} has the turn`)
  }

  async #stepDown(): Promise<void> {
    const { source } = this.#options
    await this.#bounded(() => (source.stepDown === undefined ? source.close() : source.stepDown()))
  }

  async #connectAndPull(source: Source, term: Term | undefined): Promise<void> {
    const connection = new AbortController()
    const ends = term === undefined ? [] : [term.signal]
    const signal = AbortSignal.any([connection.signal, this.#stop.signal, ...ends])
    try {
      await source.connect(signal)
      const wanted = this.#wanted ?? []
      await this.#subscribe(wanted, signal)
      this.#problem = undefined
      if (this.#state !== 'draining') this.#move('active', `connected, ${wanted.length} subscriptions`)
      void this.#follow(signal)
      await this.#options.dispatcher.run(source.deliveries(signal), signal)
    } finally {
      connection.abort()
      this.#subscribed = undefined
      this.#changed()
    }
  }

  /**
   * Keeps a connection subscribed to what is wanted, one call at a time. What the broker refuses is the fault of its topic:
   * the connection goes on with what it has, and it is tried again.
   */
  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, events, name } = this.#options
    let failures = 0
    while (!signal.aborted) {
      const change = this.#change.promise
      const wanted = this.#wanted ?? []
      if (wanted === this.#subscribed) {
        await change
        continue
      }
      try {
        await this.#subscribe(wanted, signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        const problem = asHubError(error, 'HUB_SOURCE_FORBIDDEN')
        failures += 1
        const waitMs = retryWaitMs(problem, failures)
        events.connectorRetry(name, problem, failures, waitMs)
        const pause = new AbortController()
        void change.then(() => pause.abort())
        await sleep(clock, waitMs, pause.signal).catch(() => undefined)
      }
    }
  }

  async #subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const { source, onSubscribed } = this.#options
    await source.subscribe(wanted, signal)
    // The connection may have ended meanwhile, and another begun.
    if (signal.aborted) return
    const before = this.#subscribed
    this.#subscribed = wanted
    if (!isDeepStrictEqual(before, wanted)) onSubscribed?.(wanted)
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  #move(state: ConnectorState, detail: string, problem?: HubError): void {
    this.#state = state
    this.#since = this.#options.clock.now()
    this.#options.events.connectorState(this.#options.name, state, detail, problem)
  }
}

function leaderOf({ standing: { holder, epoch, isOurs } }: Election): NonNullable<SupervisorStatus['leader']> {
  return { holder, epoch, isOurs }
}

function retryWaitMs({ canRetry }: HubError, failures: number): number {
  const waitMs = backoffMs(failures, RECONNECT)
  return canRetry ? waitMs : Math.max(HOPELESS_WAIT_MS, waitMs)
}
