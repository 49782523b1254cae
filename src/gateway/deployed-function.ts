// One deployed function: its replicas, the calls it has, and how many replicas it may have. The table of all is functions.ts.

import { within } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { fullNameOf, keepsProcess } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'
import type { Replica } from './replica.ts'
import { ReplicaSet } from './replica-set.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'
import { ScaleFromZero } from './scale-from-zero.ts'
import type { ScaleSettings } from './scale-settings.ts'

export interface DeployedFunctionOptions {
  readonly spec: FunctionSpec
  /** RFC 3339. */
  readonly createdAt: string
  readonly scale: ScaleSettings
  /** At first. */
  readonly replicas: number
  readonly clock: Clock
  /** How long the calls of a replica that is taken away may go on. */
  readonly drainMs: number
  /** One replica; `instance` names it: `orders-1`. */
  readonly start: (spec: FunctionSpec, instance: string) => FunctionRuntime
  /** A line for the function's log, of this replica or of none. */
  readonly log: (line: string, instance?: string) => void
  readonly onColdStart: (seconds: number) => void
}

/** A replacement that takes longer to start receives the calls all the same: they wait for it, or fail with its reason. */
const REPLACEMENT_START_MS = 30_000

export class DeployedFunction {
  readonly spec: FunctionSpec
  /** `name.namespace` */
  readonly fullName: string
  /** RFC 3339. */
  readonly createdAt: string
  readonly scale: ScaleSettings
  readonly replicas: ReplicaSet
  /** Of the watchdog's `max_inflight`; 0: no limit. */
  readonly inFlightMax: number
  readonly #options: DeployedFunctionOptions
  readonly #fromZero: ScaleFromZero
  #inFlight = 0
  #finished = 0
  #onIdle: (() => void) | undefined
  /** Its predecessor, which receives the calls until the own replicas have started. */
  #before: DeployedFunction | undefined
  #serving: Promise<unknown> | undefined

  constructor(options: DeployedFunctionOptions) {
    const { spec, createdAt, scale, clock, start, onColdStart } = options
    this.spec = spec
    this.scale = scale
    this.fullName = fullNameOf(spec)
    this.createdAt = createdAt
    this.inFlightMax = Number.parseInt(spec.envVars['max_inflight'] ?? '0', 10) || 0
    this.#options = options
    this.replicas = new ReplicaSet({
      ...options,
      create: (index) => start(spec, this.#instance(index)),
      keepsProcess: keepsProcess(spec.runtime),
    })
    this.#fromZero = new ScaleFromZero({ start: () => this.#wake(), clock, onStarted: onColdStart })
  }

  /** Calls, those included that wait for a replica. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Calls that have ended, however. */
  get finished(): number {
    return this.#finished
  }

  /** False when as many calls run as may. Each true needs one `leave`. */
  tryEnter(): boolean {
    if (this.inFlightMax > 0 && this.#inFlight >= this.inFlightMax) return false
    this.#inFlight += 1
    return true
  }

  leave(): void {
    this.#inFlight -= 1
    this.#finished += 1
    if (this.#inFlight === 0) this.#onIdle?.()
  }

  /**
   * The replica for one call, which ends with its `release`. Undefined at zero: `acquireFromZero` is the way then. On the
   * path of every call.
   */
  acquire(): Replica | undefined {
    return this.#before?.replicas.acquire() ?? this.replicas.acquire()
  }

  /**
   * Scales from zero, together with all calls that come meanwhile. Undefined when no replica can be started.
   * @throws the signal's reason when the caller leaves first
   */
  async acquireFromZero(signal: AbortSignal): Promise<Replica | undefined> {
    return (await this.#fromZero.started(signal)) ? this.replicas.acquire() : undefined
  }

  /** Says in the function's log why a call came to nothing. @param replica that had it; undefined where none was found */
  failed(reason: string, replica: Replica | undefined): void {
    this.#options.log(reason, replica === undefined ? undefined : this.#instance(replica.index))
  }

  /**
   * Starts, while `before` goes on receiving the calls. Resolves once they come here: with what is to be retired; undefined
   * when a later replacement has taken that over.
   */
  takeOver(before: DeployedFunction): Promise<DeployedFunction | undefined> {
    this.#before = before
    const takeOver = within(this.#options.clock, REPLACEMENT_START_MS, this.replicas.warm()).then(() =>
      this.giveUpBefore(),
    )
    this.#serving = takeOver
    return takeOver
  }

  /** Resolves when calls come to its own replicas: at once, unless it is taking over. Never rejects. */
  async serving(): Promise<void> {
    await this.#serving
  }

  /** The predecessor that still receives the calls, for whoever comes after; undefined where there is none. */
  giveUpBefore(): DeployedFunction | undefined {
    const before = this.#before
    this.#before = undefined
    return before
  }

  /** Gets no more calls; resolves when those it has are over, or had their time, and its replicas have ended. */
  async retire(): Promise<void> {
    const { clock, drainMs } = this.#options
    // Those that wait for its start hold no replica yet.
    await within(clock, drainMs, this.#idle())
    await this.replicas.drain()
  }

  /** To this number, whatever the settings say. Calls of replicas that are taken away are not cut. */
  scaleTo(replicas: number): void {
    const before = this.replicas.replicas
    if (replicas === before) return
    this.#options.log(`[Scale] function=${this.spec.name} ${before} => ${replicas}.`)
    this.replicas.scale(replicas)
  }

  /** Once. */
  #idle(): Promise<void> {
    return this.#inFlight === 0 ? Promise.resolve() : new Promise((resolve) => (this.#onIdle = resolve))
  }

  #instance(index: number): string {
    return `${this.spec.name}-${index}`
  }

  #wake(): Promise<boolean> {
    if (this.replicas.replicas === 0) this.scaleTo(Math.max(this.scale.min, 1))
    return this.replicas.start()
  }
}
