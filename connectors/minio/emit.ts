// Test events of buckets: each is an object that is put. Called by tools.ts.

import { randomUUID } from 'node:crypto'

import { PutObjectCommand } from '@aws-sdk/client-s3'

import { HubError } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent } from '../../src/sdk/index.ts'
import { minioTopicProblem, partsOf } from './check.ts'
import { MinioClient } from './client.ts'
import type { MinioConfig } from './client.ts'
import { Wishes } from './wishes.ts'

interface Target {
  readonly bucket: string
  readonly key: string
}

/** What putting an object causes, by the events that stand for it. */
const CAUSED: readonly (string | undefined)[] = [undefined, 's3:ObjectCreated:Put', 's3:ObjectCreated:*']
/** Of S3: names and values together. */
const METADATA_BYTES_MAX = 2048
const KEY_BYTES_MAX = 1024
const METADATA_PREFIX = /^x-amz-meta-/i

/** @throws HubError HUB_USAGE without credentials; HUB_SOURCE_* */
export async function openEmitter(config: MinioConfig, signal: AbortSignal): Promise<Emitter> {
  if (config.accessKey === undefined) throw usage('an object can be put with credentials only', 'Set accessKey and secretKey.') // prettier-ignore
  const client = new MinioClient(config)
  try {
    await client.greet(signal)
  } catch (error) {
    await client.close()
    throw error
  }
  return {
    place: `MinIO at ${client.at}`,
    // Objects that are put at the same time are told in any order.
    inFlightMax: 1,
    emit: async (event) => await put(client, targetOf(event, config), event, signal),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

async function put(
  client: MinioClient,
  { bucket, key }: Target,
  { body, contentType, headers }: OutgoingEvent,
  signal: AbortSignal,
): Promise<string> {
  const command = new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    Body: body,
    Metadata: metadataOf(headers),
    ...(contentType === undefined ? {} : { ContentType: contentType }),
  })
  try {
    const { VersionId: version } = await client.s3.send(command, { abortSignal: signal })
    return `${bucket}/${key}${version === undefined ? '' : ` (version ${version})`}`
  } catch (error) {
    signal.throwIfAborted()
    const { code, message, hint, canRetry } = client.problem(error, { bucket, action: 's3:PutObject' })
    // Who asks, and over what, is the matter of the connection.
    const isOfConnection = code === 'HUB_SOURCE_AUTH' || code === 'HUB_SOURCE_TLS' || code === 'HUB_SOURCE_UNREACHABLE'
    throw new HubError(isOfConnection ? code : 'HUB_EMIT_FAILED', message, { cause: error, canRetry, hint: code === 'HUB_SOURCE_PROTOCOL' ? 'See what MinIO says of it.' : hint }) // prettier-ignore
  }
}

function targetOf({ topic, key }: OutgoingEvent, config: MinioConfig): Target {
  const problem = minioTopicProblem(topic)
  if (problem !== undefined)
    throw usage(`${topic}: ${problem}`, 'Write a bucket, or a bucket and s3:ObjectCreated:Put.')
  const [bucket, event] = partsOf(topic)
  if (!CAUSED.includes(event))
    throw usage(`putting an object causes s3:ObjectCreated:Put, and not ${event}`, `Emit to ${bucket}, and do the rest with mc: mc cp, mc rm, mc tag set, mc cat.`) // prettier-ignore
  const { prefix = '', suffix = '' } = new Wishes([bucket], config).byBucket.get(bucket) ?? {}
  if (key === undefined) return { bucket, key: `${prefix}connector-hub-emit-${randomUUID()}${suffix}` }
  if (key === '' || Buffer.byteLength(key) > KEY_BYTES_MAX) throw usage('the name of an object has 1 to 1024 bytes', 'Give another one with --key.') // prettier-ignore
  if (!key.startsWith(prefix) || !key.endsWith(suffix))
    throw usage(`the connector leaves out the object ${key}: it wants names that begin with "${prefix}" and end with "${suffix}"`, 'Give such a name with --key, or leave it out; see prefix, suffix and filters.') // prettier-ignore
  return { bucket, key }
}

/** Functions find it in the record, under `s3.object.userMetadata`. */
function metadataOf(headers: Readonly<Record<string, string>>): Record<string, string> {
  const metadata: Record<string, string> = {}
  let bytes = 0
  for (const [header, value] of Object.entries(headers)) {
    const name = header.replace(METADATA_PREFIX, '').toLowerCase()
    if (name === 'content-type') throw usage('the content type is no metadata', 'Set it with --content-type.')
    if (name === header.toLowerCase() && /^x-(?:minio|amz)-/.test(name)) throw usage(`${header} is made by MinIO or the hub`, 'Leave it out. X-Amz-Meta-<Name> sets metadata, and so does <Name> alone.') // prettier-ignore
    if (name in metadata)
      throw usage(`${header} is given twice`, 'Give each name once; names differ in more than case.')
    if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) || !/^[\x20-\x7e]*$/.test(value))
      throw usage(`${header} cannot be metadata of an object`, 'Use names of letters, digits and -, and values of printable ASCII.') // prettier-ignore
    metadata[name] = value
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  }
  if (bytes > METADATA_BYTES_MAX) throw usage(`metadata has ${METADATA_BYTES_MAX} bytes at most, and this has ${bytes}`, 'Put it into the body.') // prettier-ignore
  return metadata
}

function usage(message: string, hint: string): HubError {
  return new HubError('HUB_USAGE', message, { hint })
}
