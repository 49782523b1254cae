// The deployed functions by full name: deployment, replacement without a gap, removal, scaling. The end of what is replaced
// or removed comes after its running calls.

import { isDeepStrictEqual } from 'node:util'

import type { Clock } from '../sdk/index.ts'
import { Autoscaler } from './autoscaler.ts'
import { DeployedFunction } from './deployed-function.ts'
import { fullNameOf } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'
import { fullName } from './http.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'
import { scaleSettings } from './scale-settings.ts'
import { scaleForAlert } from './scaling-rules.ts'

export type { DeployedFunction } from './deployed-function.ts'

export interface FunctionsOptions {
  readonly namespace: string
  readonly clock: Clock
  /** How long the calls of what is replaced, removed or scaled down may go on: as long as a call may take at all. */
  readonly drainMs: number
  /** One replica; `instance` names it: `orders-1`. */
  readonly start: (spec: FunctionSpec, instance: string) => FunctionRuntime
  /** A line for the function's log. */
  readonly log: (spec: FunctionSpec, line: string, instance?: string) => void
  readonly listener: FunctionsListener
  /** Nothing of what was deployed with this object runs any more: its last call is over, or had its time. */
  readonly onEnded: (spec: FunctionSpec) => void
}

/** Who counts, by full name. */
export interface FunctionsListener {
  deployed(name: string): void
  removed(name: string): void
  /** A start from zero replicas, from the call that asked for it to the first replica that takes calls. */
  coldStart(name: string, seconds: number): void
}

export class Functions implements AsyncDisposable {
  readonly #options: FunctionsOptions
  readonly #autoscaler: Autoscaler
  readonly #deployed = new Map<string, DeployedFunction>()
  /** Replaced or removed, with calls to finish or a successor that is starting. */
  readonly #leaving = new Set<DeployedFunction>()

  constructor(options: FunctionsOptions) {
    this.#options = options
    this.#autoscaler = new Autoscaler(options.clock)
  }

  get all(): Iterable<DeployedFunction> {
    return this.#deployed.values()
  }

  /** `name` with or without its namespace. */
  find(name: string): DeployedFunction | undefined {
    return this.#deployed.get(fullName(name, this.#options.namespace))
  }

  /**
   * Adds or replaces; replacing by an equal spec does nothing. It is in force at once; the calls, though, go to the replicas
   * from before until the new ones have started, where there are any that run: `serving` waits for that.
   * @param created RFC 3339; by default when the first of this name was deployed
   * @returns false for an equal spec
   */
  deploy(spec: FunctionSpec, created?: string): boolean {
    const name = fullNameOf(spec)
    const before = this.#deployed.get(name)
    if (before !== undefined && isDeepStrictEqual(before.spec, spec)) return false
    const next = this.#create(spec, before, created)
    this.#deployed.set(name, next)
    this.#autoscaler.watch(next)
    this.#options.listener.deployed(name)
    if (before !== undefined) this.#replace(before, next)
    return true
  }

  /** Resolves when calls go to the replicas of what is deployed now, in a bounded time. Never rejects. */
  async serving(name: string): Promise<void> {
    await this.find(name)?.serving()
  }

  /** False when there is none. */
  remove(name: string): boolean {
    const deployed = this.find(name)
    if (deployed === undefined) return false
    this.#deployed.delete(deployed.fullName)
    this.#autoscaler.forget(deployed)
    this.#retire(deployed)
    this.#options.listener.removed(deployed.fullName)
    return true
  }

  /** Within 0 and the function's maximum. False when there is none. */
  scale(name: string, replicas: number): boolean {
    const deployed = this.find(name)
    deployed?.scaleTo(Math.min(Math.max(0, replicas), deployed.scale.max))
    return deployed !== undefined
  }

  /** As an alert of Prometheus asks for it. False when there is no such function. */
  alert(name: string, status: 'firing' | 'resolved'): boolean {
    const deployed = this.find(name)
    deployed?.scaleTo(scaleForAlert(deployed.replicas.replicas, deployed.scale, status))
    return deployed !== undefined
  }

  /** Ends every function, whatever it is doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#autoscaler[Symbol.dispose]()
    const all = [...this.#deployed.values(), ...this.#leaving]
    this.#deployed.clear()
    await Promise.all(all.map(({ replicas }) => replicas[Symbol.asyncDispose]()))
  }

  #create(spec: FunctionSpec, before: DeployedFunction | undefined, created: string | undefined): DeployedFunction {
    const { clock, drainMs, start, log, listener } = this.#options
    const { settings, problems } = scaleSettings(spec.labels)
    for (const problem of problems) log(spec, problem)
    const { min, max, load } = settings
    return new DeployedFunction({
      spec,
      createdAt: created ?? before?.createdAt ?? new Date(clock.now()).toISOString(),
      scale: settings,
      // Under load, a new version does not start with less than the old one had.
      replicas: load === undefined ? min : Math.min(max, Math.max(min, before?.replicas.replicas ?? 0)),
      clock,
      drainMs,
      start,
      log: (line, instance) => log(spec, line, instance),
      onColdStart: (seconds) => listener.coldStart(fullNameOf(spec), seconds),
    })
  }

  #replace(before: DeployedFunction, next: DeployedFunction): void {
    this.#autoscaler.forget(before)
    const serving = before.giveUpBefore() ?? before
    // It was to take over itself, and has not come to it.
    if (serving !== before) this.#retire(before)
    if (!serving.replicas.isStarted) return this.#retire(serving)
    this.#leaving.add(serving)
    // Not awaited, as nothing below: whoever deploys does not wait for starts or for the longest call.
    void next.takeOver(serving).then((left) => this.#retire(left))
  }

  #retire(deployed: DeployedFunction | undefined): void {
    if (deployed === undefined) return
    this.#leaving.add(deployed)
    void deployed.retire().then(() => {
      this.#leaving.delete(deployed)
      this.#options.onEnded(deployed.spec)
    })
  }
}
