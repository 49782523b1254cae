// One scenario on its way: its events, its gateway, its hubs, and how many duplicates each interruption may cause. Knows
// no scenario and no broker; called by scenarios.ts.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Manifest } from '../../src/sdk/index.ts'
import type { FaultBroker, ScenarioName } from './contract.ts'
import { FaultGateway } from './gateway.ts'
import type { FunctionPlan } from './gateway.ts'
import { HubProcess } from './hub-process.ts'
import { sizeFor } from './size.ts'
import type { Size } from './size.ts'
import { judge } from './verdict.ts'
import type { SentEvent, Verdict } from './verdict.ts'

/**
 * The limits of every hub of the suite: far below the number of events, so that a bound on duplicates means something, and
 * above the 32 invocations that a function gets at a time, so that the hub holds others as well.
 */
const IN_FLIGHT_MAX = 40
const HELD_MAX = 24
const UNSETTLED_MAX = IN_FLIGHT_MAX + HELD_MAX

const KEYS = 50
/** Published and not yet received, about: the middle of a stream has something before it and behind it. */
const BACKLOG = 250
/** Received in full flow before an interruption. */
const RUN_UP = 60
/** Invocations that stand still at the same time when the scenario asks for it. */
const STANDING_MIN = 16
const POLL_MS = 20
const SETTLED_WAIT_MS = 60_000

export const MAIN = 'sink'
export const succeeds: FunctionPlan['answer'] = () => 200

/** Annotations and answers of a function; the topic is added. */
export interface Plan {
  readonly answer: FunctionPlan['answer']
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Setting {
  readonly scenario: ScenarioName
  readonly connector: Pick<Manifest, 'name' | 'capabilities'>
  readonly broker: FaultBroker
  readonly run: string
  /** Without a sign of anything for so long, what is missing will not come. Default 30 s. */
  readonly stallMs?: number
}

const STALL_MS = 30_000

export class Trial implements AsyncDisposable {
  readonly setting: Setting
  readonly size: Size
  readonly broker: FaultBroker
  readonly gateway: FaultGateway
  readonly #events: readonly SentEvent[]
  readonly #folder: string
  readonly #hubs: HubProcess[] = []
  readonly #allowed: { readonly count: number; readonly why: string }[] = []
  #published = 0
  #savedDone = 0

