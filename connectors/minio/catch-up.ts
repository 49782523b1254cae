// What changed in a bucket since a time, from its listing, as records like those that MinIO would have told. It cannot see
// what was removed without a trace, nor, without versioning, what was overwritten. Called by listen-source.ts.

import { GetBucketVersioningCommand, ListObjectVersionsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'

import { readS3Document } from '../../src/sdk/index.ts'
import type { S3Record } from '../../src/sdk/index.ts'
import type { MinioClient } from './client.ts'
import type { Change } from './marks.ts'
import type { Wish } from './wishes.ts'

export interface CatchUpOptions {
  readonly wish: Wish
  /** Changes at this time and later. Unix milliseconds. */
  readonly sinceMs: number
  readonly changesMax: number
  readonly scanMax: number
}

export interface CaughtUp {
  /** The oldest first. */
  readonly changes: readonly { readonly change: Change; readonly record: S3Record }[]
  readonly isVersioned: boolean
  /** Changes beyond `changesMax`. */
  readonly leftOut: number
  /** The bucket has more objects than were looked at. */
  readonly isCut: boolean
}

/** One line of a listing. */
interface Listed extends Change {
  readonly isMarker: boolean
  readonly size: number | undefined
  readonly eTag: string | undefined
}

interface Page {
  readonly listed: readonly Listed[]
  readonly isLast: boolean
}

/** @throws HubError HUB_SOURCE_* */
export async function changesSince(
  client: MinioClient,
  { wish, sinceMs, changesMax, scanMax }: CatchUpOptions,
  signal: AbortSignal,
): Promise<CaughtUp> {
  try {
    const versioning = await client.s3.send(new GetBucketVersioningCommand({ Bucket: wish.bucket }), {
      abortSignal: signal,
    })
    const isVersioned = versioning.Status !== undefined
    const pages = isVersioned ? versions(client, wish, signal) : objects(client, wish, signal)
    let found: Listed[] = []
    let scanned = 0
    let leftOut = 0
    let isCut = false
    for await (const { listed, isLast } of pages) {
      scanned += listed.length
      found.push(...listed.filter(({ key, changedMs }) => changedMs >= sinceMs && key.endsWith(wish.suffix)))
      if (found.length > 2 * changesMax || isLast || scanned >= scanMax) {
        found.sort((left, right) => left.changedMs - right.changedMs)
        leftOut += Math.max(0, found.length - changesMax)
        found = found.slice(0, changesMax)
      }
      isCut = !isLast && scanned >= scanMax
      if (isCut) break
    }
    return { changes: found.map((one) => ({ change: one, record: recordOf(wish.bucket, one) })), isVersioned, leftOut, isCut } // prettier-ignore
  } catch (error) {
    signal.throwIfAborted()
    throw client.problem(error, { bucket: wish.bucket, action: 's3:ListBucket, s3:ListBucketVersions and s3:GetBucketVersioning' }) // prettier-ignore
  }
}

async function* objects(
  client: MinioClient,
  { bucket, prefix }: Wish,
  signal: AbortSignal,
): AsyncGenerator<Page, void> {
  let token: string | undefined
  do {
    const page = await client.s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }), { abortSignal: signal }) // prettier-ignore
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined
    const listed = (page.Contents ?? []).map(({ Key = '', LastModified, Size, ETag }) => ({
      key: Key,
      versionId: undefined,
      changedMs: LastModified?.getTime() ?? 0,
      isMarker: false,
      size: Size,
      eTag: unquoted(ETag),
    }))
    yield { listed, isLast: token === undefined }
  } while (token !== undefined)
}

async function* versions(
  client: MinioClient,
  { bucket, prefix }: Wish,
  signal: AbortSignal,
): AsyncGenerator<Page, void> {
  let at: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | undefined = {}
  while (at !== undefined) {
    const page: Awaited<ReturnType<typeof list>> = await list(at)
    const { IsTruncated, NextKeyMarker, NextVersionIdMarker, Versions = [], DeleteMarkers = [] } = page
    at = IsTruncated === true && NextKeyMarker !== undefined ? { KeyMarker: NextKeyMarker, ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }) } : undefined // prettier-ignore
    const listed = [...Versions, ...DeleteMarkers.map((marker) => ({ ...marker, isMarker: true }))].map(
      (one): Listed => {
        const { Key = '', VersionId, LastModified } = one
        return {
          key: Key,
          versionId: VersionId === 'null' ? undefined : VersionId,
          changedMs: LastModified?.getTime() ?? 0,
          isMarker: 'isMarker' in one,
          size: 'Size' in one ? one.Size : undefined,
          eTag: 'ETag' in one ? unquoted(one.ETag) : undefined,
        }
      },
    )
    yield { listed, isLast: at === undefined }
  }

  function list(from: object) {
    return client.s3.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, ...from }), {
      abortSignal: signal,
    })
  }
}

/** In the form of those of MinIO; how an object was created a listing does not say. */
function recordOf(bucket: string, { key, versionId, changedMs, isMarker, size, eTag }: Listed): S3Record {
  const record = {
    eventVersion: '2.0',
    eventSource: 'minio:s3',
    eventTime: new Date(changedMs).toISOString(),
    eventName: isMarker ? 's3:ObjectRemoved:DeleteMarkerCreated' : 's3:ObjectCreated:Put',
    s3: {
      s3SchemaVersion: '1.0',
      bucket: { name: bucket, arn: `arn:aws:s3:::${bucket}` },
      object: { key, size, eTag, versionId, sequencer: (BigInt(changedMs) * 1_000_000n).toString(16).toUpperCase() },
    },
  }
  const read = readS3Document(JSON.stringify({ Records: [record] }), 'plain')
  const first = read.kind === 'records' ? read.records[0] : undefined
  if (first === undefined) throw new Error(`a listing of ${bucket} has an object without a key`)
  return first
}

function unquoted(eTag: string | undefined): string | undefined {
  return eTag?.replaceAll('"', '')
}
