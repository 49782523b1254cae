// The RabbitMQ source: one connection, on it a feed for each wanted queue, and a second connection for dead letters. The
// supervisor connects anew when a connection is lost; what is wrong with one queue concerns that queue alone.

import { randomUUID } from 'node:crypto'

import type { ConsumeMessage } from 'amqplib'

import { HubError, TopicIndex, asHubError, backoffMs, errorText, hasWildcard } from '../../src/sdk/index.ts'
import type { ClockTimer, Delivery, ProbeReport, Source, SourceContext, SourceCounter, Subscription, TopicBacklog } from '../../src/sdk/index.ts' // prettier-ignore
import { Depths } from './depths.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import { earlierRoutingKeys, toEvent } from './event.ts'
import { Feed } from './feed.ts'
import type { QueueKind } from './feed.ts'
import { Letters } from './letters.ts'
import { exchangeProblem, queueProblem } from './problems.ts'
import { StreamPlace } from './stream-place.ts'
import { bindOnly, declareListed, ensureExchange, ensureQueue, kindOf } from './topology.ts'
import { Window } from './window.ts'

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly link: Link
  readonly lettersLink: Link | undefined
  readonly letters: Letters | undefined
  readonly window: Window
  readonly feeds: Map<string, Feed>
  readonly depths: Depths
  /** Makes ids of messages that have none. */
  readonly nonce: string
  topics: readonly string[]
  /** Of the binding keys. */
  keys: TopicIndex<true>
  /** Steps that change feeds, one after the other. */
  changing: Promise<unknown>
  reopening: ClockTimer | undefined
  failures: number
}

/** A queue that many share the window with may still be read so far ahead. */
const AHEAD_MIN = 32
const REOPEN = { minWaitMs: 250, maxWaitMs: 30_000, jitter: 'equal' } as const
const CLOSE_MS = 1500
/** From this version on quorum queues have a delivery limit by default. */
const LIMITED_SINCE = 4
const DEFAULT_DELIVERY_LIMIT = 20

export class RabbitSource implements Source {
  readonly #config: RabbitConfig
  readonly #context: SourceContext
  readonly #at: string
  readonly #interruptions: SourceCounter
  readonly #kinds = new Map<string, QueueKind>()
  #connection: Connection | undefined
  #closed = false

