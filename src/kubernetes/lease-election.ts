// One candidate for one Lease: asks and writes as lease-candidate.ts says, and tells who has the turn. Holds no state but
// that; the supervisor waits for its terms, sources ask them.

import { HubError, asHubError, sleep } from '../sdk/index.ts'
import type { Clock, ClockTimer, Leadership, Term } from '../sdk/index.ts'
import type { KubernetesAnswer, KubernetesApi } from './api.ts'
import { CONFLICT, NOT_FOUND, statusOf } from './errors.ts'
import { LeaseCandidate } from './lease-candidate.ts'
import type { LeaseTiming, LeaseWish } from './lease-candidate.ts'
import { leaseObject, leasePath, readLease } from './lease-object.ts'

/** What is reported while it runs. */
export interface ElectionEvents {
  /** We have the turn. */
  began(epoch: number): void
  /** We have it no longer. */
  ended(epoch: number, why: string): void
  /** Somebody else has it. */
  follows(holder: string): void
  /** Neither read nor written; it is tried again. */
  failed(error: HubError): void
}

export interface LeaseElectionOptions {
  readonly api: Pick<KubernetesApi, 'get' | 'create' | 'replace'>
  readonly namespace: string
  readonly name: string
  /** Of this process: no other may ever have the same, not even the one that follows a restart. */
  readonly identity: string
  readonly timing: LeaseTiming
  readonly clock: Clock
  readonly events: ElectionEvents
  /** Uniform in [0, 1). */
  readonly random?: () => number
}

/** Who has the turn, as far as we know. */
export interface Standing {
  readonly holder: string | undefined
  readonly isOurs: boolean
  readonly epoch: number
  /** What keeps us from having a turn or waiting for one; what lasts shorter than a holder may be silent is none. */
  readonly problem: HubError | undefined
}

/** Those that wait do not all look at the same moment (client-go's JitterFactor). */
const JITTER = 0.2

export class LeaseElection implements Leadership {
  readonly #options: LeaseElectionOptions
  readonly #candidate: LeaseCandidate
  readonly #stop = new AbortController()
  /** The Lease of the candidate's version. */
  #object: KubernetesAnswer | undefined
  #term: HeldTerm | undefined
  #expiry: ClockTimer | undefined
  /** Ends a wait: there is something to do. */
  #wake = new AbortController()
  #change = Promise.withResolvers<void>()
  #loop: Promise<void> | undefined
  #resigned: Promise<void> | undefined
  /** Since the last turn, or the last look at somebody who has it. */
  #failure: HubError | undefined
  #hasWorked = false
  #failingSinceMs = Number.NEGATIVE_INFINITY
  #followed: string | undefined

  constructor(options: LeaseElectionOptions) {
    this.#options = options
    this.#candidate = new LeaseCandidate(options.identity, options.timing)
  }

  get term(): Term | undefined {
    return this.#term
  }

  get standing(): Standing {
    const { clock, timing } = this.#options
    const lasts = clock.monotonic() - this.#failingSinceMs > timing.renewDeadlineMs
    return {
      holder: this.#candidate.holder,
      isOurs: this.#term !== undefined,
      epoch: this.#candidate.epoch,
      problem: this.#term === undefined && lasts ? this.#failure : undefined,
    }
  }

  /** Resolves with the next change of `term` or `standing`. */
  get changed(): Promise<void> {
    return this.#change.promise
  }

  /** Stands for election until `resign`. Idempotent. */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** Something has been written under this epoch, so ours is over; the next one will be above it. */
  outrank(epoch: number): void {
    this.#candidate.giveUp(epoch)
    this.#end('its place has been taken')
    this.#wake.abort()
  }

  /** Ends the term, and lets another have the next one at once. Bounded by two requests. Idempotent. */
  resign(): Promise<void> {
    this.#resigned ??= this.#resign()
    return this.#resigned
  }

