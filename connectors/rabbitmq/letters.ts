// Dead letters at the broker: published to an exchange on a connection of their own, since a broker that is short of memory
// stops reading from whoever publishes, and acknowledgements must not wait behind that. Owned by rabbit-source.ts.

import { randomUUID } from 'node:crypto'

import type { Message, Options } from 'amqplib'

import { HubError, errorText, isRecord, letterHeaders } from '../../src/sdk/index.ts'
import type { Clock, DeadLetter } from '../../src/sdk/index.ts'
import type { Link } from './dial.ts'
import { Publisher } from './publisher.ts'
import { checkExchange } from './topology.ts'

export interface LettersOptions {
  readonly link: Link
  readonly exchange: string
  /** For messages. */
  readonly at: string
  readonly clock: Clock
  /** How long the broker may take to confirm. Milliseconds. */
  readonly confirmMs: number
}

/** Names the letter to `basic.return`, and to whoever reads the letters. */
export const LETTER_ID = 'hub-letter-id'

export class Letters {
  readonly #options: LettersOptions
  readonly #publisher: Publisher

  constructor(options: LettersOptions) {
    this.#options = options
    const { link, clock, confirmMs } = options
    this.#publisher = new Publisher({ model: link.model, clock, confirmMs, idOf: ({ headers }) => headers?.[LETTER_ID] as unknown }) // prettier-ignore
  }

  /** Resolves when the exchange is there. @throws what the broker answers */
  async check(): Promise<void> {
    await checkExchange(this.#options.link.model, this.#options.exchange)
  }

  /** Resolves once the broker has the letter in a queue. @throws HubError HUB_DEAD_LETTER_FAILED */
  async publish(letter: DeadLetter, original: Message, queue: string): Promise<void> {
    const { exchange, at } = this.#options
    try {
      const id = randomUUID()
      await this.#publisher.publish(exchange, queue, original.content, propertiesOf(letter, original, queue, id), id)
    } catch (error) {
      throw new HubError('HUB_DEAD_LETTER_FAILED', `${at}: exchange ${exchange}: ${errorText(error)}`, {
        cause: error,
        canRetry: true,
        hint: `Bind a queue to the exchange: rabbitmqadmin declare binding source="${exchange}" destination=<queue> routing_key="${queue}".`,
      })
    }
  }
}

const INT64_MIN = -(2 ** 63)
/** Headers that would send the letter elsewhere, and those of the broker that say something about the original only. */
const NOT_PASSED_ON = new Set(['CC', 'BCC', 'x-delivery-count', 'x-stream-offset'])

/** The properties of the original but for those that the broker would act on: its expiration, and a user that is not ours. */
function propertiesOf(letter: DeadLetter, original: Message, queue: string, id: string): Options.Publish {
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
      ...Object.fromEntries(headers.map(([name, value]) => [name, writable(value)])),
      [LETTER_ID]: id,
      ...letterHeaders(letter),
      'hub-topic': letter.message.topic,
      'hub-timestamp': letter.message.timestampMs,
      'hub-queue': queue,
      'hub-exchange': fields.exchange,
      'hub-routing-key': fields.routingKey,
    },
  }
}

/** A value of a header as the client reads it, for the client to write: it takes some doubles for integers, and fails. */
function writable(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) && value >= INT64_MIN ? value : { '!': 'double', value }
  if (Array.isArray(value)) return value.map(writable)
  if (!isRecord(value) || value instanceof Uint8Array || typeof value['!'] === 'string') return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, writable(one)]))
}
