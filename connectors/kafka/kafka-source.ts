// The Kafka source: what outlives a connection. Each connect makes a session, see session.ts.

import { HubError, orAborted } from '../../src/sdk/index.ts'
import type {
  Delivery,
  ProbeReport,
  Source,
  SourceContext,
  SourceCounter,
  Subscription,
  TopicBacklog,
} from '../../src/sdk/index.ts'
import { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { Letters } from './letters.ts'
import { probeTopics } from './probe.ts'
import { kafkaProblem } from './problems.ts'
import { Session } from './session.ts'

export class KafkaSource implements Source {
  readonly #config: KafkaConfig
  readonly #context: SourceContext
  readonly #clientId: string
  readonly #letters: Letters
  readonly #expired: SourceCounter
  #session: Session | undefined
  #closed = false

  constructor(config: KafkaConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#clientId = config.clientId ?? `connector-hub-${context.instance}`
    this.#letters = new Letters(config, this.#clientId, context.clock, context.log)
    this.#expired = context.counter('kafka_expired_total', 'Records that the topic lost to retention before they were read.', ['topic']) // prettier-ignore
    context.gauge('kafka_partitions_paused', 'Partitions that wait for their oldest unsettled record.', ['topic'], () => this.#session?.holdings.count(({ paused }) => paused) ?? []) // prettier-ignore
    context.gauge('kafka_partitions_assigned', 'Partitions that this member of the group has.', ['topic'], () => this.#session?.holdings.count(() => true) ?? []) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#drop()
    signal.throwIfAborted()
    const session = new Session({
      config: this.#config,
      context: this.#context,
      clientId: this.#clientId,
      letters: this.#letters,
      expired: this.#expired,
      lost: (over) => {
        if (this.#session === over) this.#session = undefined
      },
    })
    try {
      await orAborted(session.open(), signal)
      if (this.#closed) throw this.#lostProblem('the source was closed while it connected')
    } catch (error) {
      await session.end(this.#lostProblem('it could not be connected'))
      throw error
    }
    this.#session = session
  }

  /** Topics that do not exist yet are said to be missing, and read as soon as they are there. */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    await orAborted(this.#live().read(wanted), signal)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { buffer } = this.#live().outbox
    if (signal.aborted) buffer.end()
    else signal.addEventListener('abort', () => buffer.end(), { once: true })
    return buffer
  }

  /** Reads metadata; joins no group and takes nothing. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const cluster = new Cluster(this.#config, `${this.#clientId}-probe`, this.#context.clock, signal)
    try {
      return await probeTopics(cluster, this.#config, topics)
    } catch (error) {
      signal.throwIfAborted()
      throw kafkaProblem(error, cluster.addresses)
    } finally {
      cluster.close()
    }
  }

  backlog(): readonly TopicBacklog[] {
    return this.#session?.holdings.backlog() ?? []
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#session?.goodbye()
    await this.#drop()
    await this.#letters.close()
  }

  async #drop(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.end(this.#lostProblem('the connection is closed'))
  }

  #live(): Session {
    if (this.#session === undefined) throw this.#lostProblem('not connected')
    return this.#session
  }

  #lostProblem(text: string): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#config.brokers.join(', ')}: ${text}`, { canRetry: true })
  }
}
