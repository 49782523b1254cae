// The RabbitMQ source: one connection on which queues are read (subscriptions.ts), and a second one for dead letters
// (letters.ts). The supervisor connects anew when one of them is lost.

import { HubError, asHubError, errorText, within } from '../../src/sdk/index.ts'
import type { Delivery, ProbeReport, Source, SourceContext, SourceCounter, Subscription, TopicBacklog } from '../../src/sdk/index.ts' // prettier-ignore
import type { Readers } from './depths.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import type { QueueKind } from './feed.ts'
import { Letters } from './letters.ts'
import { probeTopics } from './probe.ts'
import { exchangeProblem } from './problems.ts'
import { Subscriptions, report } from './subscriptions.ts'
import { declareListed } from './topology.ts'
import { Window } from './window.ts'

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly link: Link
  readonly lettersLink: Link | undefined
  readonly window: Window
  readonly subscriptions: Subscriptions
}

/** For the broker to take what was settled last. */
const CLOSE_MS = 1500

export class RabbitSource implements Source {
  readonly #config: RabbitConfig
  readonly #context: SourceContext
  readonly #at: string
  readonly #interruptions: SourceCounter
  readonly #kinds = new Map<string, QueueKind>()
  readonly #readers: Readers = new Map()
  #connection: Connection | undefined
  #closed = false

  constructor(config: RabbitConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#at = addressOf(config)
    this.#interruptions = context.counter('rabbitmq_interruptions_total', 'Connections blocked, consumers cancelled and channels closed by the broker.', ['kind']) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#drop()
    const link = await this.#dial('', signal)
    let lettersLink: Link | undefined
    try {
      if (this.#config.deadLetterExchange !== undefined) lettersLink = await this.#dial(' dead letters', signal)
      const letters = await this.#lettersOn(lettersLink)
      await this.#declareAll(link)
      signal.throwIfAborted()
      if (this.#closed) throw this.#lostProblem('the source was closed while it connected')
      const window = new Window(this.#context.unsettledMax)
      const subscriptions = new Subscriptions({
        config: this.#config,
        context: this.#context,
        link,
        letters,
        window,
        interruptions: this.#interruptions,
        kinds: this.#kinds,
        readers: this.#readers,
        at: this.#at,
      })
      this.#watch({ link, lettersLink, window, subscriptions })
    } catch (error) {
      await Promise.all([link.close(), lettersLink?.close()])
      signal.throwIfAborted()
      throw asHubError(error, 'HUB_SOURCE_LOST', true)
    }
  }

  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const topics = [...new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))]
    await this.#live().subscriptions.want(topics)
    signal.throwIfAborted()
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { deliveries } = this.#live().window
    if (signal.aborted) deliveries.end()
    else signal.addEventListener('abort', () => deliveries.end(), { once: true })
    return deliveries
  }

  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const link = await this.#dial(' probe', signal)
    try {
      return await probeTopics(link, this.#config, this.#context.instance, this.#at, topics)
    } finally {
      await link.close()
    }
  }

  backlog(): readonly TopicBacklog[] {
    return this.#connection?.subscriptions.backlog() ?? []
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#drop()
  }

  #dial(what: string, signal: AbortSignal): Promise<Link> {
    const { clock, instance } = this.#context
    return dial(this.#config, `connector-hub ${instance}${what}`, clock, signal)
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
        report(this.#context, [asHubError(error)])
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

  #lost(connection: Connection, error: Error | undefined): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    const text = error === undefined ? 'the connection was closed' : errorText(error)
    connection.window.fail(this.#lostProblem(text, error))
    void this.#end(connection)
  }

  async #drop(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    if (connection === undefined) return
    connection.window.end()
    await this.#end(connection)
  }

  /** The channels first: what was settled on them is with the broker once it has answered. */
  async #end({ link, lettersLink, subscriptions }: Connection): Promise<void> {
    await within(this.#context.clock, CLOSE_MS, Promise.race([subscriptions.close(), link.ended]))
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
