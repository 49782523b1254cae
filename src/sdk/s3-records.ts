// Reads the notification documents of S3 and of MinIO: one value for each record. Knows no transport and no connector.
// Called by connectors that receive such documents, whole (MinIO) or inside their broker's messages (SQS).

import { isRecord } from './is-record.ts'
import { percentDecoded } from './percent.ts'

/** What one record of a document says (S3 User Guide, "Event message structure"). */
export interface S3Record {
  /** Equal whenever this record is sent again, different for every other one; without the name of a connector. */
  readonly id: string
  /** With the prefix that MinIO writes and AWS leaves out: `s3:ObjectCreated:Put`. */
  readonly eventName: string
  readonly bucket: string
  /** As the object is called, whatever way the document spelled it. */
  readonly key: string
  /** Bytes; undefined where the object is gone. */
  readonly size: number | undefined
  readonly eTag: string | undefined
  readonly versionId: string | undefined
  /** Hexadecimal. Of two records of one key, the greater one is the later one. */
  readonly sequencer: string | undefined
  /** Unix milliseconds; undefined where the document does not say. */
  readonly eventTimeMs: number | undefined
  /** A document with this record alone, as it came: `{"Records":[…]}`. What a function is invoked with. */
  readonly body: Uint8Array
}

export type S3Document =
  /** May be none: the keep-alives of MinIO's listen API are such. */
  | { readonly kind: 'records'; readonly records: readonly S3Record[] }
  /** AWS sends one when a notification is set up; it is about no object. */
  | { readonly kind: 'test'; readonly bucket: string | undefined }
  | { readonly kind: 'unknown'; readonly reason: string }

/** `escaped`: as in a URL's query, where `+` is a space (AWS, MinIO's targets). `plain`: as it is (MinIO's listen API). */
export type S3KeySpelling = 'escaped' | 'plain'

/** Never throws: what cannot be understood is `unknown`, with a reason that quotes nothing of it. */
export function readS3Document(document: Uint8Array | string, keys: S3KeySpelling): S3Document {
  const parsed = parse(document)
  if (!isRecord(parsed)) return unknown('it is not a JSON object')
  if (parsed['Event'] === 's3:TestEvent') return { kind: 'test', bucket: text(parsed['Bucket']) }
  // MinIO's keep-alive has `null` where the records are.
  const listed = parsed['Records'] === null ? [] : parsed['Records']
  if (!Array.isArray(listed)) return unknown('it has no Records')
  const records: S3Record[] = []
  for (const [index, item] of listed.entries()) {
    const record = readRecord(item, keys)
    if (typeof record === 'string') return unknown(`record ${index + 1} ${record}`)
    records.push(record)
  }
  return { kind: 'records', records }
}

const PREFIX = 's3:'

/** The record, or what is wrong with it. */
function readRecord(item: unknown, keys: S3KeySpelling): S3Record | string {
  const s3 = member(item, 's3')
  const name = text(member(item, 'eventName'))
  const bucket = text(member(member(s3, 'bucket'), 'name'))
  const object = member(s3, 'object')
  const spelled = text(member(object, 'key'))
  if (name === undefined || bucket === undefined || spelled === undefined) return 'lacks eventName, bucket or key'
  const key = keys === 'plain' ? spelled : percentDecoded(spelled.replaceAll('+', ' '))
  if (key === undefined) return 'has a key that is not escaped as in a URL'
  const eventName = name.startsWith(PREFIX) ? name : PREFIX + name
  const size = member(object, 'size')
  const versionId = text(member(object, 'versionId'))
  const sequencer = text(member(object, 'sequencer'))
  const eventTime = text(member(item, 'eventTime'))
  // Two reads of one object share everything else: MinIO makes the sequencer from the time of the last change.
  const request = text(member(member(item, 'responseElements'), 'x-amz-request-id')) ?? eventTime ?? ''
  const eventTimeMs = Date.parse(eventTime ?? '')
  return {
    // A space stands in none of the parts: with the key escaped, different parts cannot make the same id.
    id: [`${bucket}/${encodeURI(key.toWellFormed())}`, versionId ?? '-', sequencer ?? '-', eventName, request].join(
      ' ',
    ),
    eventName,
    bucket,
    key,
    size: typeof size === 'number' ? size : undefined,
    eTag: text(member(object, 'eTag')),
    versionId,
    sequencer,
    eventTimeMs: Number.isNaN(eventTimeMs) ? undefined : eventTimeMs,
    body: Buffer.from(JSON.stringify({ Records: [item] })),
  }
}

function parse(document: Uint8Array | string): unknown {
  try {
    return JSON.parse(typeof document === 'string' ? document : new TextDecoder().decode(document)) as unknown
  } catch {
    return undefined
  }
}

function member(value: unknown, name: string): unknown {
  return isRecord(value) ? value[name] : undefined
}

/** Empty where there is none: MinIO writes `"versionId":""` in places. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function unknown(reason: string): S3Document {
  return { kind: 'unknown', reason }
}
