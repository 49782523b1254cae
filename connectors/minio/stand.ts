// What the tests of this connector share: a MinIO whose webhook targets post to an address that hubs and sources can be put
// behind, whatever ports they have, and a plain client that makes things happen in buckets.

import { createServer, request as send } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { CreateBucketCommand, PutBucketNotificationConfigurationCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3' // prettier-ignore
import type { Event, QueueConfiguration } from '@aws-sdk/client-s3'

import { startMinio } from '../../test/servers/minio.ts'
import type { MinioOptions, MinioServer } from '../../test/servers/minio.ts'
import { pickPorts } from '../../test/servers/server.ts'

export const TOKEN = 'a token of the test'.replaceAll(' ', '-')
const EVENTS: Event[] = ['s3:ObjectCreated:*', 's3:ObjectRemoved:*']

/** In front of the hubs, as a load balancer is: each request goes to the next one that takes it. */
export class Balancer implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #backends: readonly number[]
  #next = 0

  private constructor(server: Server, port: number, backends: readonly number[]) {
    this.#server = server
    this.port = port
    this.#backends = backends
  }

  static async open(backends: readonly number[]): Promise<Balancer> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const balancer = new Balancer(server, (server.address() as AddressInfo).port, backends)
    server.on('request', (request, response) => void balancer.#pass(request, response))
    return balancer
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    } catch {
      return
    }
    this.#next += 1
    for (const [index] of this.#backends.entries()) {
      const port = this.#backends[(this.#next + index) % this.#backends.length] as number
      if (await forward(port, request, Buffer.concat(chunks), response)) return
    }
    response.writeHead(502).end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

/** @returns false when nobody listens there */
function forward(port: number, { method, url, headers }: IncomingMessage, body: Buffer, response: ServerResponse) {
  return new Promise<boolean>((resolve) => {
    const onward = send({ host: '127.0.0.1', port, method, path: url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
      answer.once('error', () => response.destroy())
      resolve(true)
    })
    onward.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') return resolve(false)
      // It had it, and is gone: whoever waits for its answer waits in vain.
      response.destroy()
      resolve(true)
    })
    response.once('close', () => onward.destroy())
    onward.end(body)
  })
}

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
