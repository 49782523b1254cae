// Test events as messages of a queue. Called by tools.ts.

import { randomUUID } from 'node:crypto'

import { SendMessageCommand } from '@aws-sdk/client-sqs'
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'

import { HubError, asHubError, formatSize } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent } from '../../src/sdk/index.ts'
import type { Access } from './access.ts'
import { UNWRITABLE, isTooLong } from './letters.ts'
import { codeOf, isForbidden, queueProblem } from './problems.ts'
import { locateQueue, queueAttributes } from './queues.ts'
import type { Address } from './queues.ts'

interface Target extends Address {
  readonly bytesMax: number
}

/** Of one message, by SQS. */
const ATTRIBUTES_MAX = 10
const BYTES_MAX = 2 ** 20
const KEY = /^[\x21-\x7e]{1,128}$/
const NAME = /^(?!aws\.|amazon\.|\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)$/i
/** As the source names the attributes of a message in the headers of its event. */
const ATTRIBUTE_PREFIX = /^x-sqs-attr-/i
/** What the source reads the content type from. */
const CONTENT_TYPE = 'Content-Type'
const IN_FLIGHT_MAX = 10

/** Ends `access` with it. */
export function openEmitter(access: Access, signal: AbortSignal): Emitter {
  const targets = new Map<string, Promise<Target>>()
  const targetOf = (topic: string): Promise<Target> => {
    const known = targets.get(topic) ?? findTarget(topic, access, signal)
    targets.set(topic, known)
    return known
  }
  const lines = new Lines()
  return {
    place: access.at,
    // Those of one FIFO queue wait for each other here.
    inFlightMax: IN_FLIGHT_MAX,
    emit: async (event) => {
      const attributes = attributesOf(event)
      const text = textOf(event.body)
      // One after the other from here on: their order is that of the calls.
      return await lines.after(event.topic, async () => {
        const target = await targetOf(event.topic)
        checkKey(event.key, target)
        checkSize(text, attributes, target)
        return await send(target, event, text, attributes, access, signal)
      })
    },
    [Symbol.asyncDispose]: () => Promise.resolve(access[Symbol.dispose]()),
  }
}

async function findTarget(topic: string, { queues }: Access, signal: AbortSignal): Promise<Target> {
  const address = await locateQueue(topic, queues, signal)
  const known = await queueAttributes(address, ['MaximumMessageSize'], queues, signal).catch((error: unknown) => {
    if (asHubError(error).code !== 'HUB_SOURCE_FORBIDDEN' || !isForbidden(asHubError(error).cause)) throw error
    // Who may only send is told by SQS itself.
    return {}
  })
  const size = Number((known as { readonly MaximumMessageSize?: string }).MaximumMessageSize)
  return { ...address, bytesMax: size > 0 ? size : BYTES_MAX }
}

async function send(
  target: Target,
  { key }: OutgoingEvent,
  text: string,
  attributes: Readonly<Record<string, MessageAttributeValue>>,
  { clients, at }: Access,
  signal: AbortSignal,
): Promise<string> {
  const command = new SendMessageCommand({
    QueueUrl: target.url,
    MessageBody: text,
    ...(Object.keys(attributes).length === 0 ? {} : { MessageAttributes: attributes }),
    ...(key === undefined ? {} : { MessageGroupId: key }),
    // Also where SQS would make one of the content: the same event twice is two events.
    ...(target.isFifo ? { MessageDeduplicationId: randomUUID() } : {}),
  })
  try {
    const { MessageId: id = '', SequenceNumber: number } = await clients.work.send(command, { abortSignal: signal })
    return `${target.name}/${id}${number === undefined ? '' : `@${number}`}`
  } catch (error) {
    signal.throwIfAborted()
    throw sendProblem(error, target, at)
  }
}

function sendProblem(error: unknown, { name, topic, isFifo }: Target, at: string): HubError {
  if (isTooLong(error)) {
    const hint = isFifo ? 'See what SQS says of it.' : 'See what SQS says of it; leave out --key where the server has no groups in standard queues.' // prettier-ignore
    return new HubError('HUB_USAGE', `queue ${name}: ${codeOf(error)}: ${asHubError(error).message}`, { cause: error, hint }) // prettier-ignore
  }
  const problem = queueProblem(error, at, topic)
  const { message, canRetry } = problem
  const emitFailed = (hint: string): HubError => new HubError('HUB_EMIT_FAILED', message, { cause: error, canRetry, hint }) // prettier-ignore
  if (isForbidden(error)) return emitFailed(`Allow sqs:SendMessage on ${name}, and kms:GenerateDataKey and kms:Decrypt where it is encrypted.`) // prettier-ignore
  if (problem.code === 'HUB_SOURCE_THROTTLED') return emitFailed('Send less in a second, with --rate.')
  return problem
}

