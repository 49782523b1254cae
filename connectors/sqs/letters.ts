// Dead letters in the dead-letter queue of a queue's redrive policy, sent by the hub itself: SQS would move the message only
// when it has been received too often, and would not say why. Owned by sqs-source.ts.

import { createHash } from 'node:crypto'

import { SendMessageCommand } from '@aws-sdk/client-sqs'
import type { Message, MessageAttributeValue, SQSClient } from '@aws-sdk/client-sqs'

import { HubError, errorText, letterHeaders } from '../../src/sdk/index.ts'
import type { DeadLetter, SourceLog } from '../../src/sdk/index.ts'
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
const PACKED = 'hub-letter'
const OURS = /^hub-/

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
  const names = Object.keys(kept)
  if (names.length + Object.keys(ours).length <= ATTRIBUTES_MAX)
    return { ...kept, ...Object.fromEntries(Object.entries(ours).map(([name, value]) => [name, attributeOf(value)])) }
  const extra = Object.fromEntries(names.slice(ATTRIBUTES_MAX - 1).map((name) => [name, textOf(kept[name])]))
  const packed = { ...ours, ...(Object.keys(extra).length === 0 ? {} : { attributes: extra }) }
  const fitting = Object.fromEntries(Object.entries(kept).slice(0, ATTRIBUTES_MAX - 1))
  return { ...fitting, [PACKED]: attributeOf(JSON.stringify(packed)) }
}

/** A letter that was moved back and failed again says the latest only. */
function keptAttributes({ MessageAttributes: attributes = {} }: Message): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !OURS.test(name)))
}

function attributeOf(value: string | number): MessageAttributeValue {
  if (typeof value === 'number') return { DataType: 'Number', StringValue: String(value) }
  return { DataType: 'String', StringValue: writable(value) }
}

function textOf(value: MessageAttributeValue | undefined): string {
  if (value?.BinaryValue !== undefined) return Buffer.from(value.BinaryValue).toString('base64')
  return value?.StringValue ?? ''
}

/** SQS takes no empty values, and no characters that XML 1.0 lacks. */
function writable(text: string): string {
  const allowed = text.toWellFormed().replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
  return allowed === '' ? '-' : allowed
}

/** What SQS answers when a message and its attributes are longer than the queue allows. */
function isTooLong(error: unknown): boolean {
  return /InvalidParameter|InvalidMessage|TooLong/.test(codeOf(error))
}
