// Dead letters in the dead-letter queue of a queue's redrive policy, sent by the hub itself: SQS would move the message only
// when it has been received too often, and would not say why. Owned by sqs-source.ts.

import { createHash } from 'node:crypto'

import { SendMessageCommand } from '@aws-sdk/client-sqs'
import type { Message, MessageAttributeValue, SQSClient } from '@aws-sdk/client-sqs'

import { HubError, LETTER_EVENT, errorText, letterHeaders } from '../../src/sdk/index.ts'
import type { DeadLetter, SourceLog } from '../../src/sdk/index.ts'
import { attributeHeaders } from './event.ts'
import { codeOf } from './problems.ts'
import type { Queue } from './queues.ts'

export interface LettersOptions {
  readonly log: Pick<SourceLog, 'warn'>
  /** For messages. */
  readonly at: string
  readonly client: () => SQSClient
}

type Attributes = Readonly<Record<string, MessageAttributeValue>>

/** Of one message, by SQS. */
const ATTRIBUTES_MAX = 10
/** Of ours when they are too many for attributes of their own, and of those of the message that gave way to it. */
export const PACKED = 'hub-letter'
export const OURS = /^hub-/

/** The value of `LETTER_EVENT`: what of the event cannot be read from body and attributes. */
export interface KeptEvent {
  /** But for those of the attributes that are kept. */
  readonly headers: Readonly<Record<string, string>>
  readonly timestampMs: number
  readonly attempt: number
  readonly contentType?: string
  readonly key?: string
}

export class Letters {
  readonly #options: LettersOptions

  constructor(options: LettersOptions) {
    this.#options = options
  }

  /** Resolves once the dead-letter queue has it. @throws HubError HUB_DEAD_LETTER_FAILED */
  async put(letter: DeadLetter, original: Message, queue: Queue): Promise<void> {
    const { log, at, client } = this.#options
    const { letters: target, topic } = queue
    if (target === undefined) return
    const send = (attributes: Attributes): Promise<unknown> =>
      client().send(
        new SendMessageCommand({
          QueueUrl: target.url,
          MessageBody: Buffer.from(letter.message.body).toString(),
          MessageAttributes: attributes,
          ...(target.name.endsWith('.fifo') ? orderOf(letter, original) : {}),
        }),
      )
    try {
      try {
        await send(letterAttributes(letter, original, topic))
      } catch (error) {
        if (!isTooLong(error)) throw error
        // It was as long as SQS allows before anything was added.
        log.warn('sqs.letter-bare', `${at}: queue ${target.name}: a dead letter is too long for the reason beside it`, { reason: letter.reason }) // prettier-ignore
        await send(keptAttributes(original))
      }
    } catch (error) {
      throw new HubError('HUB_DEAD_LETTER_FAILED', `${at}: queue ${target.name}: ${errorText(error)}`, {
        cause: error,
        canRetry: true,
        hint: `Allow sqs:SendMessage on ${target.name}, or set deadLetters: hub.`,
      })
    }
  }
}

/** Equal letters within five minutes are one, should the answer to the first have been lost. */
function orderOf(
  { message, function: name }: DeadLetter,
  { MessageId: id, Attributes: system }: Message,
): { readonly MessageGroupId: string; readonly MessageDeduplicationId: string } {
  const digest = createHash('sha256').update(`${id} ${message.id} ${message.attempt} ${name}`).digest('hex')
  return { MessageGroupId: system?.MessageGroupId ?? name, MessageDeduplicationId: digest }
}

/** Those of a letter, beside those of the message as far as there is room. */
export function letterAttributes(letter: DeadLetter, original: Message, topic: string): Attributes {
  const ours = { ...letterHeaders(letter), 'hub-queue': topic }
  const kept = keptAttributes(original)
  if (Object.keys(kept).length + Object.keys(ours).length + 1 <= ATTRIBUTES_MAX) {
    const all = { ...ours, [LETTER_EVENT]: JSON.stringify(keptEvent(letter, kept)) }
    return { ...kept, ...Object.fromEntries(Object.entries(all).map(([name, value]) => [name, attributeOf(value)])) }
  }
  const extra = Object.entries(kept).slice(ATTRIBUTES_MAX - 1)
  const fitting = Object.fromEntries(Object.entries(kept).slice(0, ATTRIBUTES_MAX - 1))
  const attributes = extra.length === 0 ? {} : { attributes: Object.fromEntries(extra.map(([name, value]) => [name, textOf(value)])) } // prettier-ignore
  const packed = { ...ours, [LETTER_EVENT]: keptEvent(letter, fitting), ...attributes }
  return { ...fitting, [PACKED]: attributeOf(JSON.stringify(packed)) }
}

function keptEvent({ message }: DeadLetter, kept: Attributes): KeptEvent {
  const { timestampMs, attempt, contentType, orderingKey } = message
  const known = attributeHeaders({ MessageAttributes: { ...kept } })
  return {
    headers: Object.fromEntries(Object.entries(message.headers).filter(([name, value]) => known[name] !== value)),
    timestampMs,
    attempt,
    ...(contentType === undefined ? {} : { contentType }),
    ...(orderingKey === undefined ? {} : { key: orderingKey }),
  }
}

/** A letter that was moved back and failed again says the latest only. */
function keptAttributes({ MessageAttributes: attributes = {} }: Message): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !OURS.test(name)))
}

function attributeOf(value: string | number): MessageAttributeValue {
  if (typeof value === 'number') return { DataType: 'Number', StringValue: String(value) }
  return { DataType: 'String', StringValue: writable(value) }
}

function textOf(value: MessageAttributeValue): string {
  if (value.BinaryValue !== undefined) return Buffer.from(value.BinaryValue).toString('base64')
  return value.StringValue ?? ''
}

/** Characters that XML 1.0 lacks, and SQS does not take. */
export const UNWRITABLE: RegExp = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u

/** SQS takes no empty values either. */
function writable(text: string): string {
  const allowed = text.toWellFormed().replaceAll(new RegExp(UNWRITABLE, 'gu'), '\uFFFD')
  return allowed === '' ? '-' : allowed
}

/** What SQS answers when a message and its attributes are longer than the queue allows. */
export function isTooLong(error: unknown): boolean {
  return /InvalidParameter|InvalidMessage|TooLong/.test(codeOf(error))
}
