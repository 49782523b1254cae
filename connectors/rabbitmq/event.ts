// A message of a queue as the hub's event. Pure; called by feed.ts.

import type { Message } from 'amqplib'

import { DATE_MAX_MS, HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

export interface Origin {
  readonly instance: string
  readonly queue: string
  /** `queue`, `routing-key`, `correlation-id` or `header:<name>`; undefined: unordered. */
  readonly orderingKey: string | undefined
  /** Unix milliseconds. */
  readonly receivedMs: number
  /** Names a message that the publisher gave no id and that is in no stream. */
  readonly fallbackId: string
  /** The topic that the wiring knows: the queue, or with an exchange the routing key. */
  topicOf(message: Message): string
}

/** @param retries how often this connection has handed it out before */
export function toEvent(message: Message, origin: Origin, retries: number): EventMessage {
  const { properties, content } = message
  const key = orderingKeyOf(message, origin)
  const contentType = textOf(properties.contentType)
  return {
    id: idOf(message, origin),
    source: origin.instance,
    topic: origin.topicOf(message),
    body: content,
    headers: headersOf(message),
    attempt: deliveriesOf(message, origin.queue) + retries,
    timestampMs: publishedMs(message) ?? origin.receivedMs,
    ...(key === undefined ? {} : { orderingKey: key }),
    ...(contentType !== undefined && /^[\x20-\x7e]+$/.test(contentType) ? { contentType } : {}),
  }
}

/** The position in its stream; undefined for a message of a queue. */
export function streamOffsetOf({ properties }: Message): bigint | undefined {
  const offset: unknown = properties.headers?.['x-stream-offset']
  return typeof offset === 'number' ? BigInt(offset) : undefined
}

export interface Death {
  readonly queue?: unknown
  readonly exchange?: unknown
  readonly reason?: unknown
  readonly count?: unknown
  readonly 'routing-keys'?: unknown
}

/** Why, where and how often it was dead-lettered, the latest first. Publishers can write this header, too. */
export function deathsOf({ properties }: Message): readonly Death[] {
  const deaths: unknown = properties.headers?.['x-death']
  return Array.isArray(deaths) ? deaths.filter((one) => typeof one === 'object' && one !== null) : []
}

/** The routing keys that it had at its earlier stations, for one that came back through a dead letter exchange. */
export function earlierRoutingKeys(message: Message): readonly string[] {
  return deathsOf(message).flatMap(({ 'routing-keys': keys }) =>
    Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
  )
}

/**
 * The broker's count of deliveries, this one included. A quorum queue counts; a classic queue only says that it is not the
 * first. What came back to this queue through a dead letter exchange goes on from the count of its deaths here.
 */
export function deliveriesOf(message: Message, queue: string): number {
  const counted: unknown = message.properties.headers?.['x-delivery-count']
  const returned = typeof counted === 'number' ? counted : message.fields.redelivered ? 1 : 0
  const died = deathsOf(message)
    // Expired and pushed out of a full queue: it died there without having been delivered.
    .filter((death) => death.queue === queue && death.reason !== 'expired' && death.reason !== 'maxlen')
    .reduce((sum, { count }) => sum + (typeof count === 'number' ? count : 1), 0)
  return 1 + returned + died
}

function idOf(message: Message, { instance, queue, fallbackId }: Origin): string {
  const offset = streamOffsetOf(message)
  if (offset !== undefined) return `${instance}:${queue}@${offset}`
  return `${instance}:${queue}:${textOf(message.properties.messageId) ?? fallbackId}`
}

function orderingKeyOf(message: Message, { orderingKey, queue }: Origin): string | undefined {
  if (orderingKey === undefined) return undefined
  if (orderingKey === 'queue') return queue
  if (orderingKey === 'routing-key') return message.fields.routingKey
  if (orderingKey === 'correlation-id') return textOf(message.properties.correlationId)
  const value: unknown = message.properties.headers?.[orderingKey.slice('header:'.length)]
  return value === undefined ? undefined : String(headerValue(value))
}

/** Unix milliseconds; undefined where the publisher says nothing of sense. Seconds by the specification; some write milliseconds. */
export function publishedMs({ properties: { timestamp } }: Message): number | undefined {
  if (typeof timestamp !== 'number' || !(timestamp > 0) || timestamp > DATE_MAX_MS) return undefined
  return timestamp > 100_000_000_000 ? timestamp : timestamp * 1000
}

/** RFC 9110 §8.4.1. AMQP publishers also write character sets there, which would make a function refuse the request. */
const CONTENT_CODING = /^(gzip|x-gzip|deflate|compress|x-compress|br|zstd|identity)(\s*,\s*(gzip|x-gzip|deflate|compress|x-compress|br|zstd|identity))*$/i // prettier-ignore

function headersOf({ fields, properties }: Message): EventMessage['headers'] {
  const encoding = textOf(properties.contentEncoding)
  const isCoding = encoding !== undefined && CONTENT_CODING.test(encoding)
  const writer = new HeaderWriter('X-Rabbitmq-')
    .own('X-Rabbitmq-Msg-Id', textOf(properties.messageId))
    .own('X-Rabbitmq-Routing-Key', fields.routingKey)
    .own('X-Rabbitmq-Exchange', fields.exchange)
    .own('X-Rabbitmq-Redelivered', fields.redelivered)
    .own('X-Rabbitmq-Correlation-Id', textOf(properties.correlationId))
    .own('X-Rabbitmq-Reply-To', textOf(properties.replyTo))
    .own('X-Rabbitmq-Type', textOf(properties.type))
    .own('X-Rabbitmq-App-Id', textOf(properties.appId))
    .own('X-Rabbitmq-User-Id', textOf(properties.userId))
    .own(isCoding ? 'Content-Encoding' : 'X-Rabbitmq-Content-Encoding', encoding)
  for (const [name, value] of Object.entries(properties.headers ?? {}))
    writer.broker(`X-Rabbitmq-${name}`, headerValue(value))
  return writer.build()
}

/** A property that the publisher left out is undefined, or an empty text. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Values of an AMQP field table (AMQP 0-9-1 §4.2.5.5) as text or bytes; what is nested as JSON, its bytes in base64. */
function headerValue(value: unknown): string | Uint8Array {
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  if (value === null || value === undefined) return ''
  const plain = plainValue(value)
  return typeof plain === 'string' ? plain : JSON.stringify(plain)
}

/** How deep tables are followed; the client reads them whatever their depth. */
const DEPTH_MAX = 16

function plainValue(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') // prettier-ignore
  if (depth >= DEPTH_MAX) return '…'
  if (Array.isArray(value)) return value.map((one) => plainValue(one, depth + 1))
  const { '!': kind, value: inner } = value as { readonly '!'?: unknown; readonly value?: unknown }
  if (kind === 'timestamp' && typeof inner === 'number') return dateText(inner)
  if (typeof kind === 'string' && inner !== undefined) return plainValue(inner, depth + 1)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainValue(one, depth + 1)]))
}

function dateText(seconds: number): string | number {
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime()) ? seconds : date.toISOString()
}