function textOf(body: Uint8Array): string {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (error) {
    throw usage('a message of SQS is text, and the body is not UTF-8', 'Encode it, for example as base64.', error)
  }
  if (text === '') throw usage('SQS takes no empty message', 'Give it a body with --data.')
  if (UNWRITABLE.test(text))
    throw usage('the body has control characters, which SQS does not take', 'Encode it, for example as base64.')
  return text
}

function attributesOf({ headers, contentType }: OutgoingEvent): Readonly<Record<string, MessageAttributeValue>> {
  const given = Object.entries(headers).map(([header, value]) => [attributeName(header), value] as const)
  const all = contentType === undefined ? given : [...given, [CONTENT_TYPE, contentType] as const]
  if (all.length > ATTRIBUTES_MAX)
    throw usage(`a message has ${ATTRIBUTES_MAX} attributes at most, and these are ${all.length}`, 'Give fewer headers; the content type is one, too.') // prettier-ignore
  const names = new Set(all.map(([name]) => name.toLowerCase()))
  if (names.size < all.length)
    throw usage('two headers are the same attribute of a message', 'Give each once; names differ in more than case.')
  for (const [name, value] of all)
    if (value === '' || UNWRITABLE.test(value))
      throw usage(`the value of the attribute ${name} is empty or has control characters, which SQS does not take`, 'Leave it out, or encode it.') // prettier-ignore
  return Object.fromEntries(all.map(([name, value]) => [name, { DataType: 'String', StringValue: value }]))
}

function attributeName(header: string): string {
  const name = header.replace(ATTRIBUTE_PREFIX, '')
  if (name.toLowerCase() === CONTENT_TYPE.toLowerCase())
    throw usage('the content type is no header of its own', 'Set it with --content-type.')
  if (name === header && /^x-(?:sqs|sns|s3)-/i.test(header))
    throw usage(`${header} is made by the hub from what SQS says of a message`, 'Leave it out. X-SQS-Attr-<Name> sets an attribute, and so does <Name> alone.') // prettier-ignore
  if (NAME.test(name)) return name
  throw usage(`${name} is no name of an attribute`, 'Use letters, digits, _, - and single dots, none at an end and no AWS. or Amazon. at the beginning.') // prettier-ignore
}

function checkKey(key: string | undefined, { name, isFifo }: Target): void {
  if (key === undefined) {
    if (!isFifo) return
    throw usage(`queue ${name} is a FIFO queue, and each of its messages has a group`, 'Set it with --key.')
  }
  if (!KEY.test(key)) throw usage(`${JSON.stringify(key)} is no message group`, 'Use up to 128 letters, digits and punctuation, without spaces.') // prettier-ignore
}

function checkSize(
  text: string,
  attributes: Readonly<Record<string, MessageAttributeValue>>,
  { name, bytesMax }: Target,
): void {
  let bytes = Buffer.byteLength(text)
  for (const [key, { DataType: type = '', StringValue: value = '' }] of Object.entries(attributes))
    bytes += Buffer.byteLength(key) + Buffer.byteLength(type) + Buffer.byteLength(value)
  if (bytes > bytesMax)
    throw usage(`queue ${name} takes messages of ${formatSize(bytesMax)}, attributes included, and this one has ${bytes} bytes`, 'Send less, or raise MaximumMessageSize of the queue (1 MiB at most).') // prettier-ignore
}

function usage(message: string, hint: string, cause?: unknown): HubError {
  return new HubError('HUB_USAGE', message, { hint, cause })
}

/** Calls for one FIFO queue wait for each other; after one that failed those that waited fail, too. */
class Lines {
  readonly #last = new Map<string, Promise<string>>()

  after(topic: string, call: () => Promise<string>): Promise<string> {
    if (!topic.endsWith('.fifo')) return call()
    const mine = (this.#last.get(topic) ?? Promise.resolve()).then(call)
    this.#last.set(topic, mine)
    const done = (): void => {
      if (this.#last.get(topic) === mine) this.#last.delete(topic)
    }
    void mine.catch(() => undefined).finally(done)
    return mine
  }
}
