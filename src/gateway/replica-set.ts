// The replicas of one function: a call goes to the least busy one. Decides nothing about how many there should be.

import type { FunctionRuntime, RuntimeAnswer, RuntimeRequest } from './runtime/runtime.ts'
import { RuntimeFailure } from './runtime/runtime.ts'

interface Replica {
  readonly runtime: FunctionRuntime
  inFlight: number
}

export class ReplicaSet implements AsyncDisposable {
  readonly #start: (index: number) => FunctionRuntime
  #replicas: readonly Replica[] = []
  #started = 0

  /** @param start of the replica with this number, counted from 1 */
  constructor(start: (index: number) => FunctionRuntime, replicas: number) {
    this.#start = start
    this.scale(replicas)
  }

  /** Wanted. */
  get replicas(): number {
    return this.#replicas.length
  }

  /** Those that can take a call now. */
  get availableReplicas(): number {
    return this.#replicas.length
  }

  /** Leaders of the process groups of all replicas that run now. */
  get pids(): readonly number[] {
    return this.#replicas.flatMap(({ runtime }) => runtime.pids ?? [])
  }

  /** Calls of replicas that are taken away are not cut. */
  scale(replicas: number): void {
    const kept = this.#replicas.slice(0, replicas)
    const removed = this.#replicas.slice(replicas)
    while (kept.length < replicas) kept.push({ runtime: this.#start(++this.#started), inFlight: 0 })
    this.#replicas = kept
    for (const replica of removed) this.#retire(replica)
  }

  /** @throws RuntimeFailure; `unreachable` when there is no replica */
  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const [first, ...others] = this.#replicas
    if (first === undefined) throw new RuntimeFailure('unreachable', 'it has no replicas')
    const replica = others.reduce((least, other) => (other.inFlight < least.inFlight ? other : least), first)
    replica.inFlight += 1
    try {
      return await replica.runtime.call(request)
    } finally {
      replica.inFlight -= 1
      if (replica.inFlight === 0 && !this.#replicas.includes(replica)) await replica.runtime[Symbol.asyncDispose]()
    }
  }

  /** Starts what a first call would have to wait for. Never rejects. */
  async warm(): Promise<void> {
    await Promise.all(this.#replicas.map(({ runtime }) => runtime.warm()))
  }

  /** Ends every replica, whatever it is doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    const replicas = this.#replicas
    this.#replicas = []
    await Promise.all(replicas.map(({ runtime }) => runtime[Symbol.asyncDispose]()))
  }

  #retire({ runtime, inFlight }: Replica): void {
    if (inFlight === 0) void runtime[Symbol.asyncDispose]()
  }
}
