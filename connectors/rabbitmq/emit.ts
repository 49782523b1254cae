// Publishes test events, each confirmed and taken by a queue, in the order in which they were given. Called by tools.ts.

import { randomUUID } from 'node:crypto'

import type { Options } from 'amqplib'

import { HubError, asHubError, errorText, hasWildcard } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent, ToolContext } from '../../src/sdk/index.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import { ACCESS_REFUSED, NOT_FOUND, exchangeProblem, replyCode } from './problems.ts'
import { Publisher, Unroutable } from './publisher.ts'
import { checkExchange } from './topology.ts'

/** The broker routes by them (sender-selected distribution). */
const ROUTING_HEADERS = /^b?cc$/i
/** A short string (AMQP 0-9-1 §4.2.5.3). */
const NAME_BYTES_MAX = 255

export class RabbitEmitter implements Emitter {
  readonly inFlightMax = 1000
  readonly #config: RabbitConfig
  readonly #context: ToolContext
  readonly #link: Link
  readonly #publisher: Publisher
  readonly #at: string

  private constructor(config: RabbitConfig, context: ToolContext, link: Link) {
    this.#config = config
    this.#context = context
    this.#link = link
    this.#at = addressOf(config)
    this.#publisher = new Publisher({ model: link.model, clock: context.clock, confirmMs: config.connectTimeout, idOf: ({ messageId }) => messageId as unknown }) // prettier-ignore
  }

  /** @throws HubError; HUB_SOURCE_FORBIDDEN when the exchange is not there */
  static async open(config: RabbitConfig, context: ToolContext, signal: AbortSignal): Promise<RabbitEmitter> {
    const link = await dial(config, `connector-hub ${context.instance} emit`, context.clock, signal)
    try {
      if (config.exchange !== undefined) await checkExchange(link.model, config.exchange)
      return new RabbitEmitter(config, context, link)
    } catch (error) {
      await link.close()
      signal.throwIfAborted()
      throw asHubError(exchangeProblem(error, addressOf(config), config.exchange ?? ''))
    }
  }

  get place(): string {
    const { exchange } = this.#config
    return `${this.#link.server} at ${this.#at}${exchange === undefined ? '' : `, exchange ${exchange}`}`
  }

  /** The returned place ends with the message-id, as the id of the event does. */
  async emit(event: OutgoingEvent): Promise<string> {
    const { exchange = '' } = this.#config
    const { topic, body } = event
    const problem = usageProblem(event, this.#config)
    if (problem !== undefined) throw problem
    const id = randomUUID()
    try {
      await this.#publisher.publish(exchange, topic, body, this.#optionsOf(event, id), id)
      return `${exchange === '' ? '' : `${exchange}/`}${topic}:${id}`
    } catch (error) {
      throw this.#problem(error, topic)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#link.close()
  }

  #optionsOf({ headers, contentType, key }: OutgoingEvent, messageId: string): Options.Publish {
    const { orderingKey } = this.#config
    const inHeader = key !== undefined && orderingKey?.startsWith('header:') === true
    return {
      persistent: true,
      messageId,
      timestamp: Math.floor(this.#context.clock.now() / 1000),
      headers: { ...headers, ...(inHeader ? { [orderingKey.slice('header:'.length)]: key } : {}) },
      ...(contentType === undefined ? {} : { contentType }),
      ...(key !== undefined && orderingKey === 'correlation-id' ? { correlationId: key } : {}),
    }
  }

  #problem(error: unknown, topic: string): HubError {
    const { exchange } = this.#config
    const text = `${this.#at}: ${errorText(error)}`
    const create = `Create the queue: rabbitmqadmin declare queue name="${topic}" durable=true.`
    const bind = `Bind a queue to the exchange: rabbitmqadmin declare binding source="${exchange}" destination=<queue> routing_key="${topic}".`
    if (error instanceof Unroutable) return failed(exchange === undefined ? `${this.#at}: queue ${topic} does not exist` : text, error, exchange === undefined ? create : bind) // prettier-ignore
    const code = replyCode(error)
    if (code === ACCESS_REFUSED)
      return failed(text, error, `Grant it: rabbitmqctl set_permissions -p <vhost> <user> '' '^${exchange ?? 'amq\\.default'}$' '.*'.`) // prettier-ignore
    if (code === NOT_FOUND && exchange !== undefined) return failed(text, error, exchangeProblem(error, this.#at, exchange).hint) // prettier-ignore
    return new HubError('HUB_EMIT_FAILED', text, { cause: error, canRetry: code === undefined })
  }
}

function failed(text: string, cause: unknown, hint: string): HubError {
  return new HubError('HUB_EMIT_FAILED', text, { cause, hint })
}

/** What the broker cannot carry, or nothing would read. */
function usageProblem({ topic, key, headers }: OutgoingEvent, { exchange, orderingKey }: RabbitConfig): HubError | undefined {
  const usage = (text: string, hint: string): HubError => new HubError('HUB_USAGE', text, { hint })
  if (topic === '' && exchange === undefined) return usage('the topic is empty', 'Name a queue.')
  if (exchange !== undefined && hasWildcard('amqp', topic)) return usage(`${topic} has wildcards`, 'Publish with a routing key: without * and #.') // prettier-ignore
  if (Buffer.byteLength(topic) > NAME_BYTES_MAX) return usage(`a routing key has at most ${NAME_BYTES_MAX} bytes`, 'Use a shorter topic.') // prettier-ignore
  for (const name of Object.keys(headers)) {
    if (ROUTING_HEADERS.test(name)) return usage(`RabbitMQ routes by the header ${name}, which has to be a list`, 'Publish to each topic by itself.') // prettier-ignore
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) return usage(`the name of a header has at most ${NAME_BYTES_MAX} bytes`, 'Use a shorter name.') // prettier-ignore
  }
  if (key === undefined) return undefined
  if (orderingKey === undefined || orderingKey === 'queue') return usage('a key is read by nothing under this configuration', 'Set orderingKey to correlation-id or header:<name>, or leave out the key.') // prettier-ignore
  if (orderingKey === 'routing-key' && key !== topic) return usage('orderingKey is routing-key, and the routing key is the topic', 'Leave out the key, or set orderingKey to correlation-id or header:<name>.') // prettier-ignore
  if (orderingKey === 'correlation-id' && Buffer.byteLength(key) > NAME_BYTES_MAX) return usage(`a correlation-id has at most ${NAME_BYTES_MAX} bytes`, 'Use a shorter key.') // prettier-ignore
  return undefined
} // prettier-ignore
