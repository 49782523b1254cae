// The SQS source: finds the queues of the wanted topics and receives from each (feed.ts); what is received is in held.ts. The
// supervisor connects anew when SQS cannot be reached, or refuses what every queue needs.

import { HubError, asHubError, reading, within } from '../../src/sdk/index.ts'
import type { ClockTimer, Delivery, ProbeReport, Source, SourceContext, SourceCounter, Subscription, TopicBacklog } from '../../src/sdk/index.ts' // prettier-ignore
import { addressOf, checkAccess, openClients } from './clients.ts'
import type { Clients, SqsConfig } from './clients.ts'
import { Depths } from './depths.ts'
import { openMessage } from './event.ts'
import { Feed } from './feed.ts'
import { Held } from './held.ts'
import { Letters } from './letters.ts'
import { probeTopics } from './probe.ts'
import { asLost } from './problems.ts'
import { findQueue } from './queues.ts'
import type { Queue } from './queues.ts'

/** What belongs to one connection: all of it ends with it. */
interface Connection {
  readonly clients: Clients
  /** By topic. */
  readonly feeds: Map<string, Feed>
  readonly depths: Depths
  /** Topics that are wanted and could not be read, looked for again now and then. */
  readonly refused: Set<string>
  readonly over: AbortController
  timer: ClockTimer | undefined
}

const REFUSED_AGAIN_MS = 30_000
/** What `close` waits for: polls that end by themselves, then what is given back. */
const POLLS_END_MS = 2500
const GIVE_BACK_MS = 1500
/** Below this even a hub that only restarts now and then loses messages to the dead-letter queue. */
const RECEIVES_ADVISED = 10

export class SqsSource implements Source {
  readonly #config: SqsConfig
  readonly #context: SourceContext
  readonly #at: string
  readonly #held: Held
  readonly #throttled: SourceCounter
  /** The latest ones: what was received over others is settled over them. */
  #clients: Clients | undefined
  /** Those before: what was asked over them ends by itself. */
  #previous: Clients | undefined
  #connection: Connection | undefined
  /** Of these, open polls go on until they end by themselves. */
  readonly #ending = new Map<Connection, Promise<void>>()
  #closing: Promise<void> | undefined

