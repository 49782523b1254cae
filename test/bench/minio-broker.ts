// MinIO for the benchmark: a backlog in the queue directories of its webhook targets, each of which sends one event at a
// time. The bare loop is that of webhooks: whatever answers with 2xx will do. Called by bench.ts.

import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, ListObjectsV2Command, PutBucketNotificationConfigurationCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3' // prettier-ignore
import type { QueueConfiguration } from '@aws-sdk/client-s3'

import { noMinio, startMinio } from '../servers/minio.ts'
import { pickPorts } from '../servers/server.ts'
import type { BenchBroker } from './brokers.ts'

const BUCKET = 'bench'
/** As many as there are invocations at a time. */
const TARGETS = 32
const TOKEN = 'bench'

/** @returns why there is none */
export async function startMinioBench(): Promise<BenchBroker | string> {
  const missing = await noMinio()
  if (missing !== undefined) return missing
  const [port = 0] = await pickPorts(1)
  const endpoint = `http://127.0.0.1:${port}/minio`
  const ids = Array.from({ length: TARGETS }, (_, index) => `bench${index}`)
  const server = await startMinio({
    targets: ids.map((id) => ({ id, endpoint, token: TOKEN, queue: true })),
    environment: { MINIO_API_SYNC_EVENTS: 'on' },
  })
  const { url, accessKey, secretKey } = server
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
  const s3 = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials })
  return {
    title: `MinIO, webhook with ${TARGETS} targets (${server.version})`,
    eventsMax: 2000,
    port,
    topic: BUCKET,
    bare: 'bare-webhook.ts',
    connector: () => ({ type: 'minio', listen: { host: '127.0.0.1', port }, token: TOKEN }),
    async fill(_name, { events, bodyBytes, keys }) {
      await empty(s3)
      await s3.send(new CreateBucketCommand({ Bucket: BUCKET }))
      const QueueConfigurations = ids.map((id, index): QueueConfiguration => ({
        Id: id,
        QueueArn: `arn:minio:sqs::${id}:webhook`,
        Events: ['s3:ObjectCreated:*'],
        Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: `t${index}.` }] } },
      }))
      await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: BUCKET, NotificationConfiguration: { QueueConfigurations } })) // prettier-ignore
      const body = Buffer.alloc(bodyBytes, 'x')
      let sent = 0
      const put = async (): Promise<void> => {
        while (sent < events) {
          const key = sent++ % keys
          await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: `t${key % TARGETS}.${key}`, Body: body }))
        }
      }
      await Promise.all(Array.from({ length: TARGETS }, put))
    },
    async [Symbol.asyncDispose]() {
      s3.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** The bucket with its notification is gone, so that every run begins alike. */
async function empty(s3: S3Client): Promise<void> {
  try {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }))
    if (Contents.length > 0) await s3.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } })) // prettier-ignore
    await s3.send(new DeleteBucketCommand({ Bucket: BUCKET }))
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'NoSuchBucket') throw error
  }
}
