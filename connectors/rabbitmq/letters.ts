// Dead letters at the broker: published to an exchange on a connection of their own, since a broker that is short of memory
// stops reading from whoever publishes, and acknowledgements must not wait behind that. Owned by rabbit-source.ts.

import { randomUUID } from 'node:crypto'

import type { ConfirmChannel, ConsumeMessage, Options } from 'amqplib'

import { HubError, errorText, letterHeaders } from '../../src/sdk/index.ts'
import type { Clock, DeadLetter } from '../../src/sdk/index.ts'
import type { Link } from './dial.ts'

export interface LettersOptions {
  readonly link: Link
  readonly exchange: string
  /** For messages. */
  readonly at: string
  readonly clock: Clock
  /** How long the broker may take to confirm. Milliseconds. */
  readonly confirmMs: number
}

/** Names the letter to `basic.return`, which comes before its confirmation. */
const LETTER_ID = 'hub-letter-id'

export class Letters {
  readonly #options: LettersOptions
  readonly #returned = new Set<string>()
  #channel: Promise<ConfirmChannel> | undefined
  #blocked: string | undefined

  constructor(options: LettersOptions) {
    this.#options = options
    const { model } = options.link
    model.on('blocked', (reason) => (this.#blocked = reason))
    model.on('unblocked', () => (this.#blocked = undefined))
  }

  /** Resolves when the exchange is there. @throws what the broker answers */
  async check(): Promise<void> {
    const channel = await this.#options.link.model.createChannel()
    // The check itself rejects with it.
    channel.on('error', () => undefined)
    await channel.checkExchange(this.#options.exchange)
    // Not awaited: a connection that ends meanwhile leaves the client's promise open for ever.
    void channel.close().catch(() => undefined)
  }

  /** Resolves once the broker has the letter in a queue. @throws HubError HUB_DEAD_LETTER_FAILED */
  async publish(letter: DeadLetter, original: ConsumeMessage, queue: string): Promise<void> {
    const { exchange, at } = this.#options
    try {
      // What is written meanwhile would pile up in memory.
      if (this.#blocked !== undefined) throw new Error(`the broker takes no messages: ${this.#blocked}`)
      const channel = await (this.#channel ??= this.#open())
      await this.#confirmed(channel, queue, original, letter)
    } catch (error) {
      throw new HubError('HUB_DEAD_LETTER_FAILED', `${at}: exchange ${exchange}: ${errorText(error)}`, {
        cause: error,
        canRetry: true,
        hint: `Bind a queue to the exchange: rabbitmqadmin declare binding source="${exchange}" destination=<queue> routing_key="${queue}".`,
      })
    }
  }

  async #open(): Promise<ConfirmChannel> {
    try {
      const channel = await this.#options.link.model.createConfirmChannel()
      // Publishing to an exchange that was deleted closes the channel; the unconfirmed letter says why.
      channel.on('error', () => undefined)
      channel.on('close', () => (this.#channel = undefined))
      channel.on('return', ({ properties }) => void this.#returned.add(String(properties.headers?.[LETTER_ID])))
      return channel
    } catch (error) {
      this.#channel = undefined
      throw error
    }
  }

  async #confirmed(channel: ConfirmChannel, key: string, original: ConsumeMessage, letter: DeadLetter): Promise<void> {
    const { exchange, clock, confirmMs } = this.#options
    const id = randomUUID()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const late = clock.after(confirmMs, () => reject(new Error(`not confirmed within ${confirmMs} ms`)))
    channel.publish(exchange, key, original.content, propertiesOf(letter, original, key, id), (error: unknown) => {
      const wasReturned = this.#returned.delete(id)
      if (error !== null && error !== undefined) reject(error)
      else if (wasReturned) reject(new Error(`no queue is bound for the routing key ${key}`))
      else resolve()
    })
    try {
      await promise
    } finally {
      late.cancel()
    }
  }
}

/** Headers that would send the letter elsewhere, and those of the broker that say something about the original only. */
const NOT_PASSED_ON = new Set(['CC', 'BCC', 'x-delivery-count', 'x-stream-offset'])

/** The properties of the original but for those that the broker would act on: its expiration, and a user that is not ours. */
function propertiesOf(letter: DeadLetter, original: ConsumeMessage, queue: string, id: string): Options.Publish {
  const { fields, properties } = original
  const { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, priority } =
    properties
  const kept = { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, priority }
  const headers = Object.entries(properties.headers ?? {}).filter(([name]) => !NOT_PASSED_ON.has(name))
  return {
    ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)),
    persistent: true,
    mandatory: true,
    headers: {
      ...Object.fromEntries(headers),
      [LETTER_ID]: id,
      ...letterHeaders(letter),
      'hub-queue': queue,
      'hub-exchange': fields.exchange,
      'hub-routing-key': fields.routingKey,
    },
  }
}
