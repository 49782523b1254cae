// Who may act, by the rules of client-go's leader election: what a candidate does next, given what it has seen of a Lease
// (coordination.k8s.io/v1) and when. Pure: no request, no clock. Driven by lease-election.ts.

/** A Lease as the API server has it. */
export interface LeaseRecord {
  /** '': released. */
  readonly holder: string
  /** Others wait this long after they have seen a change of it. */
  readonly durationMs: number
  /** How often the holder has changed. */
  readonly transitions: number
  /** resourceVersion. */
  readonly version: string
}

/** What the Lease shall become. */
export interface LeaseWish {
  readonly holder: string
  readonly transitions: number
  /** The holder changes, so the time of acquiring does too. */
  readonly acquires: boolean
  /** Only if it still is of this resourceVersion; undefined: only if there is none. */
  readonly version: string | undefined
}

export type LeaseStep =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly wish: LeaseWish }
  | { readonly kind: 'wait'; readonly ms: number }

export interface LeaseTiming {
  /** How long others wait for a holder that is silent. */
  readonly durationMs: number
  /**
   * How long the holder trusts in a renewal, from before it was sent. The rest of `durationMs` is for clocks that run at
   * different speeds: with 10 s of 15 s one may be half as fast again as the other.
   */
  readonly renewDeadlineMs: number
  /** Between two renewals, and between two looks of those that wait. */
  readonly retryPeriodMs: number
}

/**
 * All times are monotonic milliseconds of this process; those in the Lease are for people and are never compared with
 * anything. A holder counts from before it sent its write, the others from after they saw it: so whatever the network does,
 * the holder stops first. Every write names the resourceVersion it is based on, so that two cannot both succeed.
 */
export class LeaseCandidate {
  readonly #identity: string
  readonly #timing: LeaseTiming
  #record: LeaseRecord | undefined
  /** False before the first look, and after a write of which it is not known whether it happened. */
  #isKnown = false
  /** When the record was first seen as it is. */
  #seenAtMs = 0
  #readAtMs = 0
  /** When the last write that succeeded was sent. */
  #sentAtMs = 0
  #heldUntilMs = Number.NEGATIVE_INFINITY
  /** Until when somebody else may hold a Lease that has been deleted. */
  #foreignUntilMs = Number.NEGATIVE_INFINITY
  #epochMin = 0

  constructor(identity: string, timing: LeaseTiming) {
    this.#identity = identity
    this.#timing = timing
  }

  /** As far as is known; undefined: nobody, or there is no Lease. */
  get holder(): string | undefined {
    return this.#record?.holder === '' ? undefined : this.#record?.holder
  }

  /** Of the holder. */
  get epoch(): number {
    return this.#record?.transitions ?? 0
  }

  /** Nobody else holds the Lease before this. */
  get heldUntilMs(): number {
    return this.#heldUntilMs
  }

  isHeld(nowMs: number): boolean {
    return nowMs < this.#heldUntilMs
  }

  /** Somebody else holds it and is not known to be silent for too long. */
  isForeign(nowMs: number): boolean {
    const { holder } = this
    return this.#isKnown && holder !== undefined && holder !== this.#identity && nowMs < this.#expiresMs(nowMs)
  }

  next(nowMs: number): LeaseStep {
    if (!this.#isKnown) return { kind: 'read' }
    const record = this.#record
    if (record === undefined) {
      if (nowMs < this.#foreignUntilMs) return this.#watch(nowMs, this.#foreignUntilMs)
      return this.#write({ transitions: this.#epochMin, acquires: true, version: undefined })
    }
    const { version } = record
    if (record.holder === this.#identity) return this.#renew(record, nowMs)
    const expiresMs = this.#expiresMs(nowMs)
    if (nowMs < expiresMs) return this.#watch(nowMs, expiresMs)
    return this.#write({ transitions: Math.max(record.transitions + 1, this.#epochMin), acquires: true, version })
  }

  /** The answer to a read. */
  saw(record: LeaseRecord | undefined, nowMs: number): void {
    this.#readAtMs = nowMs
    if (record?.version !== this.#record?.version) this.#observe(record, nowMs)
    this.#isKnown = true
    if (record?.holder !== this.#identity) this.#heldUntilMs = Number.NEGATIVE_INFINITY
  }

  /** The answer to a write of ours that succeeded. */
  wrote(record: LeaseRecord, sentAtMs: number, nowMs: number): void {
    this.#observe(record, nowMs)
    this.#isKnown = true
    this.#sentAtMs = sentAtMs
    this.#readAtMs = nowMs
    const isOurs = record.holder === this.#identity
    this.#heldUntilMs = isOurs ? sentAtMs + this.#timing.renewDeadlineMs : Number.NEGATIVE_INFINITY
  }

  /** A write was refused, or has no answer: it may have happened, and may yet happen. What was held stays held. */
  lostTrack(): void {
    this.#isKnown = false
  }

  /** Gives up what is held, at once; the next epoch is above this one. For when the clock or the state says it is over. */
  giveUp(epochAbove = -1): void {
    this.#heldUntilMs = Number.NEGATIVE_INFINITY
    this.#epochMin = Math.max(this.#epochMin, epochAbove + 1)
  }

  /** Gives up what is held, for good; the write that tells the others, where there is something to tell. */
  release(): LeaseWish | undefined {
    this.#heldUntilMs = Number.NEGATIVE_INFINITY
    if (!this.#isKnown || this.#record?.holder !== this.#identity) return undefined
    const { transitions, version } = this.#record
    return { holder: '', transitions, acquires: true, version }
  }

  /** When somebody else's may be taken. */
  #expiresMs(nowMs: number): number {
    const record = this.#record
    return record === undefined || record.holder === '' ? nowMs : this.#seenAtMs + record.durationMs
  }

  #renew({ transitions, version }: LeaseRecord, nowMs: number): LeaseStep {
    const isCurrent = this.isHeld(nowMs) && transitions >= this.#epochMin
    const dueMs = isCurrent ? this.#sentAtMs + this.#timing.retryPeriodMs : nowMs
    if (nowMs < dueMs) return { kind: 'wait', ms: dueMs - nowMs }
    return this.#write({ transitions: Math.max(transitions, this.#epochMin), acquires: false, version })
  }

  #write(wish: Omit<LeaseWish, 'holder'>): LeaseStep {
    return { kind: 'write', wish: { holder: this.#identity, ...wish } }
  }

  /** Looks now and then until it runs out. */
  #watch(nowMs: number, untilMs: number): LeaseStep {
    const lookMs = this.#readAtMs + this.#timing.retryPeriodMs
    return nowMs >= lookMs ? { kind: 'read' } : { kind: 'wait', ms: Math.min(lookMs, untilMs) - nowMs }
  }

  #observe(record: LeaseRecord | undefined, nowMs: number): void {
    const before = this.#record
    // Whoever held it goes on until it finds out.
    if (record === undefined && before !== undefined && before.holder !== '' && before.holder !== this.#identity)
      this.#foreignUntilMs = this.#seenAtMs + before.durationMs
    this.#record = record
    this.#seenAtMs = nowMs
  }
}
