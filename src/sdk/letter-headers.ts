// What is written beside a dead letter in a broker's place, so that a redrive finds it whatever the broker: by the connector
// that the event came through, and by the hub where the letters of one connector go to the broker of another.

import type { DeadLetter } from './delivery.ts'
import type { EventMessage } from './event.ts'
import { TOKEN } from './headers.ts'
import { isRecord, recordOf } from './is-record.ts'

/** Headers of one letter; numbers stay numbers where the broker has them. The connector adds where the event came from. */
export function letterHeaders({
  message,
  function: name,
  reason,
  status,
  attempts,
  failedAtMs,
}: DeadLetter): Readonly<Record<string, string | number>> {
  // prettier-ignore
  return {
    'hub-function': name,
    'hub-reason': reason,
    'hub-attempts': attempts,
    ...(status === undefined ? {} : { 'hub-status': status }),
    'hub-failed-at': new Date(failedAtMs).toISOString(),
    'hub-connector': message.source,
    'hub-event-id': message.id,
  }
}

/** The header of a letter that is kept by another broker than that of its event: the event but for its id, source and body. */
export const LETTER_EVENT = 'hub-event'
/** Before a body in base64, for brokers that keep text and nothing empty. */
const BASE64_MARK = 'base64,'

/** The value of `LETTER_EVENT`: ASCII, one line. */
export function letterEvent(message: EventMessage, encoding?: 'base64'): string {
  const { topic, headers, moreHeaders, attempt, contentType, orderingKey: key, path } = message
  const timestampMs = Math.round(message.timestampMs)
  const event = JSON.stringify({ topic, headers, moreHeaders, timestampMs, attempt, contentType, key, path, encoding })
  return event.replaceAll(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The body as text that is never empty; `letterEvent` has to say so. */
export function base64Body(body: Uint8Array): Uint8Array {
  return Buffer.from(BASE64_MARK + Buffer.from(body).toString('base64'))
}

/**
 * The event of a letter that another broker keeps; undefined where the value is not such a one. What makes no sense in it
 * counts as not said.
 * @param value of `LETTER_EVENT`, as text or parsed
 * @param known what the letter says beside it
 */
export function eventOfLetter(
  value: unknown,
  body: Uint8Array,
  known: Pick<EventMessage, 'id' | 'source' | 'timestampMs'>,
): EventMessage | undefined {
  const event = typeof value === 'string' ? parsed(value) : value
  if (!isRecord(event) || typeof event['topic'] !== 'string') return undefined
  const { topic, headers, moreHeaders, timestampMs, attempt, contentType, key, path, encoding } = event
  const more = Array.isArray(moreHeaders) ? moreHeaders.map(String) : []
  return {
    id: known.id,
    source: known.source,
    topic,
    body: encoding === 'base64' ? decoded(body) : body,
    headers: safeHeaders(headers),
    attempt: count(attempt) ?? 1,
    timestampMs: count(timestampMs) ?? known.timestampMs,
    ...(more.length > 0 && areHeaders(more) ? { moreHeaders: more } : {}),
    ...(typeof contentType === 'string' && isSafe(contentType) ? { contentType } : {}),
    ...(typeof key === 'string' ? { orderingKey: key } : {}),
    ...(typeof path === 'string' && /^[/?][\x21-\x7e]*$/.test(path) ? { path } : {}),
  }
}

/** Such as headers of HTTP may be; nobody has checked who wrote them. */
export function safeHeaders(value: unknown): Readonly<Record<string, string>> {
  const isHeader = (entry: [string, unknown]): entry is [string, string] =>
    TOKEN.test(entry[0]) && typeof entry[1] === 'string' && isSafe(entry[1])
  return Object.fromEntries(Object.entries(recordOf(value)).filter(isHeader))
}

/** Name, value, name, value. */
function areHeaders(flat: readonly string[]): boolean {
  return flat.length % 2 === 0 && flat.every((text, index) => (index % 2 === 0 ? TOKEN.test(text) : isSafe(text)))
}

function isSafe(value: string): boolean {
  return /^[\x20-\x7e\t]*$/.test(value)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function decoded(body: Uint8Array): Uint8Array {
  const text = Buffer.from(body).toString('latin1')
  return text.startsWith(BASE64_MARK) ? Buffer.from(text.slice(BASE64_MARK.length), 'base64') : body
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}
