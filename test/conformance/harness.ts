// One scenario's surroundings: its own run name, topics and sources, waiting with a deadline, and the checks that hold
// in every scenario. Created by run.ts, disposed after the scenario.

import { strict as assert } from 'node:assert'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { ManualClock, instanceConfig, systemClock } from '../../src/sdk/index.ts'
import type { Clock, Connector, EventMessage, Manifest, Subscription } from '../../src/sdk/index.ts'
import type { BrokerFeatures, SourceScope, TestBroker, TestEvent } from './contract.ts'
import { CountingClock, LogRecord, contextOf } from './recording.ts'
import { RunningSource } from './running-source.ts'
import { secretsIn } from './secrets.ts'

/** What stays the same over the scenarios of one run of the suite. */
export interface Suite {
  readonly connector: Connector
  readonly broker: TestBroker
  readonly folder: string
  readonly module: string
  readonly unsettledMax: number
  readonly deadlineMs: number
  readonly absenceMs: number
}

/** Stands in every body of the suite and in no topic, header or key, so that a body in the log is recognised. */
const BODY_MARK = 'conformance-body'
const POLL_MS = 4

let runs = 0

export class Harness implements AsyncDisposable {
  readonly suite: Suite
  readonly broker: TestBroker
  readonly manifest: Manifest
  readonly features: BrokerFeatures
  readonly clock: Clock
  readonly unsettledMax: number
  /** Name of this scenario's sources towards the broker. */
  readonly run: string
  readonly stateFolder: string
  /** Text beyond log lines that must hold no secret and no body, e.g. messages of errors. */
  readonly said: string[] = []
  readonly #sources: RunningSource[] = []
  readonly #secrets = new Set<string>()
  #events = 0

  constructor(suite: Suite) {
    this.suite = suite
    this.broker = suite.broker
    this.manifest = suite.connector.manifest
    this.features = suite.broker.features
    this.clock = suite.broker.clock ?? systemClock
    this.unsettledMax = suite.unsettledMax
    this.run = `r${process.pid}-${++runs}`
    this.stateFolder = mkdtempSync(join(tmpdir(), 'hub-conformance-'))
  }

  scope(replica = 0): SourceScope {
    return { run: this.run, replica }
  }

  topic(name: string): Promise<string> {
    return this.broker.topic(`${this.run}-${name}`)
  }

  subscriptionOf = (topic: string): Subscription => this.broker.subscription?.(topic) ?? { kind: 'topic', topic }

  tagOf = (message: EventMessage): string | undefined => {
    if (this.broker.tagOf !== undefined) return this.broker.tagOf(message)
    return new RegExp(`^${BODY_MARK} ([a-z0-9-]+)`).exec(Buffer.from(message.body).toString('latin1'))?.[1] ?? 'unknown'
  }

  /** Makes events with bodies of their own; publishes nothing. */
  events(count: number, more: (index: number) => Partial<TestEvent> = () => ({})): TestEvent[] {
    return Array.from({ length: count }, (_, index) => {
      const tag = `${this.run}-e${++this.#events}`
      return { tag, body: Buffer.from(`${BODY_MARK} ${tag}`), ...more(index) }
    })
  }

  /** Makes and publishes; returns the tags. */
  async publish(topic: string, count: number, more?: (index: number) => Partial<TestEvent>): Promise<string[]> {
    const events = this.events(count, more)
    await this.broker.publish(topic, events)
    return events.map(({ tag }) => tag)
  }

  /** A new instance of the connector, not connected. Equal replica: the same identity and the same state. */
  source(
    options: { readonly replica?: number; readonly config?: Readonly<Record<string, unknown>> } = {},
  ): RunningSource {
    const replica = options.replica ?? 0
    const config = options.config ?? this.broker.config(this.scope(replica))
    for (const secret of secretsIn(this.manifest.fields, config)) this.#secrets.add(secret)
    const clock = new CountingClock(this.clock)
    const log = new LogRecord()
    const context = contextOf({
      instance: this.manifest.name,
      clock,
      log,
      stateFile: this.stateFile(replica),
      unsettledMax: this.unsettledMax,
    })
    const running = new RunningSource({
      source: this.suite.connector.create(instanceConfig(this.manifest, config), context),
      context,
      clock,
      log,
      unsettledMax: this.unsettledMax,
      subscriptionOf: this.subscriptionOf,
      tagOf: this.tagOf,
    })
    this.#sources.push(running)
    return running
  }