  async #resign(): Promise<void> {
    this.#stop.abort(new HubError('HUB_LEASE_LOST', 'this replica stops'))
    await this.#loop
    const wish = this.#candidate.release()
    this.#end('this replica stops')
    if (wish === undefined) return
    await this.#write(wish).catch((error: unknown) => this.#options.events.failed(asHubError(error)))
  }

  async #run(): Promise<void> {
    const { clock } = this.#options
    const stop = this.#stop.signal
    while (!stop.aborted) {
      const step = this.#candidate.next(clock.monotonic())
      if (step.kind === 'wait') {
        const jitter = this.#term === undefined ? 1 + (this.#options.random ?? Math.random)() * JITTER : 1
        await this.#pause(step.ms * jitter)
        continue
      }
      try {
        if (step.kind === 'read') await this.#read()
        else await this.#take(step.wish)
        this.#settle()
      } catch (error) {
        if (stop.aborted) return
        this.#failed(asHubError(error, 'HUB_KUBERNETES_FAILED', true))
        await this.#pause(this.#options.timing.retryPeriodMs)
      }
    }
  }

  #failed(error: HubError): void {
    // Before anything has worked, the first failure says it all.
    if (this.#failure === undefined && this.#hasWorked) this.#failingSinceMs = this.#options.clock.monotonic()
    this.#failure = error
    this.#options.events.failed(error)
    this.#changed()
  }

  async #read(): Promise<void> {
    const { api, namespace, name, clock } = this.#options
    const options = { ...this.#call(), signal: this.#stop.signal }
    const object = await api.get(leasePath(namespace, name), options).catch((error: unknown) => {
      if (statusOf(error) === NOT_FOUND) return undefined
      throw error
    })
    this.#object = object
    this.#candidate.saw(object === undefined ? undefined : readLease(object), clock.monotonic())
  }

  /** A conflict is somebody who was faster: looking again says who. */
  async #take(wish: LeaseWish): Promise<void> {
    const { clock } = this.#options
    const sentAtMs = clock.monotonic()
    const sentAtWallMs = clock.now()
    try {
      const object = await this.#write(wish)
      this.#object = object
      this.#candidate.wrote(readLease(object), sentAtMs, clock.monotonic())
      this.#renewed(sentAtWallMs)
    } catch (error) {
      this.#candidate.lostTrack()
      const status = statusOf(error)
      if (status !== CONFLICT && status !== NOT_FOUND) throw error
    }
  }

  /** Not cut off when we stop: whether it happened decides if there is something to release. */
  #write(wish: LeaseWish): Promise<KubernetesAnswer> {
    const { api, namespace, name, timing, clock } = this.#options
    const object = leaseObject(this.#object, wish, { namespace, name, durationMs: timing.durationMs, nowMs: clock.now() }) // prettier-ignore
    if (wish.version === undefined) return api.create(leasePath(namespace), object, this.#call())
    return api.replace(leasePath(namespace, name), object, this.#call())
  }

  /** Several tries must fit into the time that a renewal is trusted in. */
  #call(): { readonly timeoutMs: number } {
    return { timeoutMs: this.#options.timing.renewDeadlineMs / 3 }
  }

  #renewed(sentAtWallMs: number): void {
    const { clock, timing, events } = this.#options
    const { epoch, heldUntilMs } = this.#candidate
    if (!this.#candidate.isHeld(clock.monotonic())) return
    if (this.#term?.epoch !== epoch) this.#end('it has a new epoch')
    const isNew = this.#term === undefined
    const held = (): boolean => this.#isHeld(sentAtWallMs)
    if (this.#term === undefined) this.#term = new HeldTerm(epoch, held)
    else this.#term.renew(held)
    this.#expiry?.cancel()
    const leftMs = heldUntilMs - clock.monotonic()
    this.#expiry = clock.after(leftMs, () => this.#end(`it could not be renewed within ${timing.renewDeadlineMs / 1000} s`)) // prettier-ignore
    if (!isNew) return
    this.#followed = undefined
    events.began(epoch)
    this.#changed()
  }

  /**
   * By the monotonic clock, which does not stop with the process, and by the wall clock, which goes on where the machine
   * was suspended. One that is set forward ends the term as well, and the next renewal begins another of the same epoch.
   */
  #isHeld(sentAtWallMs: number): boolean {
    const { clock, timing } = this.#options
    if (!this.#candidate.isHeld(clock.monotonic())) {
      this.#end(`it could not be renewed within ${timing.renewDeadlineMs / 1000} s`)
      return false
    }
    if (clock.now() < sentAtWallMs + timing.renewDeadlineMs) return true
    this.#candidate.giveUp()
    this.#end('the clock went forward')
    this.#wake.abort()
    return false
  }

  /** After a step: what is no longer held is over, and who holds it instead is said once. */
  #settle(): void {
    const { clock, identity, events } = this.#options
    const { holder } = this.#candidate
    if (this.#term !== undefined && !this.#candidate.isHeld(clock.monotonic()))
      this.#end(holder === undefined || holder === identity ? 'it was taken away' : `${holder} has it now`)
    const isForeign = this.#candidate.isForeign(clock.monotonic())
    if (this.#term !== undefined || isForeign) {
      this.#hasWorked = true
      this.#failure = undefined
      this.#failingSinceMs = Number.NEGATIVE_INFINITY
    }
    if (holder === undefined || !isForeign || holder === this.#followed) return
    this.#followed = holder
    events.follows(holder)
    this.#changed()
  }

  #end(why: string): void {
    const term = this.#term
    if (term === undefined) return
    this.#term = undefined
    this.#expiry?.cancel()
    term.end()
    this.#options.events.ended(term.epoch, why)
    this.#changed()
  }

  #changed(): void {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  async #pause(ms: number): Promise<void> {
    this.#wake = new AbortController()
    await sleep(this.#options.clock, ms, AbortSignal.any([this.#wake.signal, this.#stop.signal])).catch(() => undefined)
  }
}

class HeldTerm implements Term {
  readonly epoch: number
  readonly #abort = new AbortController()
  #isHeld: () => boolean

  constructor(epoch: number, isHeld: () => boolean) {
    this.epoch = epoch
    this.#isHeld = isHeld
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  held(): boolean {
    return !this.#abort.signal.aborted && this.#isHeld()
  }

  renew(isHeld: () => boolean): void {
    this.#isHeld = isHeld
  }

  end(): void {
    this.#abort.abort(new HubError('HUB_LEASE_LOST', 'another replica may have the turn', { canRetry: true }))
  }
}