  constructor(config: SqsConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#at = addressOf(config)
    const { clock, log, instance, unsettledMax } = context
    this.#throttled = context.counter('sqs_throttled_total', 'Receives that SQS refused because of too many requests.', ['queue']) // prettier-ignore
    const client = (): Clients['work'] => {
      if (this.#clients === undefined) throw this.#lostProblem('not connected')
      return this.#clients.work
    }
    const letters = new Letters({ log, at: this.#at, client })
    this.#held = new Held({
      unsettledMax,
      visibilityTimeoutMs: config.visibilityTimeout,
      clock,
      log,
      at: this.#at,
      client,
      // What failed over an earlier connection says nothing of this one.
      failed: (problem, over) => {
        if (this.#connection?.clients.work === over) this.#lost(this.#connection, asLost(problem))
      },
      lapsed: context.counter('sqs_lapsed_total', 'Messages that SQS gave to others, or will, while they were held here.', ['queue']), // prettier-ignore
      open: (message, { topic, url, name }) =>
        openMessage(message, {
          instance,
          topic,
          queueUrl: url,
          queueName: name,
          receivedMs: clock.now(),
          unwrap: config.unwrap,
        }),
      bury: (letter, message, queue) => letters.put(letter, message, queue),
    })
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#closing !== undefined) throw this.#lostProblem('the source is closed')
    this.#end(this.#connection)
    const clients = openClients(this.#config, this.#context.log)
    try {
      await checkAccess(clients, this.#at, signal)
      if (this.#isClosed) throw this.#lostProblem('the source was closed while it connected')
    } catch (error) {
      clients.destroy()
      throw error
    }
    const feeds = new Map<string, Feed>()
    const { clock, log } = this.#context
    const lanes = (): Feed['lane'][] => [...feeds.values()].map(({ lane }) => lane)
    const depths = new Depths({ client: clients.work, held: this.#held, context: { clock, log }, lanes })
    this.#replaceClients(clients)
    this.#connection = { clients, feeds, depths, refused: new Set(), over: new AbortController(), timer: undefined }
    this.#held.begin()
  }

  /**
   * What is missing or forbidden is reported with what mends it, and looked for again; the other queues are read.
   * @throws HubError HUB_SOURCE_* when none can be read
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    const { feeds, refused } = connection
    const topics = new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))
    refused.clear()
    for (const [topic, feed] of feeds) {
      if (topics.has(topic)) continue
      feeds.delete(topic)
      feed.stop()
      this.#held.withdraw(feed.lane)
      this.#outlive(connection, feed)
    }
    const problems: HubError[] = []
    for (const topic of topics) {
      if (feeds.has(topic)) continue
      signal.throwIfAborted()
      const problem = await this.#read(connection, topic, signal, () => true)
      if (problem !== undefined) problems.push(problem)
    }
    connection.depths.look()
    const [problem] = problems
    if (problem !== undefined && problems.length === topics.size) throw problem
    for (const one of problems) this.#reportRefusal(one)
    if (refused.size > 0) this.#lookAgainLater(connection)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const connection = this.#live()
    return reading(this.#held.deliveries, signal, () => {
      if (this.#connection !== connection) return
      for (const feed of connection.feeds.values()) feed.stop()
      this.#held.release()
    })
  }

  /** Receives nothing. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const { log } = this.#context
    const clients = openClients(this.#config, log)
    try {
      await checkAccess(clients, this.#at, signal)
      return await probeTopics(topics, { client: clients.work, config: this.#config, at: this.#at, log }, signal)
    } finally {
      clients.destroy()
    }
  }

  backlog(): readonly TopicBacklog[] {
    return this.#connection?.depths.read() ?? []
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  get #isClosed(): boolean {
    return this.#closing !== undefined
  }

  async #close(): Promise<void> {
    const { clock } = this.#context
    const connection = this.#connection
    this.#end(connection)
    this.#held.release()
    // Polls first: what they bring is given back, too.
    await within(clock, POLLS_END_MS, Promise.all(this.#ending.values()))
    for (const { feeds } of this.#ending.keys()) for (const feed of feeds.values()) feed.cut()
    const limit = Promise.withResolvers<void>()
    const giveBack = clock.after(GIVE_BACK_MS, () => limit.resolve())
    await this.#held.close(limit.promise)
    giveBack.cancel()
    this.#clients?.destroy()
    this.#previous?.destroy()
    await Promise.all(this.#ending.values())
  }

  /** Undefined: it is read, or not wanted any more. What fails for every queue is thrown. */
  async #read(
    connection: Connection,
    topic: string,
    signal: AbortSignal,
    isWanted: () => boolean,
  ): Promise<HubError | undefined> {
    const { clients, feeds, refused } = connection
    const { log } = this.#context
    try {
      const queue = await findQueue(topic, { client: clients.work, config: this.#config, at: this.#at, log }, signal)
      // Whoever ended it has stopped the feeds that there were.
      if (connection.over.signal.aborted) throw this.#lostProblem('the connection was lost')
      if (feeds.has(topic) || !isWanted()) return undefined
      this.#refuseTwin(connection, queue)
      this.#adviseReceives(queue)
      feeds.set(topic, this.#feed(connection, queue))
      refused.delete(topic)
      return undefined
    } catch (error) {
      const problem = asHubError(error)
      signal.throwIfAborted()
      if (problem.code !== 'HUB_SOURCE_FORBIDDEN' && problem.code !== 'HUB_TOPIC_INVALID') throw problem
      refused.add(topic)
      return problem
    }
  }

  #feed(connection: Connection, queue: Queue): Feed {
    const { clients, feeds } = connection
    const { clock, log } = this.#context
    return new Feed({
      lane: this.#held.lane(queue),
      held: this.#held,
      client: clients.receive,
      config: this.#config,
      clock,
      log,
      throttled: this.#throttled,
      at: this.#at,
      queues: () => Math.max(1, feeds.size),
      refused: (problem) => this.#ended(connection, queue.topic, problem),
      lost: (problem) => this.#lost(connection, asLost(problem)),
    })
  }

  /** Read under two topics, each would get a part of its messages. */
  #refuseTwin({ feeds }: Connection, { topic, url }: Queue): void {
    const twin = [...feeds.values()].find(({ lane }) => lane.queue.url === url)
    if (twin === undefined) return
    throw new HubError('HUB_TOPIC_INVALID', `${this.#at}: topics ${twin.lane.queue.topic} and ${topic} are the same queue`, {
      hint: 'Write the same of the two in the annotations of all functions.',
    }) // prettier-ignore
  }

  #adviseReceives({ name, receivesMax }: Queue): void {
    if (receivesMax === undefined || receivesMax >= RECEIVES_ADVISED) return
    this.#context.log.warn(
      'sqs.few-receives',
      `queue ${name}: by its redrive policy SQS moves a message away after ${receivesMax} receives, and counts those that a restart gives back. Later retries are made by this hub without SQS. Set maxReceiveCount to ${RECEIVES_ADVISED} or more.`,
    )
  }

  /** A queue that was read is gone, or forbidden. */
  #ended(connection: Connection, topic: string, problem: HubError): void {
    const feed = connection.feeds.get(topic)
    if (feed === undefined || this.#connection !== connection) return
    connection.feeds.delete(topic)
    connection.refused.add(topic)
    this.#outlive(connection, feed)
    if (connection.feeds.size === 0) {
      this.#lost(connection, problem)
      return
    }
    this.#reportRefusal(problem)
    this.#lookAgainLater(connection)
  }

  #reportRefusal({ code, message, hint }: HubError): void {
    this.#context.log.error('sqs.refused', `${message}. ${hint}`, { code })
  }

  #lookAgainLater(connection: Connection): void {
    if (connection.over.signal.aborted) return
    connection.timer?.cancel()
    connection.timer = this.#context.clock.after(REFUSED_AGAIN_MS, () => void this.#lookAgain(connection))
  }

  /** Never rejects. */
  async #lookAgain(connection: Connection): Promise<void> {
    const { refused, over } = connection
    for (const topic of refused) {
      try {
        const problem = await this.#read(connection, topic, over.signal, () => refused.has(topic))
        if (problem !== undefined || !connection.feeds.has(topic)) continue
        this.#context.log.info('sqs.found', `queue ${topic} can be read now`)
      } catch (error) {
        if (over.signal.aborted) break
        this.#context.log.debug('sqs.not-found', asHubError(error).message)
      }
    }
    if (!over.signal.aborted && refused.size > 0) this.#lookAgainLater(connection)
  }

  #lost(connection: Connection | undefined, problem: HubError): void {
    if (connection === undefined || this.#connection !== connection) return
    this.#end(connection)
    this.#held.lost(problem)
  }

  /** Its polls go on; settlements go over its clients until there are others. */
  #end(connection: Connection | undefined): void {
    if (connection === undefined || this.#connection !== connection) return
    this.#connection = undefined
    connection.over.abort()
    connection.timer?.cancel()
    connection.depths.stop()
    const feeds = [...connection.feeds.values()]
    for (const feed of feeds) feed.stop()
    this.#track(connection, Promise.all(feeds.map((feed) => feed.ended())))
  }

  /** One that is not wanted any more, with a poll that is still open. */
  #outlive(connection: Connection, feed: Feed): void {
    const key = { ...connection, feeds: new Map([[feed.lane.queue.topic, feed]]) }
    this.#track(key, feed.ended())
  }

  #track(connection: Connection, work: Promise<unknown>): void {
    const ended = work.then(() => {
      this.#ending.delete(connection)
      if (this.#clients !== connection.clients && this.#previous !== connection.clients) connection.clients.destroy()
    })
    this.#ending.set(connection, ended)
  }

  #replaceClients(clients: Clients): void {
    const old = this.#previous
    // Cut off, a delete that SQS has made would be asked for again, with a receipt that is not valid any more.
    this.#previous = this.#clients
    this.#clients = clients
    if (old !== undefined && ![...this.#ending.keys()].some((one) => one.clients === old)) old.destroy()
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #lostProblem(text: string): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#at}: ${text}`, { canRetry: true })
  }
}