  stateFile(replica: number): string {
    return join(this.stateFolder, `state-${replica}.json`)
  }

  /** A new instance, connected, subscribed and read. A source may have events at once, so `decide` comes with it. */
  open(
    topics: readonly string[],
    { replica = 0, decide }: { readonly replica?: number; readonly decide?: RunningSource['decide'] } = {},
  ): Promise<RunningSource> {
    const source = this.source({ replica })
    if (decide !== undefined) source.decide = decide
    return this.within(source.open(topics), 'connect and subscribe')
  }

  /** Waits for a condition. @throws Error that says what was missing. */
  async until(
    condition: () => boolean | Promise<boolean>,
    what: string,
    limitMs = this.suite.deadlineMs,
  ): Promise<void> {
    const endMs = Date.now() + limitMs
    while (!(await condition())) {
      if (Date.now() > endMs) throw new Error(`did not happen within ${limitMs} ms: ${what}`)
      await new Promise((resolve) => void setTimeout(resolve, POLL_MS))
    }
  }

  /** The promise's own outcome, or an error when it takes longer than the deadline. */
  async within<T>(promise: Promise<T>, what: string, limitMs = this.suite.deadlineMs): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`did not end within ${limitMs} ms: ${what}`)), limitMs)
    })
    try {
      return await Promise.race([promise, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Waits until every tag has arrived at one of the sources at least `times` times. */
  async arrived(tags: readonly string[], sources: RunningSource | readonly RunningSource[], times = 1): Promise<void> {
    const all = sources instanceof RunningSource ? [sources] : sources
    const missing = (): string[] =>
      tags.filter((tag) => all.reduce((count, source) => count + source.of(tag).length, 0) < times)
    try {
      await this.until(() => missing().length === 0, '')
    } catch {
      const endings = all.map(({ ending }) =>
        typeof ending === 'object' ? String(ending.error) : (ending ?? 'reading'),
      )
      throw new Error(
        `${missing().length} of ${tags.length} events did not arrive${times > 1 ? ` ${times} times` : ''}: ` +
          `${missing().slice(0, 5).join(', ')} (source: ${endings.join('; ')})`,
      )
    }
  }

  /**
   * Gives what must not happen its chance: an event of its own goes all the way round, then, where time is real, the
   * absence window passes. `marker` is a topic that `source` is subscribed to and whose events it settles.
   */
  async quiet(source: RunningSource, marker: string): Promise<void> {
    const tags = await this.publish(marker, 1)
    await this.arrived(tags, source)
    if (this.clock instanceof ManualClock) await this.clock.advance(0)
    await this.pause()
  }

  /** The absence window alone, where no event can go round (a full window, a closed source). */
  async pause(): Promise<void> {
    await new Promise((resolve) => void setTimeout(resolve, this.suite.absenceMs))
  }

  /** Closes every source, then checks what holds in every scenario. */
  async finish(): Promise<void> {
    await this.#closeAll()
    for (const source of this.#sources) {
      const { unsettledHigh } = source
      assert.ok(unsettledHigh <= this.unsettledMax, `${unsettledHigh} deliveries were unsettled at once, the bound is ${this.unsettledMax}`) // prettier-ignore
    }
    for (const text of [...this.#sources.flatMap(({ lines }) => lines), ...this.said]) {
      assert.ok(!text.includes(BODY_MARK), `a log line or an error holds a body: ${text.slice(0, 200)}`)
      for (const secret of this.#secrets) assert.ok(!text.includes(secret), 'a log line or an error holds a secret')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeAll().catch(() => undefined) // the scenario has failed already, or finish() closed everything
    rmSync(this.stateFolder, { recursive: true, force: true })
  }

  async #closeAll(): Promise<void> {
    await this.within(
      Promise.all(this.#sources.map((source) => source.abandon())),
      'closing every source at the end of the scenario',
    )
  }
}
