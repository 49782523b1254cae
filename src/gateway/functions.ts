// The deployed functions by full name, and the end of those that are replaced or removed: their running calls come first.

import { isDeepStrictEqual } from 'node:util'

import type { Clock } from '../sdk/index.ts'
import type { FunctionSpec } from './function-spec.ts'
import { fullName } from './http.ts'
import { ReplicaSet } from './replica-set.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'

export class DeployedFunction {
  readonly spec: FunctionSpec
  /** `name.namespace` */
  readonly fullName: string
  /** RFC 3339. */
  readonly createdAt: string
  readonly replicas: ReplicaSet
  /** Of the watchdog's `max_inflight`; 0: no limit. */
  readonly inFlightMax: number
  #inFlight = 0
  #onIdle: (() => void) | undefined

  constructor(spec: FunctionSpec, replicas: ReplicaSet, createdAt: string) {
    this.spec = spec
    this.fullName = `${spec.name}.${spec.namespace}`
    this.replicas = replicas
    this.createdAt = createdAt
    this.inFlightMax = Number.parseInt(spec.envVars['max_inflight'] ?? '0', 10) || 0
  }

  /** False when as many calls run as may. Each true needs one `leave`. */
  tryEnter(): boolean {
    if (this.inFlightMax > 0 && this.#inFlight >= this.inFlightMax) return false
    this.#inFlight += 1
    return true
  }

  leave(): void {
    this.#inFlight -= 1
    if (this.#inFlight === 0) this.#onIdle?.()
  }

  /** Resolves when no call runs. Once; each call is bounded by the gateway's timeout. */
  idle(): Promise<void> {
    return this.#inFlight === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve))
  }
}

export interface FunctionsOptions {
  readonly namespace: string
  readonly clock: Clock
  /** One replica; `instance` names it: `orders-1`. */
  readonly start: (spec: FunctionSpec, instance: string) => FunctionRuntime
}

export class Functions implements AsyncDisposable {
  readonly #options: FunctionsOptions
  readonly #deployed = new Map<string, DeployedFunction>()
  readonly #retired = new Set<DeployedFunction>()

  constructor(options: FunctionsOptions) {
    this.#options = options
  }

  get names(): Iterable<string> {
    return this.#deployed.keys()
  }

  get all(): Iterable<DeployedFunction> {
    return this.#deployed.values()
  }

  /** `name` with or without its namespace. */
  find(name: string): DeployedFunction | undefined {
    return this.#deployed.get(fullName(name, this.#options.namespace))
  }

  /**
   * Adds or replaces; replacing by an equal spec does nothing.
   * @param created RFC 3339; by default when the first of this name was deployed
   */
  deploy(spec: FunctionSpec, created?: string): void {
    const name = `${spec.name}.${spec.namespace}`
    const before = this.#deployed.get(name)
    if (before !== undefined && isDeepStrictEqual(before.spec, spec)) return
    const createdAt = created ?? before?.createdAt ?? new Date(this.#options.clock.now()).toISOString()
    const start = (index: number): FunctionRuntime => this.#options.start(spec, `${spec.name}-${index}`)
    this.#deployed.set(name, new DeployedFunction(spec, new ReplicaSet(start, 1), createdAt))
    if (before !== undefined) this.#retire(before)
  }

  /** False when there is none. */
  remove(name: string): boolean {
    const deployed = this.find(name)
    if (deployed === undefined) return false
    this.#deployed.delete(deployed.fullName)
    this.#retire(deployed)
    return true
  }

  /** False when there is none. */
  scale(name: string, replicas: number): boolean {
    const deployed = this.find(name)
    deployed?.replicas.scale(replicas)
    return deployed !== undefined
  }

  /** Ends every function, whatever it is doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#deployed.values(), ...this.#retired]
    this.#deployed.clear()
    this.#retired.clear()
    await Promise.all(all.map(({ replicas }) => replicas[Symbol.asyncDispose]()))
  }

  #retire(deployed: DeployedFunction): void {
    this.#retired.add(deployed)
    // Not awaited: whoever replaces a function does not wait for its longest call.
    void deployed.idle().then(async () => {
      this.#retired.delete(deployed)
      await deployed.replicas[Symbol.asyncDispose]()
    })
  }
}
