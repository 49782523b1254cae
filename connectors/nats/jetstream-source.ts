// The JetStream source: one connection, and on it one durable pull consumer for each wanted subject and stream. What is held
// is in held.ts, how it is pulled in feed.ts, how a server is reached in line.ts.

import { jetstream } from '@nats-io/jetstream'
import type { Consumer, JetStreamClient, JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { HubError, asHubError, errorText, reading } from '../../src/sdk/index.ts'
import type {
  ClockTimer,
  Delivery,
  ProbeReport,
  Source,
  SourceContext,
  Subscription,
  TopicBacklog,
} from '../../src/sdk/index.ts'
import { BacklogWatch } from './backlog.ts'
import type { NatsConfig } from './dial.ts'
import { streamEvent } from './event.ts'
import { Feed } from './feed.ts'
import type { Gathering } from './feed.ts'
import { Held } from './held.ts'
import { Line } from './line.ts'
import { durableOf } from './manifest.ts'
import { openManager } from './manager.ts'
import { probeStreams } from './probe.ts'
import { forbiddenProblem, lostProblem, reportRefusals } from './problems.ts'
import { gatherReturned } from './returned.ts'
import type { Outside } from './returned.ts'
import { Streams, isMissing } from './streams.ts'
import type { Place } from './streams.ts'
import { wantedSubjects } from './subjects.ts'

/** What is read of one subject filter. */
interface Reading {
  readonly places: readonly Place[]
  readonly feeds: readonly Feed[]
}

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly nats: NatsConnection
  readonly manager: JetStreamManager
  readonly client: JetStreamClient
  /** By subject filter. */
  readonly readings: Map<string, Reading>
  /** Wanted, in streams or not. */
  subjects: readonly string[]
  /** Ends with the last change of what is read. */
  changing: Promise<void>
  /** Nothing is pulled any more. */
  readonly over: AbortController
  search: ClockTimer | undefined
  backlog: BacklogWatch | undefined
}

/** Signs of life within one ackWait. */
const TOUCHES = 3
const PULLED_AT_ONCE_MAX = 256
const PULL_EXPIRES_MS = 30_000
const NANOS = 1_000_000
/** How often streams are looked for that were made meanwhile. */
const SEARCH_MS = 30_000

export class JetStreamSource implements Source {
  readonly #config: NatsConfig
  readonly #context: SourceContext
  readonly #durable: string
  readonly #line: Line
  readonly #streams: Streams
  readonly #held: Held
  #connection: Connection | undefined
  /** Of a server that shuts down: what is out is settled over it, until there is another. */
  #leaving: Connection | undefined
  #touch: ClockTimer | undefined
  #closed = false

