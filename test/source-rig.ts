// One source under test, read as the hub reads it. For the connectors' own tests; the conformance suite has its own.

import { vi } from 'vitest'

import { Inboxes } from '../src/hub/inboxes.ts'
import { HubError, instanceConfig, systemClock } from '../src/sdk/index.ts'
import type { Clock, Connector, Delivery, Leadership, Source, SourceReading, StateStore } from '../src/sdk/index.ts'
import { LogRecord } from './conformance/recording.ts'

/** Reached only by what is broken: a broker on a machine that runs five test files takes its time. */
const DEADLINE_MS = 60_000

/** Waits for a condition. */
export function until(condition: () => boolean, what: string): Promise<unknown> {
  return vi.waitFor(
    () => {
      if (!condition()) throw new Error(`did not happen: ${what}`)
    },
    { timeout: DEADLINE_MS, interval: 5 },
  )
}

export class MemoryState extends Map<string, string> {
  readonly store: StateStore = {
    get: (key) => Promise.resolve(super.get(key)),
    set: (key, value) => Promise.resolve(void super.set(key, value)),
    delete: (key) => Promise.resolve(void super.delete(key)),
    keys: () => Promise.resolve([...super.keys()]),
  }
}

export interface RigOptions {
  readonly unsettledMax?: number
  readonly clock?: Clock
  readonly state?: MemoryState
  /** Replicas take turns. */
  readonly leadership?: Leadership
  /** SQLite file of the inbox; by default in memory. */
  readonly inboxPath?: string
  /** Bytes that the inbox takes. */
  readonly inboxMax?: number
}

const INBOX_BYTES_MAX = 64 * 1024 * 1024

export class SourceRig implements AsyncDisposable {
  readonly source: Source
  readonly log = new LogRecord()
  readonly counts: Record<string, number> = {}
  readonly gauges: Record<string, () => readonly SourceReading[]> = {}
  readonly arrivals: Delivery[] = []
  /** Ack what arrives. */
  ackAll = false
  /** How the last `deliveries` ended. */
  ending: { readonly error: unknown } | 'ended' | undefined
  readonly #abort = new AbortController()
  readonly #inboxes: Inboxes

  constructor(connector: Connector, config: Readonly<Record<string, unknown>>, options: RigOptions = {}) {
    const { clock = systemClock, unsettledMax = 32, inboxPath: path = ':memory:' } = options
    const inboxes = new Inboxes({ path, clock, bytesMax: options.inboxMax ?? INBOX_BYTES_MAX })
    this.#inboxes = inboxes
    this.source = connector.create(instanceConfig(connector.manifest, config), {
      instance: connector.manifest.name,
      clock,
      log: this.log,
      state: (options.state ?? new MemoryState()).store,
      ...(options.leadership === undefined ? {} : { leadership: options.leadership }),
      inbox: () => inboxes.of(connector.manifest.name, unsettledMax),
      unsettledMax,
      counter: (name) => ({ add: (count) => (this.counts[name] = (this.counts[name] ?? 0) + count) }),
      gauge: (name, _help, _labels, read) => (this.gauges[name] = read),
    }) // prettier-ignore
  }

  /** One attempt, as the supervisor makes it. */
  async connect(topics: readonly string[]): Promise<void> {
    await this.source.connect(this.#abort.signal)
    await this.subscribe(topics)
    this.ending = undefined
    void this.#read()
  }

  /** Connected and subscribed; closed again when that fails. */
  async opened(topics: readonly string[]): Promise<this> {
    try {
      await this.connect(topics)
    } catch (error) {
      await this.source.close()
      throw error
    }
    return this
  }

  /** The error of a connect that must fail. */
  async refused(): Promise<HubError> {
    const error: unknown = await this.source.connect(this.#abort.signal).then(
      () => new Error('it connected'),
      (thrown: unknown) => thrown,
    )
    if (!(error instanceof HubError)) throw error
    return error
  }

  /** Attempts until one works. */
  async reconnect(topics: readonly string[]): Promise<void> {
    await vi.waitFor(() => this.connect(topics), { timeout: DEADLINE_MS, interval: 10 })
  }

  subscribe(topics: readonly string[]): Promise<void> {
    return this.source.subscribe(
      topics.map((topic) => ({ kind: 'topic', topic })),
      this.#abort.signal,
    )
  }

  /** Waits until so many deliveries have arrived in total. */
  async arrived(count: number): Promise<readonly Delivery[]> {
    await until(() => this.arrivals.length >= count, `${count} deliveries arrive (${this.arrivals.length} did)`)
    return this.arrivals
  }

  get bodies(): readonly string[] {
    return this.arrivals.map(({ message }) => Buffer.from(message.body).toString())
  }

  async lost(): Promise<HubError> {
    await until(() => this.ending !== undefined, 'deliveries end')
    const { error } = this.ending as { readonly error: unknown }
    if (!(error instanceof HubError)) throw new Error(`not a HubError: ${String(error)}`)
    return error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    await this.source.close()
    this.#inboxes[Symbol.dispose]()
  }

  async #read(): Promise<void> {
    try {
      for await (const delivery of this.source.deliveries(this.#abort.signal)) {
        this.arrivals.push(delivery)
        if (this.ackAll) await ack(delivery)
      }
      this.ending = 'ended'
    } catch (error) {
      this.ending = { error }
    }
  }
}

export function ack(delivery: Delivery | undefined): Promise<string> {
  return delivery === undefined ? Promise.reject(new Error('no delivery')) : delivery.settle({ kind: 'ack' })
}
