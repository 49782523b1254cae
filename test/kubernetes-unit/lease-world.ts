// Several candidates for one Lease in simulated time: clocks that differ and run at different speeds, a network that delays
// and loses requests and answers, processes that stop and go on. For lease-candidate.test.ts.

import type { LeaseCandidate, LeaseRecord, LeaseWish } from '../../src/kubernetes/lease-candidate.ts'

/** Of one request. */
const TIMEOUT_MS = 3300
/** A request that everybody has given up may still arrive this much later. */
const LATE_MS = 60_000

/** What happens to a replica at a time. */
export interface Fault {
  readonly atMs: number
  readonly replica: number
  readonly kind: 'pause' | 'go-on' | 'cut' | 'join'
}

export interface ReplicaSetting {
  readonly candidate: LeaseCandidate
  readonly name: string
  /** Of its clock at true time 0, and how fast it runs. */
  readonly offsetMs: number
  readonly rate: number
}

/** One stretch during which a replica believes that it holds the Lease, in true time. */
export interface Holding {
  readonly name: string
  readonly epoch: number
  readonly fromMs: number
}

interface Scheduled {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

class Replica {
  readonly setting: ReplicaSetting
  isPaused = false
  isCut = false
  /** What came while it was stopped, in any order it may come in when it goes on. */
  readonly backlog: (() => void)[] = []
  /** Of the request that is on its way. */
  request = 0

  constructor(setting: ReplicaSetting) {
    this.setting = setting
  }
}

export class LeaseWorld {
  #nowMs = 0
  #order = 0
  readonly #queue: Scheduled[] = []
  readonly #replicas: readonly Replica[]
  readonly #random: () => number
  /** Share of requests, and of answers, that are lost. */
  readonly #loss: number
  #lease: LeaseRecord | undefined
  #version = 0
  readonly holdings: Holding[] = []
  /** Two at once. */
  readonly violations: string[] = []

  constructor(settings: readonly ReplicaSetting[], random: () => number, loss: number) {
    this.#replicas = settings.map((setting) => new Replica(setting))
    this.#random = random
    this.#loss = loss
    for (const replica of this.#replicas) this.#after(random() * 1000, () => this.#act(replica))
  }

  run(untilMs: number, faults: readonly Fault[]): void {
    for (const fault of faults) this.#after(fault.atMs, () => this.#strike(fault))
    for (;;) {
      const next = this.#takeNext()
      if (next === undefined || next.atMs > untilMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
      this.#look()
    }
  }

  #strike({ replica: index, kind }: Fault): void {
    const replica = this.#replicas[index % this.#replicas.length] as Replica
    if (kind === 'pause') replica.isPaused = true
    if (kind === 'cut') replica.isCut = true
    if (kind === 'join') replica.isCut = false
    if (kind !== 'go-on') return
    replica.isPaused = false
    const backlog = replica.backlog.splice(0)
    // Timers and answers that became ready meanwhile run in no order that one could count on.
    if (this.#random() < 0.5) backlog.reverse()
    for (const run of backlog) run()
  }

  #clockOf({ setting: { offsetMs, rate } }: Replica): number {
    return offsetMs + this.#nowMs * rate
  }

  #act(replica: Replica): void {
    const { candidate, rate } = replica.setting
    const step = candidate.next(this.#clockOf(replica))
    if (step.kind === 'wait') {
      if (!(step.ms > 0)) throw new Error(`a wait of ${step.ms} ms`)
      this.#inReplica(replica, step.ms / rate, () => this.#act(replica))
    } else this.#send(replica, step.kind === 'read' ? undefined : step.wish)
  }

  #send(replica: Replica, wish: LeaseWish | undefined): void {
    const { candidate, rate } = replica.setting
    const sentAtMs = this.#clockOf(replica)
    const request = (replica.request += 1)
    const over = (): boolean => replica.request !== request
    const done = (answered: () => void): void => {
      if (over()) return
      replica.request += 1
      answered()
      this.#act(replica)
    }
    this.#inReplica(replica, TIMEOUT_MS / rate, () => {
      if (over()) return
      replica.request += 1
      if (wish !== undefined) candidate.lostTrack()
      this.#inReplica(replica, 2000 / rate, () => this.#act(replica))
    })
    if (this.#isLost(replica)) return
    this.#after(this.#latencyMs(), () => {
      const answer = wish === undefined ? this.#lease : this.#apply(wish)
      if (this.#isLost(replica)) return
      this.#inReplica(replica, this.#latencyMs(), () =>
        done(() => {
          const nowMs = this.#clockOf(replica)
          if (wish === undefined) candidate.saw(answer, nowMs)
          else if (answer === undefined) candidate.lostTrack()
          else candidate.wrote(answer, sentAtMs, nowMs)
        }),
      )
    })
  }

  /** As the API server does: only on the version that the writer has seen. Undefined: a conflict. */
  #apply({ version, holder, transitions }: LeaseWish): LeaseRecord | undefined {
    if (this.#lease?.version !== version) return undefined
    this.#lease = { holder, transitions, durationMs: 15_000, version: String((this.#version += 1)) }
    return this.#lease
  }

  #isLost(replica: Replica): boolean {
    return replica.isCut || this.#random() < this.#loss
  }

  /** Mostly milliseconds, sometimes seconds, rarely longer than anybody waits. */
  #latencyMs(): number {
    const dice = this.#random()
    return dice < 0.8 ? this.#random() * 50 : dice < 0.97 ? this.#random() * 4000 : this.#random() * LATE_MS
  }

  #look(): void {
    const holders = this.#replicas.filter((replica) => replica.setting.candidate.isHeld(this.#clockOf(replica)))
    if (holders.length > 1)
      this.violations.push(`at ${this.#nowMs}: ${holders.map(({ setting }) => setting.name).join(' and ')}`)
    for (const { setting } of holders) {
      const { name, candidate } = setting
      const last = this.holdings.at(-1)
      if (last?.name !== name || last.epoch !== candidate.epoch)
        this.holdings.push({ name, epoch: candidate.epoch, fromMs: this.#nowMs })
    }
  }

  /** Waits while the replica is stopped. */
  #inReplica(replica: Replica, afterMs: number, run: () => void): void {
    this.#after(afterMs, () => (replica.isPaused ? void replica.backlog.push(run) : run()))
  }

  #after(afterMs: number, run: () => void): void {
    this.#queue.push({ atMs: this.#nowMs + afterMs, order: (this.#order += 1), run })
  }

  #takeNext(): Scheduled | undefined {
    let best = 0
    for (const [index, one] of this.#queue.entries()) {
      const other = this.#queue[best] as Scheduled
      if (one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)) best = index
    }
    return this.#queue.splice(best, 1)[0]
  }
}
