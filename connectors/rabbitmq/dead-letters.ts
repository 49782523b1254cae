// The dead letters in queues that a person names: got, and acknowledged where they are removed; the others go back to their
// places when the channel is closed. Called by tools.ts.

import type { Channel, GetMessage } from 'amqplib'

import { HubError, asHubError } from '../../src/sdk/index.ts'
import type { HeldLetter, LetterBox, LetterPlaces, ToolContext } from '../../src/sdk/index.ts'
import { BindingKeys } from './binding-keys.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import type { QueueKind } from './feed.ts'
import { letterOf } from './letter-message.ts'
import type { LetterOrigin } from './letter-message.ts'
import { LETTER_ID } from './letters.ts'
import { channelProblem, queueProblem } from './problems.ts'
import { countsOf, kindOf } from './topology.ts'

interface Shelf {
  readonly queue: string
  readonly kind: QueueKind
  /** Letters when it began. */
  readonly count: number
}

/** Letters that stay and are kept from others while they are read. */
const HELD_MAX = 50_000

export class RabbitLetterBox implements LetterBox {
  readonly removal = undefined
  readonly #config: RabbitConfig
  readonly #context: ToolContext
  readonly #link: Link
  readonly #at: string
  readonly #topics: readonly string[]
  #shelves: readonly Shelf[] = []
  readonly #channels: Channel[] = []
  #held = 0

  private constructor(config: RabbitConfig, context: ToolContext, link: Link, topics: readonly string[]) {
    this.#config = config
    this.#context = context
    this.#link = link
    this.#topics = topics
    this.#at = addressOf(config)
  }

  /** @throws HubError; HUB_USAGE when no queue is named, or one that nothing can be removed from */
  static async open(
    config: RabbitConfig,
    context: ToolContext,
    { places, topics }: LetterPlaces,
    signal: AbortSignal,
  ): Promise<RabbitLetterBox> {
    if (places.length === 0) throw unnamed(config)
    const link = await dial(config, `connector-hub ${context.instance} dead letters`, context.clock, signal)
    const box = new RabbitLetterBox(config, context, link, topics)
    try {
      box.#shelves = await Promise.all([...new Set(places)].map((queue) => box.#shelf(queue)))
      return box
    } catch (error) {
      await link.close()
      signal.throwIfAborted()
      throw asHubError(error, 'HUB_SOURCE_LOST', true)
    }
  }

  get place(): string {
    return `queue${this.#shelves.length > 1 ? 's' : ''} ${this.#shelves.map(({ queue }) => queue).join(', ')} at ${this.#at}`
  }

  get caution(): string {
    const quorum = this.#shelves.filter(({ kind }) => kind !== 'classic').map(({ queue }) => queue)
    const kept =
      'While they are read the letters are kept from other consumers; those that stay go back to their places'
    if (quorum.length === 0) return `${kept} and are marked as redelivered.`
    return `${kept}, marked as redelivered and, in ${quorum.join(', ')}, with a delivery count that is one higher: beyond a delivery limit of the queue the broker drops them.` // prettier-ignore
  }

  async *letters(signal: AbortSignal): AsyncIterable<HeldLetter> {
    for (const { queue, count } of this.#shelves) {
      const channel = await this.#open()
      const at = this.#origin(queue)
      for (let position = 0; position < count; position++) {
        signal.throwIfAborted()
        if (this.#held >= HELD_MAX) {
          this.#context.log.warn('rabbitmq.letters-held', `${HELD_MAX} letters that stay are read, the most that are kept from others at once; remove some of them, and read again`) // prettier-ignore
          return
        }
        const message = await this.#get(channel, queue)
        if (message === false) break
        this.#held += 1
        yield this.#heldLetter(channel, message, at, position)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const givenBack = Promise.all(this.#channels.map((channel) => channel.close().catch(() => undefined)))
    // A connection that ends meanwhile leaves the client's promises open for ever.
    await Promise.race([givenBack, this.#link.ended])
    await this.#link.close()
  }

  async #shelf(queue: string): Promise<Shelf> {
    try {
      const { messages: count } = await countsOf(this.#link.model, queue)
      const kind = await kindOf(this.#link.model, queue)
      if (kind === 'stream') throw new HubError('HUB_USAGE', `${this.#at}: ${queue} is a stream, of which nothing can be removed`, { hint: 'Bind a classic or quorum queue to the dead letter exchange, and name that.' }) // prettier-ignore
      return { queue, kind, count }
    } catch (error) {
      throw queueProblem(error, this.#at, queue)
    }
  }

  #origin(queue: string): LetterOrigin {
    const { instance, clock } = this.#context
    const { exchange, orderingKey } = this.#config
    const topicOf = exchange === undefined ? undefined : new BindingKeys(this.#config, this.#topics).topicOf
    return { instance, queue, orderingKey, receivedMs: clock.now(), topicOf }
  }

  async #open(): Promise<Channel> {
    const channel = await this.#link.model.createChannel()
    // What was asked rejects with it.
    channel.on('error', () => undefined)
    this.#channels.push(channel)
    return channel
  }

  async #get(channel: Channel, queue: string): Promise<GetMessage | false> {
    try {
      return await channel.get(queue)
    } catch (error) {
      throw queueProblem(error, this.#at, queue)
    }
  }

  #heldLetter(channel: Channel, message: GetMessage, at: LetterOrigin, position: number): HeldLetter {
    const { queue } = at
    const { messageId, headers } = message.properties
    const name: unknown = headers?.[LETTER_ID] ?? messageId
    let removed: Promise<void> | undefined
    return {
      id: `${queue}:${typeof name === 'string' && name !== '' ? name : position}`,
      letter: letterOf(message, at, position),
      remove: () => (removed ??= this.#remove(channel, queue, message)),
    }
  }

  /** AMQP does not confirm acknowledgements: what the channel answers next says that this one has arrived. */
  async #remove(channel: Channel, queue: string, message: GetMessage): Promise<void> {
    try {
      channel.ack(message)
      await channel.checkQueue(queue)
      this.#held -= 1
    } catch (error) {
      throw channelProblem(error, `${this.#at}: queue ${queue}`)
    }
  }
}

/** AMQP cannot list bindings. */
function unnamed({ deadLetterExchange: exchange }: RabbitConfig): HubError {
  return new HubError('HUB_USAGE', `the dead letters are published to the exchange ${exchange}, and AMQP does not tell which queues are bound to it`, {
    hint: `Name the queue: --place <queue>. Those that are bound: rabbitmqctl list_bindings source_name destination_name | grep '^${exchange}'.`,
  }) // prettier-ignore
}