  constructor(config: NatsConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#durable = durableOf(config, context.instance)
    this.#line = new Line(config, context, this.#durable)
    this.#streams = new Streams(config, context, this.#durable)
    this.#held = new Held({
      unsettledMax: context.unsettledMax,
      ackWaitMs: config.ackWait,
      clock: context.clock,
      isOrdered: config.orderingToken !== undefined,
      toEvent: (message) => streamEvent(message, context.instance, config.orderingToken),
    })
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#end(this.#connection)
    let connection: Connection | undefined
    const nats = await this.#line.open(signal, {
      leaving: (error) => this.#leave(connection, error),
      lost: (error) => this.#lost(connection, error),
    })
    try {
      const timeout = this.#config.connectTimeout
      const manager = await openManager(nats, this.#config)
      if (this.#closed) throw this.#lostProblem('the source was closed while it connected')
      if (nats.isClosed()) throw this.#lostProblem('the connection was closed')
      connection = {
        nats,
        manager,
        client: jetstream(nats, { timeout }),
        readings: new Map(),
        subjects: [],
        changing: Promise.resolve(),
        over: new AbortController(),
        search: undefined,
        backlog: undefined,
      }
    } catch (error) {
      await this.#line.end(nats)
      signal.throwIfAborted()
      throw error
    }
    this.#connection = connection
    this.#held.begin(nats)
    this.#touchLater()
    await this.#end(this.#leaving)
  }

  /**
   * What is missing is reported with the command that makes it, and looked for again; the other subjects work.
   * @throws HubError HUB_SOURCE_FORBIDDEN when none can be read
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    await this.#change(connection, () => this.#subscribe(connection, wanted, signal))
  }

  async #subscribe(connection: Connection, wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const { readings } = connection
    const subjects = wantedSubjects(wanted, this.#config.topics)
    connection.subjects = subjects
    for (const [subject, { feeds }] of readings) {
      if (subjects.includes(subject)) continue
      // The consumer stays at the server, with its place.
      readings.delete(subject)
      for (const feed of feeds) feed.stop()
    }
    const problems: HubError[] = []
    for (const subject of subjects) {
      if (readings.has(subject)) continue
      signal.throwIfAborted()
      try {
        await this.#read(connection, subject)
      } catch (error) {
        problems.push(forbiddenProblem(error, this.#line.addresses) ?? asHubError(error, 'HUB_SOURCE_FORBIDDEN'))
      }
    }
    connection.backlog ??= new BacklogWatch({
      manager: connection.manager,
      held: this.#held,
      context: this.#context,
      places: () => [...readings].map(([subject, { places }]) => [subject, places] as const),
    })
    if (connection.search === undefined) this.#searchLater(connection)
    reportRefusals(problems, subjects.length, this.#context.log)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const connection = this.#live()
    return reading(this.#held.deliveries, signal, () => {
      if (this.#connection !== connection) return
      stop(connection)
      this.#held.release()
    })
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return probeStreams({ config: this.#config, streams: this.#streams, durable: this.#durable, topics }, signal)
  }

  /** Of the consumers, which all replicas share: equal at each of them, and at most a few seconds old. */
  backlog(): readonly TopicBacklog[] {
    return this.#connection?.backlog?.read() ?? []
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#touch?.cancel()
    this.#held.giveBack()
    await Promise.all([this.#end(this.#connection), this.#end(this.#leaving)])
  }

  /** One change of what is read after the other. */
  #change(connection: Connection, work: () => Promise<void>): Promise<void> {
    const change = connection.changing.then(work)
    connection.changing = change.catch(() => undefined)
    return change
  }

  #searchLater(connection: Connection): void {
    if (connection.over.signal.aborted) return
    connection.search = this.#context.clock.after(SEARCH_MS, () => {
      void this.#change(connection, () => this.#search(connection)).finally(() => this.#searchLater(connection))
    })
  }

  /** For streams that were made since: of subjects that had none, and further ones. Never rejects. */
  async #search(connection: Connection): Promise<void> {
    const { subjects, over } = connection
    const { log } = this.#context
    for (const subject of subjects) {
      if (over.signal.aborted) return
      try {
        const found = await this.#read(connection, subject)
        if (found.length > 0) log.info('nats.found', `${subject} is read in ${found.map(({ stream }) => stream).join(', ')} now`) // prettier-ignore
      } catch (error) {
        log.debug('nats.not-found', `${subject}: ${errorText(error)}`)
      }
    }
  }

  /** In every stream that has the subject. @returns where it was not read before */
  async #read(connection: Connection, subject: string): Promise<readonly Place[]> {
    const { nats, manager, client, readings, subjects, over } = connection
    const known = readings.get(subject)
    const places = await this.#streams.places(manager, subject, new Set(known?.places.map(({ stream }) => stream)))
    // What is pulled ahead waits in memory, for every subject: a share of the bound each.
    const batch = Math.max(1, Math.min(PULLED_AT_ONCE_MAX, Math.floor(this.#context.unsettledMax / subjects.length)))
    const consumers = await Promise.all(places.map(({ stream, consumer }) => client.consumers.get(stream, consumer)))
    const feeds: Feed[] = []
    for (const [index, { stream, consumer: name }] of places.entries()) {
      const consumer = consumers[index] as Consumer
      // What it refuses to be asked for: limits of the server, or set by somebody with this consumer. 0 is none.
      const { max_batch: batchMax = 0, max_expires: expiresMax = 0 } = (await consumer.info(true)).config
      feeds.push(
        new Feed({
          consumer,
          name: `${stream}/${name}`,
          held: this.#held,
          batch,
          batchMax: batchMax > 0 ? batchMax : Infinity,
          expiresMs: expiresMax > 0 ? Math.min(PULL_EXPIRES_MS, expiresMax / NANOS) : PULL_EXPIRES_MS,
          context: this.#context,
          first: (gathering) => this.#gather(manager, { stream, consumer: name }, batch, gathering),
          flush: () => nats.flush(),
          missing: () => this.#missing(manager, { stream, consumer: name }),
          lost: (error) => this.#lost(connection, error),
        }),
      )
    }
    readings.set(subject, { places: [...(known?.places ?? []), ...places], feeds: [...(known?.feeds ?? []), ...feeds] })
    if (over.signal.aborted) for (const feed of feeds) feed.stop()
    return places
  }

  async #missing(manager: JetStreamManager, { stream, consumer }: Place): Promise<HubError | undefined> {
    try {
      await manager.consumers.info(stream, consumer)
      return undefined
    } catch (error) {
      return isMissing(error) ? this.#lostProblem(`consumer ${stream}/${consumer}: ${errorText(error)}`, error) : undefined // prettier-ignore
    }
  }

  /** Where nothing is ordered, nothing has to wait. */
  async #gather(
    manager: JetStreamManager,
    { stream, consumer }: Place,
    batch: number,
    gathering: Gathering,
  ): Promise<void> {
    // prettier-ignore
    if (this.#config.orderingToken === undefined) return
    const held = (): number => this.#held.of(consumer).count
    const look = async (): Promise<Outside> => {
      const { num_ack_pending, ack_floor, delivered } = await manager.consumers.info(stream, consumer)
      return { out: num_ack_pending - held(), settled: ack_floor.stream_seq, last: delivered.stream_seq }
    }
    // As much as one that is gone can have held, being like us.
    const heldMax = this.#context.unsettledMax + batch
    const { ackWait: ackWaitMs } = this.#config
    await gatherReturned({ name: `${stream}/${consumer}`, ackWaitMs, heldMax, context: this.#context, look, held }, gathering) // prettier-ignore
  }

  #touchLater(): void {
    this.#touch?.cancel()
    this.#touch = this.#context.clock.after(this.#config.ackWait / TOUCHES, () => {
      this.#held.touch()
      this.#touchLater()
    })
  }

  /** The server shuts down: nothing more is pulled there, and what is out is settled over it until another one is reached. */
  #leave(connection: Connection | undefined, error: HubError): void {
    if (connection === undefined || this.#connection !== connection) return
    this.#connection = undefined
    this.#leaving = connection
    stop(connection)
    this.#held.lost(error)
  }

  #lost(connection: Connection | undefined, error: HubError): void {
    if (connection === undefined) return
    const isCurrent = this.#connection === connection
    void this.#end(connection)
    if (isCurrent) this.#held.lost(error)
  }

  async #end(connection: Connection | undefined): Promise<void> {
    if (connection === undefined) return
    if (this.#connection === connection) this.#connection = undefined
    if (this.#leaving === connection) this.#leaving = undefined
    stop(connection)
    await this.#line.end(connection.nats)
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #lostProblem(text: string, cause?: unknown): HubError {
    return lostProblem(this.#line.addresses, text, cause)
  }
}

/** Nothing is pulled any more. */
function stop({ readings, backlog, search, over }: Connection): void {
  over.abort()
  search?.cancel()
  backlog?.stop()
  for (const { feeds } of readings.values()) for (const feed of feeds) feed.stop()
}
