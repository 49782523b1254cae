// The loopback connector: a correct, small source that shows each duty once. Subject of the suite's mutants and source
// of the benchmark.

import {
  DeliveryBuffer,
  HeaderWriter,
  HubError,
  OffsetTracker,
  asHubError,
  defineConnector,
} from '../../../src/sdk/index.ts'
import type {
  Capabilities,
  ConfigOf,
  Delivery,
  ProbeReport,
  Settlement,
  SettleResult,
  Source,
  SourceContext,
  Subscription,
} from '../../../src/sdk/index.ts'
import { LoopbackClient } from './client.ts'
import { VARIANTS, manifest } from './manifest.ts'
import type { fields } from './manifest.ts'
import type { Entry } from './wire.ts'

export type LoopbackConfig = ConfigOf<typeof fields>
type Settle = (settlement: Settlement) => Promise<SettleResult>

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly client: LoopbackClient
  readonly buffer: DeliveryBuffer<Delivery>
  readonly tracker: OffsetTracker
}

export class LoopbackSource implements Source {
  readonly #config: LoopbackConfig
  readonly #context: SourceContext
  readonly #capabilities: Capabilities
  #connection: Connection | undefined
  #topics = ''

  constructor(config: LoopbackConfig, context: SourceContext, capabilities: Capabilities) {
    this.#config = config
    this.#context = context
    this.#capabilities = capabilities
  }

  async connect(signal: AbortSignal): Promise<void> {
    await this.close()
    const buffer = new DeliveryBuffer<Delivery>(this.#context.unsettledMax)
    const tracker = new OffsetTracker()
    const client = await this.#open(signal, this.#config.group, (entry) => {
      if (this.#capabilities.settleOrder === 'prefix') tracker.add(entry.seq)
      buffer.push(this.#delivery(connection, entry))
    }, (error) => buffer.fail(error)) // prettier-ignore
    const connection = { client, buffer, tracker }
    this.#connection = connection
    this.#topics = ''
    this.#context.log.info('loopback.connected', 'connected to the broker', { port: this.#config.port })
  }

  async subscribe(wanted: readonly Subscription[]): Promise<void> {
    const topics = [...new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))].sort()
    const key = JSON.stringify(topics)
    if (key === this.#topics) return
    await this.#live().client.request({ op: 'subscribe', topics })
    this.#topics = key
  }

  async *deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { buffer } = this.#live()
    const end = (): void => buffer.end()
    if (signal.aborted) end()
    signal.addEventListener('abort', end, { once: true })
    try {
      yield* buffer
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const client = await this.#open(signal, this.#config.group, () => undefined, () => undefined) // prettier-ignore
    await client.close()
    return {
      server: `loopback broker at 127.0.0.1:${this.#config.port}`,
      topics: topics.map((topic) => ({ topic, ok: true, detail: 'topics need no creation' })),
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    connection.buffer.clear()
    connection.buffer.end()
    await connection.client.close()
  }

  /** The first call wins; later calls share its outcome. Overridden by a mutant. */
  protected guard(settle: Settle): Settle {
    let first: Promise<SettleResult> | undefined
    return (settlement) => (first ??= settle(settlement))
  }

  #live(): Connection {
    if (this.#connection === undefined) throw new HubError('HUB_SOURCE_LOST', 'not connected', { canRetry: true })
    return this.#connection
  }

  async #open(
    signal: AbortSignal,
    group: string,
    onEntry: (entry: Entry) => void,
    onLost: (error: HubError) => void,
  ): Promise<LoopbackClient> {
    const { port, encrypted, password } = this.#config
    const client = await LoopbackClient.open({ port, tls: encrypted }, signal, onEntry, onLost)
    try {
      const window = this.#context.unsettledMax
      await client.request({ op: 'hello', password: password?.reveal() ?? '', group, window })
      return client
    } catch (error) {
      await client.close()
      throw error
    }
  }

  #delivery(connection: Connection, entry: Entry): Delivery {
    const headers = new HeaderWriter('X-Loopback-')
    for (const [name, value] of Object.entries(entry.headers)) headers.broker(name, value)
    return {
      message: {
        id: `${this.#context.instance}:${entry.id}`,
        source: this.#context.instance,
        topic: entry.topic,
        body: entry.body,
        headers: headers.build(),
        attempt: entry.attempt,
        timestampMs: entry.timestampMs,
        ...(entry.key === undefined ? {} : { orderingKey: entry.key }),
      },
      settle: this.guard((settlement) => this.#settle(connection, entry.seq, settlement)),
    }
  }

  async #settle(connection: Connection, seq: bigint, settlement: Settlement): Promise<SettleResult> {
    if (connection !== this.#connection) return 'stale'
    try {
      await this.#tell(connection, seq, settlement)
      return 'settled'
    } catch (error) {
      const { code } = asHubError(error)
      // The broker has taken the event back and delivers it again.
      if (code === 'HUB_SOURCE_LOST' || code === 'HUB_SOURCE_PROTOCOL') return 'stale'
      throw error
    }
  }

  async #tell({ client, tracker }: Connection, seq: bigint, settlement: Settlement): Promise<void> {
    if (settlement.kind === 'retry') return client.request({ op: 'retry', seq, delayMs: settlement.delayMs })
    if (settlement.kind === 'reject') {
      this.#context.log.warn('loopback.rejected', `an event was rejected: ${settlement.reason}`)
      return client.request({ op: 'reject', seq, letters: settlement.letters })
    }
    if (this.#capabilities.settleOrder === 'any') return client.request({ op: 'ack', seq })
    if (tracker.settle(seq)) await client.request({ op: 'commit', before: tracker.committable as bigint })
  }
}

export default defineConnector(manifest, (config, context) => new LoopbackSource(config, context, VARIANTS.delayed))
