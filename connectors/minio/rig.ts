// What the tests of this connector share: a MinIO whose webhook targets post to an address that hubs and sources can be put
// behind, whatever ports they have, a plain client that makes things happen in buckets, and a source.

import { CreateBucketCommand, PutBucketNotificationConfigurationCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3' // prettier-ignore
import type { Event, QueueConfiguration } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach } from 'vitest'

import { Balancer } from '../../test/servers/balancer.ts'
import { noMinio, startMinio } from '../../test/servers/minio.ts'
import type { MinioOptions, MinioServer } from '../../test/servers/minio.ts'
import { pickPorts } from '../../test/servers/server.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'

export { MemoryState, ack, until } from '../../test/source-rig.ts'

export const TOKEN = 'a token of the test'.replaceAll(' ', '-')
const EVENTS: Event[] = ['s3:ObjectCreated:*', 's3:ObjectRemoved:*']

export interface StandOptions extends Omit<MinioOptions, 'targets'> {
  /** Each sends one event at a time. Default 1. */
  readonly targets?: number
  /** Hubs at the same time. Default 1. */
  readonly replicas?: number
  readonly queue?: boolean
  /** Between MinIO and the balancer. */
  readonly front?: (port: number) => Promise<{ readonly port: number }>
}

/** A running MinIO and what belongs to it. */
export class Stand implements AsyncDisposable {
  readonly minio: MinioServer
  readonly s3: S3Client
  /** Where replicas listen. */
  readonly ports: readonly number[]
  readonly #balancer: Balancer
  readonly #targets: readonly string[]

  private constructor(minio: MinioServer, balancer: Balancer, ports: readonly number[], targets: readonly string[]) {
    this.minio = minio
    this.#balancer = balancer
    this.ports = ports
    this.#targets = targets
    this.s3 = this.client()
  }

  static async open(options: StandOptions = {}): Promise<Stand> {
    const { targets = 1, replicas = 1, queue = true, front, ...rest } = options
    const ports = await pickPorts(replicas)
    const balancer = await Balancer.open(ports)
    const { port } = (await front?.(balancer.port)) ?? balancer
    const ids = Array.from({ length: targets }, (_, index) => `hub${index}`)
    const endpoint = `http://127.0.0.1:${port}/minio`
    try {
      const minio = await startMinio({
        ...rest,
        targets: ids.map((id) => ({ id, endpoint, token: TOKEN, queue })),
        environment: { MINIO_API_SYNC_EVENTS: 'on', ...rest.environment },
      })
      return new Stand(minio, balancer, ports, ids)
    } catch (error) {
      await balancer[Symbol.asyncDispose]()
      throw error
    }
  }

  /** One attempt for each request, so that a server that is gone is an error and no hang. */
  client(): S3Client {
    const { url, accessKey, secretKey } = this.minio
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    return new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials, maxAttempts: 1, requestHandler: { requestTimeout: 30_000, throwOnRequestTimeout: true } }) // prettier-ignore
  }

  /** ARN of a target. */
  arn(index = 0): string {
    return `arn:minio:sqs::${this.#targets[index] ?? ''}:webhook`
  }

  /** How a source reaches this MinIO, and is reached. */
  config(replica = 0): Readonly<Record<string, unknown>> {
    const { url, accessKey, secretKey } = this.minio
    return { url, accessKey, secretKey, token: TOKEN, listen: { host: '127.0.0.1', port: this.ports[replica] } }
  }

  async bucket(name: string): Promise<string> {
    await this.s3.send(new CreateBucketCommand({ Bucket: name }))
    return name
  }

  /** Sends what happens in the bucket to the targets, shared out by the beginnings of keys: `t0.`, `t1.`, … */
  async notify(bucket: string, events: readonly Event[] = EVENTS): Promise<void> {
    const QueueConfigurations = this.#targets.map((id, index): QueueConfiguration => ({
      Id: id,
      QueueArn: this.arn(index),
      Events: [...events],
      ...(this.#targets.length === 1
        ? {}
        : { Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: `t${index}.` }] } } }),
    }))
    await this.s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: bucket, NotificationConfiguration: { QueueConfigurations } })) // prettier-ignore
  }

  async put(bucket: string, key: string, body: string | Uint8Array = '-', tag?: string): Promise<void> {
    const Metadata = tag === undefined ? {} : { Metadata: { tag } }
    await this.s3.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...Metadata }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.s3.destroy()
    await this.minio[Symbol.asyncDispose]()
    await this.#balancer[Symbol.asyncDispose]()
  }
}

/** What `put` was given with the object that this notification is about. */
export function tagOfBody(body: Uint8Array | string): string | undefined {
  const { Records } = JSON.parse(Buffer.from(body).toString()) as NotificationOfPut
  return Records[0]?.s3.object.userMetadata?.['X-Amz-Meta-Tag']
}

interface NotificationOfPut {
  readonly Records: readonly { readonly s3: { readonly object: { readonly userMetadata?: Readonly<Record<string, string>> } } }[] // prettier-ignore
}

export function sourceAt(
  stand: Stand,
  config: Readonly<Record<string, unknown>> = {},
  options?: RigOptions,
): SourceRig {
  return new SourceRig(connector, { ...stand.config(), ...config }, options)
}

/** The keys of what has arrived, as functions get them in their headers. */
export function keysOf({ arrivals }: SourceRig): readonly (string | undefined)[] {
  return arrivals.map(({ message: { headers } }) => {
    const key = headers['X-Minio-Key']
    return headers['X-Minio-Key-Enc'] === 'b64' ? Buffer.from(key ?? '', 'base64').toString() : key
  })
}

let buckets = 0

export function bucketName(): string {
  return `bucket-${process.pid}-${(buckets += 1)}`
}

/** One server for a file of tests, which `open` is told of before the first one runs. */
export async function standForFile(options: StandOptions, open: (stand: Stand) => void): Promise<void> {
  const missing = await noMinio()
  let stand: Stand | undefined
  beforeAll(async () => {
    if (missing !== undefined) return
    stand = await Stand.open(options)
    open(stand)
  }, 120_000)
  afterAll(async () => await stand?.[Symbol.asyncDispose]())
  beforeEach((context) => context.skip(missing !== undefined, missing))
}
