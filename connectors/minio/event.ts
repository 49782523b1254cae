// A record of a notification as the hub's event. Pure.

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage, S3Record } from '../../src/sdk/index.ts'

/** The concrete topic of a record: `photos:s3:ObjectCreated:Put`. */
export function topicOf({ bucket, eventName }: Pick<S3Record, 'bucket' | 'eventName'>): string {
  return `${bucket}:${eventName}`
}

export interface Arrived {
  readonly instance: string
  readonly nowMs: number
  /** Found by a catch-up and not told by MinIO. */
  readonly caughtUp?: boolean
}

export function minioEvent(record: S3Record, { instance, nowMs, caughtUp = false }: Arrived): EventMessage {
  const { id, eventName, bucket, key, size, eTag, versionId, eventTimeMs, body } = record
  const headers = new HeaderWriter('X-Minio-')
    .own('X-Minio-Event-Name', eventName)
    .own('X-Minio-Bucket', bucket)
    .own('X-Minio-Key', key)
    .own('X-Minio-Size', size)
    .own('X-Minio-Etag', eTag)
    .own('X-Minio-Version-Id', versionId)
    .own('X-Minio-Caught-Up', caughtUp ? true : undefined)
    .build()
  return {
    id: `${instance}:${id}`,
    source: instance,
    topic: topicOf(record),
    body,
    contentType: 'application/json',
    headers,
    orderingKey: `${bucket}/${key}`,
    attempt: 1,
    timestampMs: eventTimeMs ?? nowMs,
  }
}

/**
 * The record of the listen API as MinIO posts it to a target: there the key is escaped as Go's `url.QueryEscape` does.
 * @param body with one record, as `minioEvent` has it
 */
export function bodyAsPosted(body: Uint8Array): Uint8Array {
  const { Records: [record] } = JSON.parse(Buffer.from(body).toString()) as OneRecord // prettier-ignore
  const { s3 } = record
  return Buffer.from(JSON.stringify({ Records: [{ ...record, s3: { ...s3, object: { ...s3.object, key: queryEscaped(s3.object.key) } } }] })) // prettier-ignore
}

interface OneRecord {
  readonly Records: readonly [{ readonly s3: { readonly object: { readonly key: string } } }]
}

function queryEscaped(key: string): string {
  const escape = (char: string): string => `%${char.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(key.toWellFormed())
    .replaceAll(/[!'()*]/g, escape)
    .replaceAll('%20', '+')
}
