// One MQTT source under test, read as the hub reads it, and a plain client that publishes to it.

import { connectAsync } from 'mqtt'
import type { IClientOptions, IClientPublishOptions, MqttClient } from 'mqtt'
import { vi } from 'vitest'

import connector from './connector.ts'
import { HubError, parseConfig, systemClock } from '../../src/sdk/index.ts'
import type { Clock, Delivery, Source, StateStore } from '../../src/sdk/index.ts'
import { LogRecord } from '../../test/conformance/recording.ts'

const DEADLINE_MS = 15_000

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
  }
}

export interface RigOptions {
  readonly unsettledMax?: number
  readonly clock?: Clock
  readonly state?: MemoryState
}

let rigs = 0

export class MqttRig implements AsyncDisposable {
  readonly source: Source
  readonly log = new LogRecord()
  readonly counts: Record<string, number> = {}
  readonly arrivals: Delivery[] = []
  /** Ack what arrives. */
  ackAll = false
  /** How the last `deliveries` ended. */
  ending: { readonly error: unknown } | 'ended' | undefined
  readonly #abort = new AbortController()

  constructor(config: Readonly<Record<string, unknown>>, options: RigOptions = {}) {
    this.source = connector.create(parseConfig(connector.manifest.fields, { clientId: `rig-${process.pid}-${(rigs += 1)}`, ...config }), {
      instance: 'mqtt',
      clock: options.clock ?? systemClock,
      log: this.log,
      state: (options.state ?? new MemoryState()).store,
      unsettledMax: options.unsettledMax ?? 32,
      counter: (name) => ({ add: (count) => (this.counts[name] = (this.counts[name] ?? 0) + count) }),
    }) // prettier-ignore
  }

  static async open(
    config: Readonly<Record<string, unknown>>,
    topics: readonly string[],
    options?: RigOptions,
  ): Promise<MqttRig> {
    const rig = new MqttRig(config, options)
    try {
      await rig.connect(topics)
    } catch (error) {
      await rig.source.close()
      throw error
    }
    return rig
  }

  /** One attempt, as the supervisor makes it. */
  async connect(topics: readonly string[]): Promise<void> {
    await this.source.connect(this.#abort.signal)
    await this.subscribe(topics)
    this.ending = undefined
    void this.#read()
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

/** The error of a connect that must fail. */
export async function refusal(config: Readonly<Record<string, unknown>>, options?: RigOptions): Promise<HubError> {
  await using rig = new MqttRig(config, options)
  const error: unknown = await rig.source.connect(new AbortController().signal).then(
    () => new Error('it connected'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof HubError)) throw error
  return error
}

export interface Publisher extends AsyncDisposable {
  readonly client: MqttClient
  send(topic: string, body: string | Buffer, options?: IClientPublishOptions): Promise<unknown>
}

export async function publisher(url: string, options: IClientOptions = {}): Promise<Publisher> {
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...options }, false)
  return {
    client,
    send: (topic, body, publish) => client.publishAsync(topic, body, { qos: 1, ...publish }),
    [Symbol.asyncDispose]: () => client.endAsync(true),
  }
}
