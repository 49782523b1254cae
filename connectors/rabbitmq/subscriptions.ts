// What is read over one connection: a feed for each wanted queue, or one for all binding keys of an exchange. Opens again
// what the broker ended or did not have yet. Dies with its connection; owned by rabbit-source.ts.

import { randomUUID } from 'node:crypto'

import type { Message } from 'amqplib'

import { HubError, asHubError, backoffMs, errorText } from '../../src/sdk/index.ts'
import type { ClockTimer, SourceContext, SourceCounter, TopicBacklog } from '../../src/sdk/index.ts'
import { BindingKeys } from './binding-keys.ts'
import { Depths } from './depths.ts'
import type { Readers } from './depths.ts'
import type { Link, RabbitConfig } from './dial.ts'
import { toEvent } from './event.ts'
import { Feed } from './feed.ts'
import type { QueueKind } from './feed.ts'
import { Handover } from './handover.ts'
import type { Letters } from './letters.ts'
import { queueProblem } from './problems.ts'
import { StreamPlace } from './stream-place.ts'
import { bindOnly, ensureExchange, ensureQueue, kindOf } from './topology.ts'
import type { Window } from './window.ts'

export interface SubscriptionsOptions {
  readonly config: RabbitConfig
  readonly context: SourceContext
  readonly link: Link
  readonly letters: Letters | undefined
  readonly window: Window
  readonly interruptions: SourceCounter
  /** What the broker has told of its queues; outlives the connection. */
  readonly kinds: Map<string, QueueKind>
  /** Outlives the connection. */
  readonly readers: Readers
  /** For messages. */
  readonly at: string
}

/** A queue that many share the window with may still be read so far ahead. */
const AHEAD_MIN = 32
/** For other consumers of a queue that is read in order, which may be dead or replicas. */
const SHARED_WAIT_MS = 2000
/** AMQP has 16 bits for it. */
const PREFETCH_MAX = 65_535
const REOPEN = { minWaitMs: 250, maxWaitMs: 30_000, jitter: 'equal' } as const
/** From this version on quorum queues have a delivery limit by default. */
const LIMITED_SINCE = 4
const DEFAULT_DELIVERY_LIMIT = 20

/** With an exchange everything comes through this queue. */
export function ownQueue({ queue }: RabbitConfig, instance: string): string {
  return queue ?? `connector-hub-${instance}`
}

