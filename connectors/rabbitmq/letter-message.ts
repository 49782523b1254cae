// A message of a dead letter queue as the letter that it holds, whoever put it there. Pure; the other side of letters.ts.

import type { Message } from 'amqplib'

import { LETTER_EVENT, eventOfLetter } from '../../src/sdk/index.ts'
import type { DeadLetter } from '../../src/sdk/index.ts'
import { deathsOf, toEvent } from './event.ts'
import { LETTER_ID } from './letters.ts'

export interface LetterOrigin {
  readonly instance: string
  /** Where the letter is. */
  readonly queue: string
  readonly orderingKey: string | undefined
  /** Unix milliseconds; for a message that does not say when it was published. */
  readonly receivedMs: number
  /** With an exchange the topic is not the queue. */
  readonly topicOf: ((message: Message) => string) | undefined
}

/** Its function is empty where it was not a hub that put it there. What a header says that makes no sense counts as not said. */
export function letterOf(message: Message, at: LetterOrigin, position: number): DeadLetter {
  const headers = message.properties.headers ?? {}
  const name = textOf(headers['hub-function'])
  return name === undefined ? foreignLetter(message, at, position) : hubLetter(message, at, name)
}

function hubLetter(message: Message, at: LetterOrigin, name: string): DeadLetter {
  const headers = message.properties.headers ?? {}
  const queue = textOf(headers['hub-queue']) ?? at.queue
  const status = numberOf(headers['hub-status'])
  const event = originalOf(message, { ...at, queue, instance: textOf(headers['hub-connector']) ?? at.instance }, {
    exchange: textOf(headers['hub-exchange']) ?? '',
    routingKey: textOf(headers['hub-routing-key']) ?? queue,
    headers: Object.fromEntries(Object.entries(headers).filter(([key]) => !OWN.has(key))),
  }) // prettier-ignore
  const known = {
    ...event,
    id: textOf(headers['hub-event-id']) ?? event.id,
    topic: textOf(headers['hub-topic']) ?? event.topic,
    timestampMs: numberOf(headers['hub-timestamp']) ?? event.timestampMs,
  }
  return {
    message: eventOfLetter(headers[LETTER_EVENT], known.body, known) ?? known,
    function: name,
    reason: textOf(headers['hub-reason']) ?? '',
    ...(status === undefined ? {} : { status }),
    attempts: numberOf(headers['hub-attempts']) ?? 0,
    failedAtMs: timeOf(headers['hub-failed-at']) ?? at.receivedMs,
  }
}

/** The broker's own: expired, rejected, or delivered too often. Or whatever somebody put there. */
function foreignLetter(message: Message, at: LetterOrigin, position: number): DeadLetter {
  const { exchange, routingKey } = message.fields
  const headers = message.properties.headers ?? {}
  const [death] = deathsOf(message)
  const routing = Array.isArray(death?.['routing-keys']) ? textOf(death['routing-keys'][0]) : undefined
  const event = originalOf(message, { ...at, queue: textOf(death?.queue) ?? at.queue, fallbackId: `letter-${position}` }, {
    exchange: textOf(death?.exchange) ?? exchange,
    routingKey: routing ?? routingKey,
    headers,
  }) // prettier-ignore
  const reason = textOf(death?.reason)
  return {
    message: event,
    function: '',
    reason: reason === undefined ? 'not put there by a hub' : `dead-lettered by the broker: ${reason}`,
    attempts: 0,
    failedAtMs: event.timestampMs,
  }
}

function originalOf(
  message: Message,
  { instance, queue, orderingKey, receivedMs, topicOf, fallbackId = 'letter' }: LetterOrigin & { readonly fallbackId?: string },
  was: { readonly exchange: string; readonly routingKey: string; readonly headers: Readonly<Record<string, unknown>> },
): DeadLetter['message'] {
  const { exchange, routingKey, headers } = was
  const original: Message = {
    content: message.content,
    fields: { ...message.fields, exchange, routingKey, redelivered: false },
    properties: { ...message.properties, headers },
  }
  return toEvent(original, { instance, queue, orderingKey, receivedMs, fallbackId, topicOf: topicOf ?? (() => queue) }, 0)
} // prettier-ignore

const OWN = new Set([LETTER_ID, LETTER_EVENT, ...['function', 'reason', 'attempts', 'status', 'failed-at', 'connector', 'event-id', 'topic', 'timestamp', 'queue', 'exchange', 'routing-key'].map((name) => `hub-${name}`), 'x-delivery-count']) // prettier-ignore

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

function timeOf(value: unknown): number | undefined {
  const ms = Date.parse(textOf(value) ?? '')
  return Number.isNaN(ms) ? undefined : ms
}
