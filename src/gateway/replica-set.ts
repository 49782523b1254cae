// The replicas of one function: a call goes to the least busy one, one that is taken away finishes its calls. Decides nothing
// about how many there should be.

import { Replica } from './replica.ts'
import type { ReplicaOptions } from './replica.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'

export interface ReplicaSetOptions extends ReplicaOptions {
  /** Makes the replica with this number, counted from 1; it need not run before its first call. */
  readonly create: (index: number) => FunctionRuntime
  /** At first; they are started by the first call. */
  readonly replicas: number
}

export class ReplicaSet implements AsyncDisposable {
  readonly #options: ReplicaSetOptions
  #replicas: readonly Replica[] = []
  /** Taken away, finishing their last calls. */
  readonly #retiring = new Map<Replica, Promise<void>>()
  #created = 0
  /** Without replicas, or coming back from there and none is up yet. */
  #isAtZero: boolean

  constructor(options: ReplicaSetOptions) {
    this.#options = options
    this.#replicas = Array.from({ length: options.replicas }, () => this.#create())
    this.#isAtZero = options.replicas === 0
  }

  /** Wanted. */
  get replicas(): number {
    return this.#replicas.length
  }

  /** Those that would take a call now; what starts with its first call is one of them. */
  get availableReplicas(): number {
    return this.#isAtZero ? 0 : this.#replicas.filter(({ isAvailable }) => isAvailable).length
  }

  /** Leaders of the process groups of all replicas, those included that finish their last calls. */
  get pids(): readonly number[] {
    return [...this.#replicas, ...this.#retiring.keys()].flatMap(({ runtime }) => runtime.pids ?? [])
  }

  /** Some replica has been started; false where the first call is still to come. */
  get isStarted(): boolean {
    return this.#replicas.some(({ isUp }) => isUp)
  }

  /**
   * The least busy replica for one more call, which ends with its `release`. Undefined at zero, until `start` has resolved.
   * On the path of every call: allocates nothing.
   */
  acquire(): Replica | undefined {
    if (this.#isAtZero) return undefined
    const replicas = this.#replicas
    let least: Replica | undefined
    for (let index = 0; index < replicas.length; index++) {
      const replica = replicas[index] as Replica
      if (replica.takesCalls && (least === undefined || replica.inFlight < least.inFlight)) least = replica
    }
    least ??= this.#leastBusy()
    least.inFlight += 1
    return least
  }

  /** More are started at once; of fewer, those go that take no calls, and the calls of the others are not cut. */
  scale(replicas: number): void {
    const before = this.#replicas
    const kept = before.toSorted((a, b) => Number(b.takesCalls) - Number(a.takesCalls)).slice(0, replicas)
    const added = Array.from({ length: replicas - kept.length }, () => this.#create())
    this.#replicas = [...kept, ...added]
    if (replicas === 0) this.#isAtZero = true
    for (const replica of before) if (!kept.includes(replica)) this.#retire(replica)
    for (const replica of added) void this.#start(replica)
  }

  /** True as soon as one takes calls; false once it is clear that none will. Never rejects. */
  start(): Promise<boolean> {
    const starts = this.#replicas.map((replica) => (replica.takesCalls ? Promise.resolve(true) : this.#start(replica)))
    return firstTrue(starts)
  }

  /** Starts what a first call would have to wait for, and waits for all of it. Never rejects. */
  async warm(): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => this.#start(replica)))
  }

  /** Takes all away; resolves when their calls are over, and they have ended. */
  async drain(): Promise<void> {
    this.scale(0)
    await Promise.all(this.#retiring.values())
  }

  /** Ends every replica, whatever it is doing; those too that were taken away before. */
  async [Symbol.asyncDispose](): Promise<void> {
    const replicas = this.#replicas
    this.#replicas = []
    this.#isAtZero = true
    await Promise.all([...replicas, ...this.#retiring.keys()].map((replica) => replica.end()))
  }

  #create(): Replica {
    this.#created += 1
    return new Replica(this.#options.create(this.#created), this.#created, this.#options)
  }

  /** Where none is up: the first call starts them all and waits for the one it is given. */
  #leastBusy(): Replica {
    for (const replica of this.#replicas) if (!replica.isUp) void this.#start(replica)
    return this.#replicas.reduce((least, other) => (other.inFlight < least.inFlight ? other : least))
  }

  async #start(replica: Replica): Promise<boolean> {
    const takesCalls = await replica.start()
    if (takesCalls && this.#replicas.includes(replica)) this.#isAtZero = false
    return takesCalls
  }

  #retire(replica: Replica): void {
    this.#retiring.set(
      replica,
      replica.retire().finally(() => this.#retiring.delete(replica)),
    )
  }
}

function firstTrue(outcomes: readonly Promise<boolean>[]): Promise<boolean> {
  return new Promise((resolve) => {
    for (const outcome of outcomes) void outcome.then((value) => value && resolve(true))
    void Promise.all(outcomes).then(() => resolve(false))
  })
}