  private constructor(setting: Setting, gateway: FaultGateway) {
    this.setting = setting
    this.broker = setting.broker
    this.size = sizeFor(setting.broker)
    this.gateway = gateway
    this.#folder = mkdtempSync(join(tmpdir(), 'hub-faults-'))
    this.#events = Array.from({ length: this.size.events }, (_, index) => ({
      id: `e${index}`,
      key: `k${index % KEYS}`,
      sequence: Math.floor(index / KEYS),
    }))
  }

  static async open(setting: Setting, plans: Readonly<Record<string, Plan>>): Promise<Trial> {
    const topic = await setting.broker.prepare(setting.run)
    const functions = Object.entries(plans).map(([name, { answer, annotations }]) => [
      name,
      { answer, annotations: { topic, ...annotations } },
    ])
    return new Trial(
      setting,
      await FaultGateway.open(
        Object.fromEntries(functions) as Record<string, FunctionPlan>,
        setting.stallMs ?? STALL_MS,
        (body) => setting.broker.eventOf?.(body) ?? body,
      ),
    )
  }

  // ── hubs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Connected and subscribed. An equal replica is the same hub, started again. */
  async startHub({ replica = 0, proxied = false } = {}): Promise<HubProcess> {
    const { connector, run } = this.setting
    const name = `h${this.#hubs.length + 1}`
    const prefix = `HUB_${connector.name.toUpperCase()}`
    const hub = new HubProcess(name, this.#runArgs(), {
      gateway_url: this.gateway.urlFor(name),
      rebuild_interval: '1s',
      HUB_STATE_DIR: this.stateDir(replica),
      [`${prefix}_IN_FLIGHT_MAX`]: String(IN_FLIGHT_MAX),
      [`${prefix}_HELD_MAX`]: String(HELD_MAX),
      max_retry_attempts: '20',
      initial_retry_wait: '10ms',
      max_retry_wait: '100ms',
      ...this.broker.environment({ run, replica, proxied }),
    })
    this.#hubs.push(hub)
    await hub.active()
    return hub
  }

  #runArgs(): readonly string[] {
    const { connector, broker } = this.setting
    if (broker.type === undefined) return [connector.name]
    const config = join(this.#folder, 'hub.yaml')
    writeFileSync(config, JSON.stringify({ connectors: { [connector.name]: { type: broker.type } } }))
    return ['-c', config]
  }

  stateDir(replica = 0): string {
    return join(this.#folder, `state-${replica}`)
  }

  /** SIGTERM and what it promises: exit code 0, and everything that was invoked is settled. */
  async stopHub(hub: HubProcess): Promise<void> {
    hub.signal('SIGTERM')
    await hub.says('connector.draining')
    // What stood still is answered to a hub that is stopping, and still settled.
    this.gateway.release()
    const code = await hub.ended()
    if (code !== 0) throw new Error(`hub ${hub.name} ended with ${code} after SIGTERM`)
  }

  // ── events ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Publishes every event, a backlog ahead of what is received, and interrupts where the parts meet: with events settled,
   * in flight, waiting at the broker, and still to come.
   */
  async stream(...interruptions: readonly (() => Promise<void>)[]): Promise<void> {
    const { attempts } = this.gateway.log(MAIN)
    const part = this.size.events / (interruptions.length + 1)
    for (const [index, interrupt] of interruptions.entries()) {
      const mark = Math.floor(part * (index + 1))
      await this.#publishUpTo(mark - RUN_UP)
      await this.gateway.until(() => attempts.size >= mark - RUN_UP, `${mark - RUN_UP} events`)
      // However slowly this broker takes events, there are some to run up with and a backlog behind them.
      this.gateway.hold()
      await this.publish(RUN_UP + Math.min(this.#backlog, Math.floor(part / 2)))
      await this.#save()
      this.gateway.release()
      await this.gateway.until(() => attempts.size >= mark, `${mark} events`)
      await interrupt()
    }
    await this.#publishUpTo(this.size.events)
  }

  /** The next events, without waiting for anybody to receive them. */
  async publish(count: number): Promise<void> {
    const end = Math.min(this.#published + count, this.size.events)
    while (this.#published < end) {
      const next = this.#events.slice(this.#published, Math.min(end, this.#published + this.#publishedAtOnce))
      await this.broker.publish(
        this.setting.run,
        next.map(({ id, key, sequence }) => ({ key, body: Buffer.from(`${id} ${key} ${sequence}`) })),
      )
      this.#published += next.length
    }
  }

  get #backlog(): number {
    return this.broker.backlog ?? BACKLOG
  }

  get #publishedAtOnce(): number {
    return Math.floor(this.#backlog / 2)
  }

  async #publishUpTo(end: number): Promise<void> {
    const { attempts } = this.gateway.log(MAIN)
    while (this.#published < end) {
      await this.gateway.until(() => this.#published - attempts.size < this.#backlog, `the backlog of ${this.#published} events to shrink`) // prettier-ignore
      await this.publish(Math.min(this.#publishedAtOnce, end - this.#published))
    }
  }

  /** Every event was done by each of these functions, and where the broker can be asked, it knows. */
  async complete(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const { done } = this.gateway.log(name)
      await this.gateway.until(() => done.size >= this.size.events, `every event to be done by ${name}`)
    }
    const until = Date.now() + SETTLED_WAIT_MS
    for (;;) {
      const remaining = (await this.broker.remaining?.(this.setting.run)) ?? 0
      if (remaining === 0) return
      if (Date.now() > until) throw new Error(`the broker still has ${remaining} events that are not settled`)
      await pause()
    }
  }

  // ── interruptions ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Invocations stand still, everything that was answered is settled: what is open now is all that can come twice. */
  async standStill(hub: HubProcess): Promise<void> {
    this.gateway.hold()
    await this.gateway.until(() => this.gateway.open >= STANDING_MIN, `${STANDING_MIN} invocations to stand still`)
    await this.#settledBut(hub)
  }

  async #save(): Promise<void> {
    const hub = this.#hubs.at(-1)
    if (this.broker.saved === undefined || hub === undefined) return
    await this.#settledBut(hub)
    await this.broker.saved(this.setting.run)
    this.#savedDone = this.gateway.log(MAIN).done.size
  }

  /** Everything is settled but what is open, while nothing is answered. */
  async #settledBut(hub: HubProcess): Promise<void> {
    const until = Date.now() + SETTLED_WAIT_MS
    for (;;) {
      const settled = await hub.settled()
      if (this.gateway.by(hub.name) - settled <= this.gateway.open) return
      if (Date.now() > until) throw new Error('what was answered is not settled')
      await pause()
    }
  }

  /**
   * THE bounds on duplicates, each with its reason; `verdict` holds the sum against what came.
   *
   * A hub that is killed: what it had invoked and not settled. Asked for the settled ones BEFORE, since their number only
   * grows; at most what the hub may hold at all. Where the broker may not know of a settlement: what it may not know.
   */
  async allowForHubLoss(hub: HubProcess): Promise<() => void> {
    const settled = await hub.settled()
    return () => {
      const unsettled = Math.min(this.gateway.by(hub.name) - settled, UNSETTLED_MAX)
      this.allow(this.broker.unconfirmedMax?.atLoss ?? unsettled, `invoked and not settled by ${hub.name}`)
    }
  }

  /**
   * A connection that is lost while its hub lives on: all that the hub held then. Its events that were not yet invoked
   * are invoked later, their settlement comes too late, and the broker sends them again.
   */
  allowForConnectionLoss(): void {
    this.allow(this.#unconfirmedMax, 'held by the hub as its connection was lost')
  }

  /** A server that is killed: also what it had confirmed since it was last known to have saved. */
  allowForServerLoss(): void {
    this.allowForConnectionLoss()
    if (this.broker.saved !== undefined)
      this.allow(this.gateway.log(MAIN).done.size - this.#savedDone, 'confirmed by the server and not on its disk')
  }

  /** One whose loss is noticed late: in the meantime the hub goes on with what its client had read ahead. */
  allowForSilentLoss(): void {
    this.allowForConnectionLoss()
    this.allow(this.broker.readAheadMax ?? 0, 'read ahead from a connection that was dead')
  }

  /** A hub that is stopped settles what it has invoked: nothing comes twice, but where its broker cannot know all of that. */
  allowForStop(): void {
    this.allow(this.broker.unconfirmedMax?.atStop ?? 0, 'settled, but not yet known to the broker as the hub stopped')
  }

  /** The gateway goes away: invocations without an answer are made again. */
  allowForGatewayLoss(): void {
    this.allow(this.gateway.open, 'not answered as the gateway went away')
  }

  /** A member joins: where that takes events from the others, all that these held. */
  allowForRebalance(): void {
    if (this.broker.rebalances === true) this.allow(this.#unconfirmedMax, 'taken from another replica')
  }

  allow(count: number, why: string): void {
    if (count > 0) this.#allowed.push({ count, why })
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws Error that says what was lost, doubled or overtaken by this function's account */
  verdict(name: string): Verdict {
    const verdict = judge(this.#events, this.gateway.log(name).received)
    const problems: string[] = []
    if (verdict.lost.length > 0) problems.push(`${verdict.lost.length} lost: ${some(verdict.lost)}`)
    if (verdict.foreign.length > 0) problems.push(`${verdict.foreign.length} never sent: ${some(verdict.foreign)}`)
    const { length: duplicates } = verdict.duplicates
    if (duplicates > this.allowed)
      problems.push(`${duplicates} duplicates (${some(verdict.duplicates)}), no more than ${this.allowed} may be: ${this.#allowedText()}`) // prettier-ignore
    if (this.isOrdered && verdict.disorder.length > 0)
      problems.push(`${verdict.disorder.length} out of order: ${some(verdict.disorder)}`)
    if (problems.length > 0) throw new Error(`${name}: ${problems.join('; ')}`)
    return verdict
  }

  get isOrdered(): boolean {
    return this.broker.unordered?.[this.setting.scenario] === undefined
  }

  /** Duplicates that all interruptions together may have caused. */
  get allowed(): number {
    return this.#allowed.reduce((sum, { count }) => sum + count, 0)
  }

  /** What to read when it failed. */
  report(): string {
    const lines = [`${this.#published} events were published`]
    for (const [name, { received, done }] of this.gateway.functions) {
      const missing = this.#events.slice(0, this.#published).filter(({ id }) => !done.has(id))
      lines.push(`${name} was invoked ${received.length} times, has done ${done.size} events and not done ${some(missing.map(({ id }) => id))}`) // prettier-ignore
    }
    return [...lines, ...this.#hubs.map((hub) => hub.logTail())].join('\n')
  }

  get #unconfirmedMax(): number {
    return this.broker.unconfirmedMax?.atLoss ?? UNSETTLED_MAX
  }

  #allowedText(): string {
    return this.#allowed.map(({ count, why }) => `${count} ${why}`).join(', ') || 'nothing was interrupted'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const hub of this.#hubs) await hub[Symbol.asyncDispose]()
    await this.gateway[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

const SHOWN_MAX = 5

function some(items: readonly string[]): string {
  return [...items.slice(0, SHOWN_MAX), ...(items.length > SHOWN_MAX ? [`… ${items.length} in all`] : [])].join(', ')
}

function pause(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, POLL_MS))
}
