// Whole replicas on simulated time: election, state, supervisor, dispatcher and the cron source are the real ones; clocks,
// network and processes do what the test says. For turns.test.ts.

import { CronSource } from '../../connectors/cron/cron-source.ts'
import { manifest } from '../../connectors/cron/manifest.ts'
import { Supervisor } from '../../src/hub/supervisor.ts'
import type { Invocation, Invoker, Outcome } from '../../src/invoke/outcome.ts'
import { ClusterState } from '../../src/kubernetes/cluster-state.ts'
import { LeaseElection } from '../../src/kubernetes/lease-election.ts'
import { ManualClock, instanceConfig } from '../../src/sdk/index.ts'
import type { Clock, ClockTimer, ScheduleSubscription } from '../../src/sdk/index.ts'
import { HubEvents } from '../../src/telemetry/events.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { Rig, answered, trigger } from '../delivery/rig.ts'
import { MemoryCluster } from './memory-api.ts'
import type { MemoryApi, NetworkFault } from './memory-api.ts'

const TIMING = { durationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 }
/** A function takes this long. */
const TAKES_MS = 120

/** So many times it fails with every fifth fire, so that there are some that wait to be tried again. */
const FAILURES = 2

/** One invocation that began. */
export interface Made {
  readonly function: string
  readonly plannedMs: number
  readonly epoch: number
  readonly replica: string
  readonly caughtUp: boolean
}

/** Its timers wait while the process is stopped, and its wall clock is wrong. */
class ReplicaClock implements Clock {
  readonly #base: ManualClock
  readonly #offsetMs: number
  #stopped: (() => void)[] | undefined

  constructor(base: ManualClock, offsetMs: number) {
    this.#base = base
    this.#offsetMs = offsetMs
  }

  now(): number {
    return this.#base.now() + this.#offsetMs
  }

  monotonic(): number {
    return this.#base.monotonic()
  }

  after(delayMs: number, callback: () => void): ClockTimer {
    let isCancelled = false
    const run = (): void => (isCancelled ? undefined : callback())
    const timer = this.#base.after(delayMs, () => void (this.#stopped === undefined ? run() : this.#stopped.push(run)))
    return {
      cancel: () => {
        isCancelled = true
        timer.cancel()
      },
    }
  }

  stop(): void {
    this.#stopped ??= []
  }

  goOn(): void {
    const stopped = this.#stopped ?? []
    this.#stopped = undefined
    for (const run of stopped) run()
  }
}

/** A function that takes its time and fails now and then; what is asked of it is remembered with whoever asked. */
class RecordingInvoker implements Invoker {
  readonly #clock: Clock
  readonly #record: (invocation: Invocation) => void
  readonly #tries = new Map<string, number>()

  constructor(clock: Clock, record: (invocation: Invocation) => void) {
    this.#clock = clock
    this.#record = record
  }

