// A message of a dead-letter queue as the dead letters that it holds: what letters.ts has put there, or what SQS itself has
// moved there. Takes whatever stands in it; pure. Called by letter-place.ts.

import type { Message } from '@aws-sdk/client-sqs'

import { LETTER_EVENT, eventOfLetter, recordOf, safeHeaders } from '../../src/sdk/index.ts'
import type { DeadLetter, EventMessage } from '../../src/sdk/index.ts'
import { attributeHeaders, contentTypeOf, openMessage, sentMs } from './event.ts'
import type { Origin } from './event.ts'
import { OURS, PACKED } from './letters.ts'
import { lastPart } from './queues.ts'

type Marks = Readonly<Record<string, unknown>>

/** @param origin of the dead-letter queue itself */
export function lettersOf(message: Message, origin: Origin): readonly DeadLetter[] {
  const marks = marksOf(message)
  const name = textOf(marks['hub-function'])
  return name === undefined ? foreignLetters(message, origin) : [hubLetter(name, marks, message, origin)]
}

function hubLetter(name: string, marks: Marks, message: Message, origin: Origin): DeadLetter {
  const status = numberOf(marks['hub-status'])
  const failedAtMs = Date.parse(textOf(marks['hub-failed-at']) ?? '')
  return {
    message: originalOf(marks, message, origin),
    function: name,
    reason: textOf(marks['hub-reason']) ?? 'no reason is told',
    attempts: numberOf(marks['hub-attempts']) ?? 0,
    failedAtMs: Number.isNaN(failedAtMs) ? (sentMs(message) ?? origin.receivedMs) : failedAtMs,
    ...(status === undefined ? {} : { status }),
  }
}

function originalOf(marks: Marks, message: Message, { instance, queueName, receivedMs }: Origin): EventMessage {
  const kept = Object.fromEntries(Object.entries(message.MessageAttributes ?? {}).filter(([name]) => !OURS.test(name)))
  const {
    headers,
    timestampMs,
    attempt,
    contentType = kept['Content-Type']?.StringValue,
    key,
  } = recordOf(marks[LETTER_EVENT])
  const type = contentTypeOf(textOf(contentType))
  const group = textOf(key) ?? message.Attributes?.MessageGroupId
  const known = {
    id: textOf(marks['hub-event-id']) ?? `${instance}:${queueName}:${message.MessageId}`,
    source: textOf(marks['hub-connector']) ?? instance,
    topic: textOf(marks['hub-queue']) ?? queueName,
    body: Buffer.from(message.Body ?? ''),
    headers: { ...attributeHeaders({ MessageAttributes: kept }), ...safeHeaders(headers) },
    attempt: numberOf(attempt) ?? 1,
    timestampMs: numberOf(timestampMs) ?? sentMs(message) ?? receivedMs,
    ...(type === undefined ? {} : { contentType: type }),
    ...(group === undefined ? {} : { orderingKey: group }),
  }
  return eventOfLetter(marks[LETTER_EVENT], known.body, known) ?? known
}

/** Without a function: whoever put it there. The source's queue, where SQS says which that was. */
function foreignLetters(message: Message, origin: Origin): readonly DeadLetter[] {
  const source = message.Attributes?.DeadLetterQueueSourceArn?.split(':').at(-1)
  const from = source === undefined ? origin : { ...origin, topic: source, queueName: source, queueUrl: siblingOf(origin.queueUrl, source) } // prettier-ignore
  const opened = openMessage(message, from)
  const { events } = opened.kind === 'events' ? opened : (openMessage(message, { ...from, unwrap: 'none' }) as { readonly events: readonly EventMessage[] }) // prettier-ignore
  const reason = source === undefined ? 'it was not put here by a hub' : `SQS moved it here: it was received more often than the redrive policy of ${source} allows` // prettier-ignore
  return events.map((event) => ({ message: event, function: '', reason, attempts: 0, failedAtMs: sentMs(message) ?? origin.receivedMs })) // prettier-ignore
}

/** A queue and its dead-letter queue are of one account and region. */
function siblingOf(url: string, name: string): string {
  return `${url.slice(0, -lastPart(url).length)}${name}`
}

/** Attributes of their own, or packed into one. */
function marksOf({ MessageAttributes: all = {} }: Message): Marks {
  const packed = recordOf(parse(all[PACKED]?.StringValue))
  const own = Object.entries(all).filter(([name]) => OURS.test(name) && name !== PACKED)
  const marks: Marks = { ...packed, ...Object.fromEntries(own.map(([name, { StringValue: text }]) => [name, text])) }
  const event = marks[LETTER_EVENT]
  return { ...marks, [LETTER_EVENT]: typeof event === 'string' ? parse(event) : event }
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as unknown)
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined
}
