// A record as the hub's event. Pure.

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'
import type { Fetched } from './partition.ts'

/** What all records of one partition have in common. */
export interface EventOrigin {
  readonly instance: string
  readonly topic: string
  readonly partition: number
  readonly order: 'key' | 'partition' | 'none'
}

const NOTHING = new Uint8Array(0)
const CONTENT_TYPE = 'content-type'

/** @param tries invocations so far */
export function toEvent(record: Fetched, origin: EventOrigin, tries: number): EventMessage {
  const { instance, topic, partition, order } = origin
  const { offset, timestampMs, key, value, headers } = record
  const orderingKey = order === 'none' ? undefined : order === 'partition' ? `${topic}/${partition}` : keyOf(topic, key)
  const contentType = contentTypeOf(headers)
  return {
    id: `${instance}:${topic}/${partition}@${offset}`,
    source: instance,
    topic,
    body: value ?? NOTHING,
    headers: headersOf(record, partition),
    attempt: tries + 1,
    timestampMs,
    ...(orderingKey === undefined ? {} : { orderingKey }),
    ...(contentType === undefined ? {} : { contentType }),
  }
}

function keyOf(topic: string, key: Buffer | null): string | undefined {
  return key === null ? undefined : `${topic}/${key.toString('latin1')}`
}

function contentTypeOf(headers: Fetched['headers']): string | undefined {
  for (const [name, value] of headers) {
    if (name === null || value === null || name.length !== CONTENT_TYPE.length) continue
    if (name.toString().toLowerCase() !== CONTENT_TYPE) continue
    const text = value.toString()
    if (/^[\x21-\x7e][\x20-\x7e]*$/.test(text)) return text
  }
  return undefined
}

function headersOf({ offset, timestampMs, key, headers }: Fetched, partition: number): EventMessage['headers'] {
  const writer = new HeaderWriter('X-Kafka-')
    .own('X-Kafka-Partition', partition)
    .own('X-Kafka-Offset', offset.toString())
    .own('X-Kafka-Timestamp', timestampMs)
    .own('X-Kafka-Key', key ?? undefined)
  for (const [name, value] of headers) writer.broker(`X-Kafka-${name?.toString() ?? ''}`, value ?? NOTHING)
  return writer.build()
}