  constructor(config: RabbitConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#at = addressOf(config)
    this.#interruptions = context.counter('rabbitmq_interruptions_total', 'Connections blocked by the broker, consumers cancelled and channels closed by it.', ['kind']) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#drop()
    const { clock, instance, unsettledMax } = this.#context
    const link = await dial(this.#config, `connector-hub ${instance}`, clock, signal)
    let lettersLink: Link | undefined
    try {
      if (this.#config.deadLetterExchange !== undefined)
        lettersLink = await dial(this.#config, `connector-hub ${instance} dead letters`, clock, signal)
      const letters = await this.#lettersOn(lettersLink)
      await this.#declareAll(link)
      signal.throwIfAborted()
      if (this.#closed) throw this.#lostProblem('the source was closed while it connected')
      const feeds = new Map<string, Feed>()
      this.#watch({
        link,
        lettersLink,
        letters,
        window: new Window(unsettledMax),
        feeds,
        depths: new Depths({ model: link.model, context: this.#context, feeds }),
        nonce: randomUUID().slice(0, 8),
        topics: [],
        keys: new TopicIndex('amqp'),
        changing: Promise.resolve(),
        reopening: undefined,
        failures: 0,
      })
    } catch (error) {
      await Promise.all([link.close(), lettersLink?.close()])
      signal.throwIfAborted()
      throw asHubError(error, 'HUB_SOURCE_LOST', true)
    }
  }

  /**
   * What cannot be read is reported with its fix and tried again, and the others work.
   * @throws HubError HUB_SOURCE_* when none can be read
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    connection.topics = [...new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))]
    const problems = await this.#change(connection)
    signal.throwIfAborted()
    const [problem] = problems
    if (problem === undefined) return
    if (connection.feeds.size === 0) throw problem
    this.#report(problems)
    this.#reopenLater(connection)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { deliveries } = this.#live().window
    if (signal.aborted) deliveries.end()
    else signal.addEventListener('abort', () => deliveries.end(), { once: true })
    return deliveries
  }

  /** Asks whether queues are there; makes nothing and takes nothing. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const { clock, instance } = this.#context
    const link = await dial(this.#config, `connector-hub ${instance} probe`, clock, signal)
    try {
      const passive = { ...this.#config, declare: false }
      const look = async (queue: string): Promise<HubError | undefined> => {
        try {
          await ensureQueue(link.model, this.#at, queue, passive)
          return undefined
        } catch (error) {
          return asHubError(error)
        }
      }
      const reports: ProbeReport['topics'][number][] = []
      const own = this.#config.exchange === undefined ? undefined : await this.#probeExchange(link, look)
      for (const topic of topics) {
        const problem = own === undefined ? await look(topic) : own.problem
        const detail = problem === undefined ? (own?.detail ?? 'the queue is there') : `${problem.message}. ${problem.hint}` // prettier-ignore
        reports.push({ topic, ok: problem === undefined, detail })
      }
      return { server: `${link.server} at ${this.#at}`, topics: reports }
    } finally {
      await link.close()
    }
  }

  backlog(): readonly TopicBacklog[] {
    return this.#connection?.depths.read() ?? []
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#drop()
  }

  async #probeExchange(
    link: Link,
    look: (queue: string) => Promise<HubError | undefined>,
  ): Promise<{ readonly problem: HubError | undefined; readonly detail: string }> {
    const detail = `through queue ${this.#queue} of exchange ${this.#config.exchange}`
    try {
      await ensureExchange(link.model, this.#at, { ...this.#config, declare: false })
      return { problem: await look(this.#queue), detail }
    } catch (error) {
      return { problem: asHubError(error), detail }
    }
  }

  /** With an exchange everything comes through this one. */
  get #queue(): string {
    return this.#config.queue ?? `connector-hub-${this.#context.instance}`
  }

  async #lettersOn(link: Link | undefined): Promise<Letters | undefined> {
    const { deadLetterExchange: exchange, connectTimeout } = this.#config
    if (link === undefined || exchange === undefined) return undefined
    const letters = new Letters({ link, exchange, at: this.#at, clock: this.#context.clock, confirmMs: connectTimeout })
    try {
      await letters.check()
    } catch (error) {
      throw exchangeProblem(error, this.#at, exchange)
    }
    return letters
  }

  /** A queue that is there with other properties is read as it is. */
  async #declareAll({ model }: Link): Promise<void> {
    for (const listed of this.#config.queues)
      try {
        await declareListed(model, this.#at, listed)
      } catch (error) {
        this.#report([asHubError(error)])
      }
  }

  #watch(connection: Connection): void {
    this.#connection = connection
    const { log } = this.#context
    for (const link of [connection.link, connection.lettersLink]) {
      if (link === undefined) continue
      void link.ended.then((error) => this.#lost(connection, error))
      link.model.on('blocked', (reason) => {
        this.#interruptions.add(1, { kind: 'blocked' })
        log.warn('rabbitmq.blocked', 'the broker takes no messages from us; dead letters wait', { reason })
      })
      link.model.on('unblocked', () => log.info('rabbitmq.unblocked', 'the broker takes messages again'))
    }
  }

  /** Brings the feeds to what is wanted. Resolves with what did not work; never rejects. */
  #change(connection: Connection): Promise<readonly HubError[]> {
    const changed = connection.changing.then(() => this.#applyTopics(connection))
    connection.changing = changed
    return changed
  }

  async #applyTopics(connection: Connection): Promise<readonly HubError[]> {
    const { feeds, topics } = connection
    const { exchange } = this.#config
    const queues = exchange === undefined ? topics : topics.length === 0 ? [] : [this.#queue]
    const problems: HubError[] = []
    for (const [queue, feed] of feeds) {
      if (queues.includes(queue)) continue
      feeds.delete(queue)
      await feed.retire()
    }
    try {
      if (exchange !== undefined && topics.length > 0) problems.push(...(await this.#bind(connection, exchange)))
    } catch (error) {
      return [asHubError(error)]
    }
    for (const queue of queues) {
      if (feeds.has(queue) || this.#connection !== connection) continue
      try {
        await this.#open(connection, queue, queues.length)
      } catch (error) {
        problems.push(queueProblem(error, this.#at, queue))
      }
    }
    return problems
  }

  async #bind(connection: Connection, exchange: string): Promise<readonly HubError[]> {
    const { declare, exchangeType } = this.#config
    const isExact = (key: string): boolean => exchangeType === 'topic' || !hasWildcard('amqp', key)
    const keys = connection.topics.filter(isExact)
    connection.keys = new TopicIndex('amqp')
    for (const key of keys) connection.keys.add(key, true)
    const { model } = connection.link
    await ensureExchange(model, this.#at, this.#config)
    if (declare) {
      await ensureQueue(model, this.#at, this.#queue, this.#config)
      await bindOnly(model, this.#at, { queue: this.#queue, exchange, keys }, this.#context.state)
    }
    return connection.topics
      .filter((key) => !isExact(key))
      .map((key) => new HubError('HUB_TOPIC_INVALID', `${key}: a direct exchange has no wildcards`, { hint: 'Use an exchange of type topic, or exact keys.' })) // prettier-ignore
  }

  async #open(connection: Connection, queue: string, queues: number): Promise<void> {
    const { model } = connection.link
    const { state, unsettledMax, log } = this.#context
    if (await ensureQueue(model, this.#at, queue, this.#config))
      log.info('rabbitmq.created', `created the ${this.#config.queueType} queue ${queue}`)
    const kind = this.#kinds.get(queue) ?? (await kindOf(model, queue))
    this.#kinds.set(queue, kind)
    const place = kind === 'stream' ? await StreamPlace.load(state, queue, this.#config.streamOffset) : undefined
    const channel = await model.createChannel()
    const feed = this.#feed(connection, queue, kind, channel, place)
    const share = Math.floor(unsettledMax / queues)
    try {
      await feed.start(Math.max(1, share, Math.min(AHEAD_MIN, unsettledMax)))
    } catch (error) {
      // It may be another kind of queue by now.
      this.#kinds.delete(queue)
      throw error
    }
    connection.feeds.set(queue, feed)
  }

  #feed(
    connection: Connection,
    queue: string,
    kind: QueueKind,
    channel: Awaited<ReturnType<Link['model']['createChannel']>>,
    place: StreamPlace | undefined,
  ): Feed {
    // prettier-ignore
    const { instance, clock } = this.#context
    const { orderingKey } = this.#config
    const { nonce } = connection
    let made = 0
    const topicOf = this.#topicOf(connection, queue)
    const feed: Feed = new Feed({
      queue,
      kind,
      channel,
      window: connection.window,
      clock,
      place,
      letters: connection.letters,
      returnsMax: this.#returnsMax(connection, kind),
      toEvent: ({ message, arrivedMs, retries }) =>
        toEvent(message, { instance, queue, orderingKey, receivedMs: arrivedMs, fallbackId: `${nonce}-${(made += 1)}`, topicOf }, retries), // prettier-ignore
      onEnd: (error) => this.#feedEnded(connection, queue, feed, error),
    })
    return feed
  }

  #topicOf(connection: Connection, queue: string): (message: ConsumeMessage) => string {
    if (this.#config.exchange === undefined) return () => queue
    return (message) => {
      const { routingKey } = message.fields
      if (connection.keys.find(routingKey).length > 0) return routingKey
      // It came back through a dead letter exchange, by another key.
      return earlierRoutingKeys(message).find((key) => connection.keys.find(key).length > 0) ?? routingKey
    }
  }

  /** Beyond its limit a quorum queue drops a message that comes back, or sends it where its own configuration says. */
  #returnsMax({ link }: Connection, kind: QueueKind): number | undefined {
    if (!this.#config.requeue || kind !== 'quorum') return undefined
    const byDefault = (link.major ?? 0) >= LIMITED_SINCE ? DEFAULT_DELIVERY_LIMIT : Number.POSITIVE_INFINITY
    return this.#config.deliveryLimit ?? byDefault
  }

  #feedEnded(connection: Connection, queue: string, feed: Feed, error: Error | undefined): void {
    if (connection.feeds.get(queue) === feed) connection.feeds.delete(queue)
    if (this.#connection !== connection) return
    this.#interruptions.add(1, { kind: error === undefined ? 'cancelled' : 'channel' })
    const what = error === undefined ? 'the broker cancelled the consumer' : errorText(error)
    this.#context.log.warn('rabbitmq.interrupted', `queue ${queue}: ${what}; it is opened again`, { topic: queue })
    this.#kinds.delete(queue)
    connection.failures = 0
    this.#reopenLater(connection)
  }

  #reopenLater(connection: Connection): void {
    if (this.#connection !== connection || connection.reopening !== undefined) return
    connection.failures += 1
    connection.reopening = this.#context.clock.after(backoffMs(connection.failures, REOPEN), () => {
      connection.reopening = undefined
      void this.#reopen(connection)
    })
  }

  async #reopen(connection: Connection): Promise<void> {
    const problems = await this.#change(connection)
    if (this.#connection !== connection) return
    if (problems.length === 0) {
      connection.failures = 0
      return
    }
    // Said once; what stays wrong is only tried again.
    if (connection.failures === 1) this.#report(problems)
    this.#reopenLater(connection)
  }

  #report(problems: readonly HubError[]): void {
    for (const { code, message, hint } of problems)
      this.#context.log.error('rabbitmq.refused', `${message}. ${hint}`, { code })
  }

  #lost(connection: Connection, error: Error | undefined): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#disarm(connection)
    connection.window.fail(this.#lostProblem(error === undefined ? 'the connection was closed' : errorText(error), error)) // prettier-ignore
    void this.#end(connection)
  }

  async #drop(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    this.#disarm(connection)
    connection.window.end()
    await this.#end(connection)
  }

  #disarm({ reopening, depths }: Connection): void {
    reopening?.cancel()
    depths.stop()
  }

  /** The channels first: what was settled on them is with the broker once it has answered. */
  async #end({ link, lettersLink, feeds }: Connection): Promise<void> {
    const late = Promise.withResolvers<void>()
    const limit = this.#context.clock.after(CLOSE_MS, () => late.resolve())
    const closed = Promise.all([...feeds.values()].map((feed) => feed.close()))
    await Promise.race([closed, link.ended, late.promise])
    limit.cancel()
    await Promise.all([link.close(), lettersLink?.close()])
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #lostProblem(text: string, cause?: unknown): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#at}: ${text}`, {
      canRetry: true,
      ...(cause === undefined ? {} : { cause }),
    })
  }
}
