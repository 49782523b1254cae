// A message of a queue as the hub's events: one, or one for each record of an S3 notification. Pure; called by held.ts.

import type { Message, MessageAttributeValue } from '@aws-sdk/client-sqs'

import { HeaderWriter, readS3Document } from '../../src/sdk/index.ts'
import type { EventMessage, S3Document, S3Record } from '../../src/sdk/index.ts'
import { readEnvelope } from './envelope.ts'
import type { Envelope } from './envelope.ts'

export interface Origin {
  readonly instance: string
  /** As the wiring knows it. */
  readonly topic: string
  readonly queueUrl: string
  readonly queueName: string
  /** Unix milliseconds. */
  readonly receivedMs: number
  readonly unwrap: 'none' | 'sns' | 's3'
}

export type Opened =
  | { readonly kind: 'events'; readonly events: readonly EventMessage[] }
  /** S3 sends one when a notification is set up. */
  | { readonly kind: 'test'; readonly bucket: string | undefined }

export function openMessage(message: Message, origin: Origin): Opened {
  const envelope = origin.unwrap === 'none' ? undefined : readEnvelope(message.Body ?? '')
  const document = origin.unwrap === 's3' ? readS3Document(envelope?.message ?? message.Body ?? '', 'escaped') : UNREAD
  if (document.kind === 'test') return document
  if (document.kind === 'records') return { kind: 'events', events: document.records.map((record) => recordEvent(message, origin, envelope, record)) } // prettier-ignore
  // With `s3`, an envelope around something else is nobody's business.
  return { kind: 'events', events: [wholeEvent(message, origin, origin.unwrap === 'sns' ? envelope : undefined)] }
}

const UNREAD: S3Document = { kind: 'unknown', reason: 'not asked for' }

function wholeEvent(message: Message, origin: Origin, envelope: Envelope | undefined): EventMessage {
  const contentType = contentTypeOf(envelope?.contentType ?? message.MessageAttributes?.['Content-Type']?.StringValue)
  return {
    ...common(message, origin),
    id: `${origin.instance}:${origin.queueName}:${message.MessageId}`,
    body: Buffer.from(envelope?.message ?? message.Body ?? ''),
    headers: headersOf(message, origin, envelope).build(),
    timestampMs: envelope?.timestampMs ?? sentMs(message) ?? origin.receivedMs,
    ...(contentType === undefined ? {} : { contentType }),
  }
}

function recordEvent(message: Message, origin: Origin, envelope: Envelope | undefined, record: S3Record): EventMessage {
  const headers = headersOf(message, origin, envelope)
    .own('X-S3-Event-Name', record.eventName)
    .own('X-S3-Bucket', record.bucket)
    .own('X-S3-Key', record.key)
    .own('X-S3-Size', record.size)
    .own('X-S3-Etag', record.eTag)
    .own('X-S3-Version-Id', record.versionId)
    .own('X-S3-Sequencer', record.sequencer)
  return {
    ...common(message, origin),
    // Of the record, so that it is the same when S3 sends it in another message, too.
    id: `${origin.instance}:${origin.queueName}:${record.id}`,
    body: record.body,
    headers: headers.build(),
    timestampMs: record.eventTimeMs ?? sentMs(message) ?? origin.receivedMs,
    contentType: 'application/json',
  }
}

function common(
  { Attributes: system }: Message,
  { instance, topic }: Origin,
): Pick<EventMessage, 'source' | 'topic' | 'attempt' | 'orderingKey'> {
  const group = system?.MessageGroupId
  return { source: instance, topic, attempt: receiveCount(system), ...(group === undefined ? {} : { orderingKey: group }) } // prettier-ignore
}

function headersOf(message: Message, { queueUrl }: Origin, envelope: Envelope | undefined): HeaderWriter {
  const system = message.Attributes
  const writer = new HeaderWriter('X-SQS-Attr-')
    .own('X-SQS-Message-ID', message.MessageId)
    .own('X-SQS-Queue-URL', queueUrl)
    .own('X-SQS-Receive-Count', receiveCount(system))
    .own('X-SQS-Sent-Timestamp', system?.SentTimestamp)
    .own('X-SQS-Group-ID', system?.MessageGroupId)
    .own('X-SQS-Sequence-Number', system?.SequenceNumber)
    .own('X-SQS-Deduplication-ID', system?.MessageDeduplicationId)
    .own('X-SQS-Trace-Header', system?.AWSTraceHeader)
  writeAttributes(writer, message)
  if (envelope !== undefined)
    writer
      .own('X-Sns-Message-Id', envelope.messageId)
      .own('X-Sns-Arn', envelope.topicArn)
      .own('X-Sns-Subject', envelope.subject)
  for (const { name, type, value } of envelope?.attributes ?? [])
    writer.broker(`X-Sns-Attr-${name}`, value).broker(`X-Sns-Attr-${name}-Type`, type)
  return writer
}

/** Those of the attributes alone. */
export function attributeHeaders(message: Pick<Message, 'MessageAttributes'>): Readonly<Record<string, string>> {
  return writeAttributes(new HeaderWriter('X-SQS-Attr-'), message).build()
}

function writeAttributes(
  writer: HeaderWriter,
  { MessageAttributes: all = {} }: Pick<Message, 'MessageAttributes'>,
): HeaderWriter {
  // prettier-ignore
  for (const [name, value] of Object.entries(all)) writer.broker(`X-SQS-Attr-${name}`, attributeValue(value))
  return writer
}

/** The deliveries so far, this one included. */
export function receiveCount(system: Message['Attributes']): number {
  const count = Number(system?.ApproximateReceiveCount)
  return Number.isSafeInteger(count) && count >= 1 ? count : 1
}

export function sentMs({ Attributes: system }: Message): number | undefined {
  const sent = Number(system?.SentTimestamp)
  return sent > 0 ? sent : undefined
}

/** Data types are String, Number and Binary, each perhaps with a label behind a dot. */
function attributeValue({ StringValue: text, BinaryValue: bytes }: MessageAttributeValue): string | Uint8Array {
  return bytes ?? text ?? ''
}

export function contentTypeOf(value: string | undefined): string | undefined {
  return value !== undefined && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value) ? value : undefined
}