/** Says each of them with its fix. */
export function report({ log }: Pick<SourceContext, 'log'>, problems: readonly HubError[]): void {
  for (const { code, message, hint } of problems) log.error('rabbitmq.refused', `${message}. ${hint}`, { code })
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #feeds = new Map<string, Feed>()
  readonly #depths: Depths
  /** Makes ids of messages that have none. */
  readonly #nonce = randomUUID().slice(0, 8)
  /** Not wanted any more; the hub still has something of theirs. */
  #leaving: readonly Feed[] = []
  #topics: readonly string[] = []
  #keys: BindingKeys
  /** Steps that change feeds, one after the other. */
  #changing: Promise<unknown> = Promise.resolve()
  #reopening: ClockTimer | undefined
  #failures = 0
  /** What is wrong and was said. */
  #said: ReadonlySet<string> = new Set()
  #stopped = false

  constructor(options: SubscriptionsOptions) {
    this.#options = options
    this.#keys = new BindingKeys(options.config, [])
    this.#depths = new Depths({
      model: options.link.model,
      context: options.context,
      feeds: this.#feeds,
      readers: options.readers,
    })
  }

  /**
   * The complete wanted set. What cannot be read is reported with its fix and tried again, and the others work.
   * @throws HubError HUB_SOURCE_* when none can be read
   */
  async want(topics: readonly string[]): Promise<void> {
    this.#topics = topics
    const problems = await this.#change()
    const [problem] = problems
    if (problem !== undefined && this.#feeds.size === 0) throw problem
    this.#followUp(problems)
  }

  backlog(): readonly TopicBacklog[] {
    return this.#depths.read()
  }

  /** Opens nothing more; no timer is left. */
  stop(): void {
    this.#stopped = true
    this.#reopening?.cancel()
    this.#depths.stop()
  }

  /** Resolves when the broker has all that was settled. */
  async close(): Promise<void> {
    this.stop()
    await Promise.all([...this.#feeds.values(), ...this.#leaving].map((feed) => feed.close()))
  }

  /** Brings the feeds to what is wanted. Resolves with what did not work; never rejects. */
  #change(): Promise<readonly HubError[]> {
    const changed = this.#changing.then(() => this.#applyTopics())
    this.#changing = changed
    return changed
  }

  async #applyTopics(): Promise<readonly HubError[]> {
    const { config, context, link, at } = this.#options
    const topics = this.#topics
    const { exchange } = config
    const queues = exchange === undefined ? topics : topics.length === 0 ? [] : [ownQueue(config, context.instance)]
    const problems: HubError[] = []
    for (const [queue, feed] of this.#feeds) {
      if (queues.includes(queue)) continue
      this.#leave(queue, feed)
      await feed.retire()
    }
    try {
      if (exchange !== undefined && topics.length > 0) problems.push(...(await this.#bind(exchange, topics)))
      else if (exchange !== undefined && config.declare) await this.#bindOnly(exchange, [])
    } catch (error) {
      return [asHubError(error)]
    }
    for (const queue of queues) {
      if (this.#feeds.has(queue) || this.#stopped) continue
      try {
        if (await ensureQueue(link.model, at, queue, config))
          context.log.info('rabbitmq.created', `created the queue ${queue}`)
        await this.#open(queue, queues.length)
      } catch (error) {
        problems.push(queueProblem(error, at, queue))
      }
    }
    return problems
  }

  /** @returns what is wrong with single keys */
  async #bind(exchange: string, topics: readonly string[]): Promise<readonly HubError[]> {
    const { config, context, link, at } = this.#options
    this.#keys = new BindingKeys(config, topics)
    const { keys, problems } = this.#keys
    await ensureExchange(link.model, at, config)
    if (config.declare) {
      await ensureQueue(link.model, at, ownQueue(config, context.instance), config)
      await this.#bindOnly(exchange, keys)
    }
    return problems
  }

  async #bindOnly(exchange: string, keys: readonly string[]): Promise<void> {
    const { config, context, link, at } = this.#options
    await bindOnly(link.model, at, { queue: ownQueue(config, context.instance), exchange, keys }, context.state)
  }

  async #open(queue: string, queues: number): Promise<void> {
    const { kinds, readers, link, context, config, window, letters } = this.#options
    const { clock, unsettledMax } = context
    const kind = kinds.get(queue) ?? (await kindOf(link.model, queue))
    kinds.set(queue, kind)
    const feed: Feed = new Feed({
      queue,
      kind,
      handover: await this.#handover(queue, kind),
      openChannel: () => link.model.createChannel(),
      window,
      clock,
      letters,
      place: kind === 'stream' ? await StreamPlace.load(context.state, queue, config.streamOffset) : undefined,
      returnsMax: this.#returnsMax(kind),
      toEvent: this.#toEvent(queue),
      onEnd: (error) => this.#ended(queue, feed, error),
    })
    const share = Math.floor(unsettledMax / queues)
    try {
      await feed.start(Math.min(PREFETCH_MAX, Math.max(share, Math.min(AHEAD_MIN, unsettledMax))))
    } catch (error) {
      // It may be another kind of queue by now.
      kinds.delete(queue)
      throw error
    }
    this.#feeds.set(queue, feed)
    if (!readers.has(queue)) readers.set(queue, 'shared')
  }

  #handover(queue: string, kind: QueueKind): Promise<Handover | undefined> | undefined {
    const { config, link, context, readers } = this.#options
    if (kind !== 'quorum' || config.orderingKey === undefined) return undefined
    // Another consumer of a queue that was ours alone is ours from before, and where turns are taken it is that of the last
    // holder, which may hang: the broker notices within two heartbeats.
    const isLast = readers.get(queue) === 'alone' || context.leadership !== undefined
    const waitMs = SHARED_WAIT_MS + (isLast ? 2 * config.heartbeat : 0)
    return Handover.begin({ model: link.model, queue, clock: context.clock, waitMs, isReopened: readers.has(queue) })
  }

  #toEvent(queue: string): ConstructorParameters<typeof Feed>[0]['toEvent'] {
    const { config, context } = this.#options
    const { instance } = context
    const { orderingKey } = config
    const topicOf = config.exchange === undefined ? () => queue : (message: Message) => this.#keys.topicOf(message)
    let made = 0
    return ({ message, arrivedMs, retries }) =>
      toEvent(message, { instance, queue, orderingKey, receivedMs: arrivedMs, fallbackId: `${this.#nonce}-${(made += 1)}`, topicOf }, retries) // prettier-ignore
  }

  /** Beyond its limit a quorum queue drops a message that comes back, or sends it where its own configuration says. */
  #returnsMax(kind: QueueKind): number | undefined {
    const { config, link } = this.#options
    if (!config.requeue || kind !== 'quorum') return undefined
    const byDefault = (link.major ?? 0) >= LIMITED_SINCE ? DEFAULT_DELIVERY_LIMIT : Number.POSITIVE_INFINITY
    return config.deliveryLimit ?? byDefault
  }

  #leave(queue: string, feed: Feed): void {
    if (this.#feeds.get(queue) === feed) this.#feeds.delete(queue)
    this.#leaving = [...this.#leaving, feed].filter(({ isOver }) => !isOver)
  }

  #ended(queue: string, feed: Feed, error: Error | undefined): void {
    this.#leave(queue, feed)
    // A connection that ends closes its channels first, all in one go: then there is nothing to be said of a queue.
    setImmediate(() => {
      if (!this.#stopped) this.#interrupted(queue, error)
    })
  }

  #interrupted(queue: string, error: Error | undefined): void {
    const { interruptions, context, kinds } = this.#options
    interruptions.add(1, { kind: error === undefined ? 'cancelled' : 'channel' })
    const what = error === undefined ? 'the broker cancelled the consumer' : errorText(error)
    context.log.warn('rabbitmq.interrupted', `queue ${queue}: ${what}; it is opened again`, { topic: queue })
    kinds.delete(queue)
    this.#failures = 0
    this.#reopenLater()
  }

  #reopenLater(): void {
    if (this.#stopped || this.#reopening !== undefined) return
    this.#failures += 1
    this.#reopening = this.#options.context.clock.after(backoffMs(this.#failures, REOPEN), () => {
      this.#reopening = undefined
      void this.#change().then((problems) => this.#followUp(problems))
    })
  }

  /** Each problem is said once, and tried again until it is gone. */
  #followUp(problems: readonly HubError[]): void {
    if (this.#stopped) return
    report(this.#options.context, problems.filter(({ message }) => !this.#said.has(message))) // prettier-ignore
    this.#said = new Set(problems.map(({ message }) => message))
    if (problems.some(({ code }) => code !== 'HUB_TOPIC_INVALID')) this.#reopenLater()
    else this.#failures = 0
  }
}
