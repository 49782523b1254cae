// What the tests of the connector rely on: the server keeps its data and the queues of its targets over each kind of end.

import { CreateBucketCommand, HeadObjectCommand, PutBucketNotificationConfigurationCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3' // prettier-ignore
import type { NotificationConfiguration } from '@aws-sdk/client-s3'
import { expect, test, vi } from 'vitest'

import { HttpListener } from '../http-listener.ts'
import { noMinio, startMinio } from './minio.ts'
import { freePort } from './process.ts'

const WAIT = { timeout: 60_000, interval: 20 }
const missing = await noMinio()

test.skipIf(missing !== undefined)(
  `objects and undelivered events outlive SIGTERM and SIGKILL${missing === undefined ? '' : ` (${missing})`}`,
  { timeout: 120_000 },
  async () => {
    const requests: { readonly authorization: string | undefined; readonly body: string }[] = []
    await using hook = new HttpListener(
      (request, response) => {
        let body = ''
        request.on('data', (chunk: Buffer) => (body += chunk.toString()))
        request.on('end', () => {
          requests.push({ authorization: request.headers.authorization, body })
          response.end()
        })
      },
      await freePort(),
    )
    const target = { id: 'hook', endpoint: `${hook.url}/events`, token: 'token', queue: true }
    await using minio = await startMinio({ targets: [target], environment: { MINIO_API_SYNC_EVENTS: 'on' } })
    const credentials = { accessKeyId: minio.accessKey, secretAccessKey: minio.secretKey }
    const client = new S3Client({ endpoint: minio.url, region: 'us-east-1', forcePathStyle: true, credentials })
    await client.send(new CreateBucketCommand({ Bucket: 'photos' }))
    const NotificationConfiguration: NotificationConfiguration = {
      QueueConfigurations: [{ QueueArn: 'arn:minio:sqs::hook:webhook', Events: ['s3:ObjectCreated:*'] }],
    }
    await client.send(new PutBucketNotificationConfigurationCommand({ Bucket: 'photos', NotificationConfiguration }))
    await client.send(new PutObjectCommand({ Bucket: 'photos', Key: 'one', Body: '1' }))
    await minio.restart()
    await client.send(new PutObjectCommand({ Bucket: 'photos', Key: 'two', Body: '22' }))
    await minio.kill()
    await hook.start()
    await minio.start()
    await vi.waitFor(() => expect(requests.length).toBeGreaterThanOrEqual(2), WAIT)
    const keys = requests.map(({ body }) => (JSON.parse(body) as { readonly Key: string }).Key)
    expect(keys.toSorted()).toEqual(['photos/one', 'photos/two'])
    expect(requests[0]?.authorization).toBe('Bearer token')
    const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket: 'photos', Key: 'two' }))
    expect(ContentLength).toBe(2)
    client.destroy()
  },
)
