// The envelope in which SNS puts what it sends to a queue, unless the subscription asks for raw delivery. Pure; called by
// event.ts.

import { isRecord, recordOf } from '../../src/sdk/index.ts'

/** SNS Developer Guide, "HTTP/HTTPS notification JSON format": the same document as for a queue. */
export interface Envelope {
  readonly message: string
  readonly messageId: string | undefined
  readonly topicArn: string
  readonly subject: string | undefined
  /** Unix milliseconds. */
  readonly timestampMs: number | undefined
  readonly contentType: string | undefined
  readonly attributes: readonly { readonly name: string; readonly type: string; readonly value: string | Uint8Array }[]
}

/** Undefined for anything else, such as a message of raw delivery, or a request to confirm a subscription. */
export function readEnvelope(body: string): Envelope | undefined {
  const parsed = parse(body)
  if (!isRecord(parsed)) return undefined
  const { Type: type, Message: message, TopicArn: topicArn, MessageId: id, Subject: subject, Timestamp: at } = parsed
  if (type !== 'Notification' || typeof message !== 'string' || typeof topicArn !== 'string') return undefined
  const attributes = attributesOf(parsed['MessageAttributes'])
  const contentType = attributes.find(({ name }) => name.toLowerCase() === 'content-type')?.value
  const timestampMs = typeof at === 'string' ? Date.parse(at) : Number.NaN
  return {
    message,
    topicArn,
    messageId: typeof id === 'string' ? id : undefined,
    subject: typeof subject === 'string' ? subject : undefined,
    timestampMs: Number.isNaN(timestampMs) ? undefined : timestampMs,
    contentType: typeof contentType === 'string' ? contentType : undefined,
    attributes,
  }
}

function attributesOf(value: unknown): Envelope['attributes'] {
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([name, attribute]) => {
    const { Type: type, Value: text } = recordOf(attribute)
    if (typeof type !== 'string' || typeof text !== 'string') return []
    return [{ name, type, value: type === 'Binary' ? Buffer.from(text, 'base64') : text }]
  })
}

function parse(text: string): unknown {
  // Most messages are no envelope, and an envelope is an object.
  if (!/^\s*\{/.test(text)) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
