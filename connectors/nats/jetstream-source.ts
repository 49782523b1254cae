// The NATS source: one connection, and on it one durable pull consumer for each wanted subject and stream. What is held is
// in held.ts, how a server is reached in dial.ts.

import { AckPolicy, DeliverPolicy, JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { ConsumerMessages, JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { HubError, asHubError, errorText } from '../../src/sdk/index.ts'
import type { ClockTimer, Delivery, ProbeReport, Source, SourceContext, Subscription } from '../../src/sdk/index.ts'
import { addressesOf, dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { toEvent } from './event.ts'
import { Held } from './held.ts'
import { consumerName, overlap, wantedSubjects } from './subjects.ts'

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly nats: NatsConnection
  readonly manager: JetStreamManager
  readonly client: JetStreamClient
  readonly held: Held
  /** By subject filter; one for each stream that has it. */
  readonly feeds: Map<string, readonly ConsumerMessages[]>
  touch: ClockTimer | undefined
}

const NANOS = 1_000_000
/** Signs of life within one ackWait. */
const TOUCHES = 3
const PULLED_AHEAD_MAX = 256
const CONSUMER_NOT_FOUND = 10_014

export class NatsSource implements Source {
  readonly #config: NatsConfig
  readonly #context: SourceContext
  readonly #durable: string
  readonly #addresses: string
  #connection: Connection | undefined
  #closed = false

  constructor(config: NatsConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#durable = config.durable ?? `connector-hub-${context.instance}`
    this.#addresses = addressesOf(config)
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#drop()
    const nats = await dial(this.#config, this.#durable, signal)
    try {
      const timeout = this.#config.connectTimeout
      const manager = await jetstreamManager(nats, { timeout })
      const { instance, unsettledMax } = this.#context
      const held = new Held({
        unsettledMax,
        confirmMs: timeout,
        toEvent: (message) => toEvent(message, instance, this.#config.orderingToken),
      })
      const connection = {
        nats,
        manager,
        client: jetstream(nats, { timeout }),
        held,
        feeds: new Map(),
        touch: undefined,
      }
      if (this.#closed) throw this.#lostProblem('the source was closed while it connected')
      this.#connection = connection
      this.#touchLater(connection)
      void nats.closed().then((error) => this.#lost(connection, this.#lostProblem(error === undefined ? 'the connection was closed' : errorText(error), error))) // prettier-ignore
    } catch (error) {
      await nats.close()
      signal.throwIfAborted()
      if (error instanceof HubError) throw error
      throw new HubError('HUB_SOURCE_PROTOCOL', `${this.#addresses}: JetStream does not answer: ${errorText(error)}`, {
        cause: error,
        hint: 'Start the server with JetStream (nats-server -js), and allow the user $JS.API.>.',
      })
    }
  }

  /**
   * What is missing is reported with the command that makes it, and the other subjects work.
   * @throws HubError HUB_SOURCE_FORBIDDEN when none can be read
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    const subjects = wantedSubjects(wanted)
    connection.held.remembers = subjects.some((one, index) => subjects.slice(index + 1).some((other) => overlap(one, other))) // prettier-ignore
    for (const [subject, feeds] of connection.feeds) {
      if (subjects.includes(subject)) continue
      connection.feeds.delete(subject)
      // The consumer stays at the server, with its place.
      for (const feed of feeds) await feed.close()
    }
    const problems: HubError[] = []
    for (const subject of subjects) {
      if (connection.feeds.has(subject)) continue
      signal.throwIfAborted()
      try {
        connection.feeds.set(subject, await this.#open(connection, subject, subjects.length))
      } catch (error) {
        problems.push(asHubError(error, 'HUB_SOURCE_FORBIDDEN'))
      }
    }
    const [problem] = problems
    if (problem === undefined) return
    if (problems.length === subjects.length) throw problem
    for (const { code, message, hint } of problems)
      this.#context.log.error('nats.refused', `${message}. ${hint}`, { code })
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { deliveries } = this.#live().held
    if (signal.aborted) deliveries.end()
    else signal.addEventListener('abort', () => deliveries.end(), { once: true })
    return deliveries
  }

  /** Reads the names of streams; makes nothing and takes nothing. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const nats = await dial(this.#config, `${this.#durable}-probe`, signal)
    try {
      const manager = await jetstreamManager(nats, { timeout: this.#config.connectTimeout })
      const server = `${nats.getServer()}, NATS ${nats.info?.version ?? ''}`
      const reports: ProbeReport['topics'][number][] = []
      for (const topic of topics) {
        const streams = await this.#streamsOf(manager, topic)
        const ok = streams.length > 0
        reports.push({ topic, ok, detail: ok ? `in ${streams.join(', ')}` : this.#missing(topic).message })
      }
      return { server, topics: reports }
    } finally {
      await nats.close()
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#drop()
  }

  async #open(connection: Connection, subject: string, subjects: number): Promise<readonly ConsumerMessages[]> {
    const { manager } = connection
    const streams = await this.#streamsOf(manager, subject)
    if (streams.length === 0) {
      if (!this.#config.createStream) throw this.#missing(subject)
      const name = consumerName(this.#config.stream ?? 'hub', subject)
      await manager.streams.add({ name, subjects: [subject] })
      this.#context.log.info('nats.created', `created the stream ${name} for ${subject}`)
      streams.push(name)
    }
    const feeds: ConsumerMessages[] = []
    for (const stream of streams) feeds.push(await this.#consume(connection, stream, subject, subjects))
    return feeds
  }

  async #streamsOf(manager: JetStreamManager, subject: string): Promise<string[]> {
    const { stream } = this.#config
    const found: string[] = []
    for await (const name of manager.streams.names(subject)) if (stream === undefined || name === stream) found.push(name) // prettier-ignore
    return found
  }

  async #consume(connection: Connection, stream: string, subject: string, subjects: number): Promise<ConsumerMessages> {
    const { manager, client, held } = connection
    const name = consumerName(this.#durable, subject)
    const ackWait = this.#config.ackWait * NANOS
    try {
      const { config } = await manager.consumers.info(stream, name)
      if (config.ack_wait !== ackWait) await manager.consumers.update(stream, name, { ack_wait: ackWait })
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw error
      await manager.consumers.add(stream, {
        durable_name: name,
        description: `connector-hub ${this.#context.instance}: ${subject}`,
        filter_subject: subject,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ackWait,
        deliver_policy: this.#config.deliver === 'all' ? DeliverPolicy.All : DeliverPolicy.New,
        max_deliver: -1,
        // All replicas together; each bounds itself by what it pulls.
        max_ack_pending: -1,
      })
    }
    const consumer = await client.consumers.get(stream, name)
    // What is pulled ahead waits in memory, for every subject: a share of the bound each.
    const ahead = Math.max(1, Math.min(PULLED_AHEAD_MAX, Math.floor(this.#context.unsettledMax / subjects)))
    const messages = await consumer.consume({ max_messages: ahead, abort_on_missing_resource: true })
    void this.#feed(connection, held, messages, `${stream}/${name}`)
    return messages
  }

  /** Never rejects: what ends a feed by itself ends the connection. */
  async #feed(connection: Connection, held: Held, messages: ConsumerMessages, name: string): Promise<void> {
    try {
      for await (const message of messages) {
        await held.room()
        held.take(message)
      }
    } catch (error) {
      this.#lost(connection, this.#lostProblem(`consumer ${name}: ${errorText(error)}`, error))
    }
  }

  #touchLater(connection: Connection): void {
    connection.touch = this.#context.clock.after(this.#config.ackWait / TOUCHES, () => {
      connection.held.touch()
      this.#touchLater(connection)
    })
  }

  #lost(connection: Connection, error: HubError): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    connection.touch?.cancel()
    connection.held.lost(error)
    void connection.nats.close()
  }

  async #drop(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    connection.touch?.cancel()
    for (const feeds of connection.feeds.values()) for (const feed of feeds) feed.stop()
    connection.held.giveBack()
    // Flushes what was said last.
    await connection.nats.drain().catch(() => connection.nats.close())
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #missing(subject: string): HubError {
    const { stream } = this.#config
    const where = stream === undefined ? 'no stream has' : `the stream ${stream} does not have`
    const name = stream ?? 'EVENTS'
    return new HubError('HUB_SOURCE_FORBIDDEN', `${this.#addresses}: ${where} the subject ${subject}`, {
      hint: `Create it: nats stream add ${name} --subjects "${subject}" --defaults. Or set createStream: true.`,
    })
  }

  #lostProblem(text: string, cause?: unknown): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#addresses}: ${text}`, {
      canRetry: true,
      ...(cause === undefined ? {} : { cause }),
    })
  }
}