  invoke(invocation: Invocation): Promise<Outcome> {
    this.#record(invocation)
    const { id, timestampMs } = invocation.message
    const tries = (this.#tries.get(id) ?? 0) + 1
    this.#tries.set(id, tries)
    const status = (timestampMs / 1000) % 5 === 0 && tries <= FAILURES ? 503 : 200
    return new Promise((resolve) => void this.#clock.after(TAKES_MS, () => resolve(answered(status))))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

class Replica {
  readonly name: string
  readonly clock: ReplicaClock
  readonly api: MemoryApi
  readonly supervisor: Supervisor
  readonly state: ClusterState

  constructor(world: TurnsWorld, name: string, offsetMs: number, schedules: readonly ScheduleSubscription[]) {
    this.name = name
    const clock = (this.clock = new ReplicaClock(world.clock, offsetMs))
    const api = (this.api = world.cluster.client())
    const nothing = (): void => undefined
    const common = { api, namespace: 'hub', name: 'hub-cron', identity: name, clock }
    const events = { began: nothing, ended: nothing, follows: nothing, failed: nothing }
    const election = new LeaseElection({ ...common, timing: TIMING, events })
    const state = (this.state = new ClusterState({ ...common, election, retryMs: 2000, failed: nothing }))
    const invoker = new RecordingInvoker(clock, ({ function: called, message }) => {
      const { timestampMs: plannedMs, headers } = message
      world.made.push({ function: called, plannedMs, epoch: Number(headers['X-Cron-Epoch']), replica: name, caughtUp: headers['X-Cron-Caught-Up'] === 'true' }) // prettier-ignore
    })
    const { dispatcher } = new Rig({
      source: 'cron',
      clock,
      invoker,
      capabilities: manifest.capabilities,
      router: () => ({ match: ({ target = '' }) => [trigger(target)] }),
      inFlightMax: 50,
    })
    const source = new CronSource(instanceConfig(manifest, { catchUpMax: 10_000 }), {
      instance: 'cron',
      clock,
      log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      state,
      leadership: election,
      inbox: () => {
        throw new Error('a schedule has no use for an inbox')
      },
      unsettledMax: 100,
      counter: () => ({ add: nothing }),
      gauge: nothing,
    })
    const logger = createLogger({ level: 'error', format: 'json', color: false, secretNames: [], write: nothing })
    const hubEvents = new HubEvents({ logger, metrics: new Metrics(), clock, printResponse: false, printResponseBody: false, printRequestBody: false }) // prettier-ignore
    this.supervisor = new Supervisor({ name: 'cron', source, dispatcher, invoker, events: hubEvents, clock, election })
    this.supervisor.want(schedules)
    this.supervisor.start()
  }
}

export type WorldFault =
  | 'pause'
  | 'go-on'
  | 'kill'
  | 'stop'
  | 'cut'
  | 'join'
  | 'lose-answers'
  | 'deliver-late'
  | 'delay'

export class TurnsWorld {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1))
  readonly cluster = new MemoryCluster(this.clock)
  readonly made: Made[] = []
  readonly #schedules: readonly ScheduleSubscription[]
  readonly #offsets: readonly number[]
  readonly #replicas: Replica[] = []
  #count = 0

  /** @param offsets of the wall clocks of replicas, in turn */
  constructor(schedules: readonly ScheduleSubscription[], offsets: readonly number[]) {
    this.#schedules = schedules
    this.#offsets = offsets
    for (let count = 0; count < 3; count++) this.#start()
  }

  async run(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 250) await this.clock.advance(Math.min(250, leftMs))
  }

  strike(fault: WorldFault, index: number): void {
    const at = index % this.#replicas.length
    const replica = this.#replicas[at] as Replica
    const fails = (of?: NetworkFault): void => void (replica.api.fault = (method) => (of === 'request-lost' || method !== 'GET' ? of : undefined)) // prettier-ignore
    if (fault === 'pause') replica.clock.stop()
    if (fault === 'go-on') replica.clock.goOn()
    if (fault === 'cut') fails('request-lost')
    if (fault === 'join') fails()
    if (fault === 'lose-answers') fails('answer-lost')
    if (fault === 'delay') fails('late')
    if (fault === 'deliver-late') this.cluster.deliverLate()
    if (fault !== 'kill' && fault !== 'stop') return
    this.#replicas.splice(at, 1)
    this.#start()
    if (fault === 'stop') void replica.supervisor.drain(5000).then(() => replica.state.close())
    else {
      fails('request-lost')
      replica.clock.stop()
    }
  }

  calm(): void {
    for (const index of this.#replicas.keys()) for (const fault of ['go-on', 'join', 'deliver-late'] as const) this.strike(fault, index) // prettier-ignore
  }

  async end(): Promise<void> {
    const ending = this.#replicas.map(async ({ supervisor, state }) => {
      await supervisor.drain(5000)
      state.close()
    })
    await this.run(20_000)
    await Promise.all(ending)
  }

  #start(): void {
    const name = `pod-${(this.#count += 1)}`
    const offsetMs = this.#offsets[this.#count % this.#offsets.length] ?? 0
    this.#replicas.push(new Replica(this, name, offsetMs, this.#schedules))
  }
}
