// The example deploy/examples/image-pipeline as processes, from end to end: a picture put with a real S3 client into a real
// MinIO, the bundled gateway, the hub, and a thumbnail in the other bucket.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import sharp from 'sharp'
import { expect, test, vi } from 'vitest'

import { CliProcess } from '../../test/cli/cli.ts'
import { noMinio, startMinio } from '../../test/servers/minio.ts'
import { pickPorts } from '../../test/servers/server.ts'

const EXAMPLE = join(import.meta.dirname, '../../deploy/examples/image-pipeline')
const TEST_MS = 180_000
const WAIT = { timeout: 90_000, interval: 100 }
const TOKEN = 'token-of-the-pipeline'
const missing = await noMinio()

test('a picture that is put into a bucket comes out smaller in another', { timeout: TEST_MS }, async (context) => {
  context.skip(missing !== undefined, missing)
  const folder = mkdtempSync(join(tmpdir(), 'hub-pipeline-'))
  const [port = 0] = await pickPorts(1)
  const target = { id: 'hub', endpoint: `http://127.0.0.1:${port}/minio`, token: TOKEN, queue: true }
  await using minio = await startMinio({ targets: [target], environment: { MINIO_API_SYNC_EVENTS: 'on' } })
  const { url, accessKey, secretKey } = minio
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
  const s3 = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials })
  for (const Bucket of ['photos', 'thumbnails']) await s3.send(new CreateBucketCommand({ Bucket }))

  const stack = join(EXAMPLE, 'stack.yaml')
  const functionEnv = { S3_URL: url, S3_ACCESS_KEY: accessKey, S3_SECRET_KEY: secretKey }
  await using gateway = new CliProcess(['gateway', '--stack', stack, '--port', '0', '--state-dir', join(folder, 'gateway')], { env: functionEnv }) // prettier-ignore
  const [gatewayUrl] = await gateway.says(/http:\/\/127\.0\.0\.1:\d+/)
  const env = {
    HUB_GATEWAY_URL: gatewayUrl,
    HUB_STATE_DIR: join(folder, 'hub'),
    HUB_ADMIN_HOST: '127.0.0.1',
    HUB_ADMIN_PORT: '0',
    HUB_LOG_FORMAT: 'json',
    HUB_MINIO_URL: url,
    HUB_MINIO_ACCESS_KEY: accessKey,
    HUB_MINIO_SECRET_KEY: secretKey,
    HUB_MINIO_TOKEN: TOKEN,
    HUB_MINIO_LISTEN_HOST: '127.0.0.1',
    HUB_MINIO_LISTEN_PORT: String(port),
  }
  await using hub = new CliProcess(['run', '-c', join(EXAMPLE, 'hub.yaml')], { env })
  await vi.waitFor(() => expect(hub.stderr).toContain('"event":"minio.configured"'), WAIT)

  const picture = await sharp({ create: { width: 1200, height: 900, channels: 3, background: '#4080c0' } }).png().toBuffer() // prettier-ignore
  const put = (Key: string): Promise<unknown> => s3.send(new PutObjectCommand({ Bucket: 'photos', Key, Body: picture }))
  // One that is left out, and a name that has to be unescaped twice on its way.
  await put('originals/left out.png')
  await put('uploads/été & co/cat 1+1.png')
  const thumbnail = await vi.waitFor(async () => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'thumbnails', Key: 'uploads/été & co/cat 1+1.jpg' }))
    return await (Body?.transformToByteArray() ?? Promise.reject(new Error('it is empty')))
  }, WAIT)
  expect(await sharp(thumbnail).metadata()).toMatchObject({ format: 'jpeg', width: 200, height: 150 })
  await expect(s3.send(new GetObjectCommand({ Bucket: 'thumbnails', Key: 'originals/left out.jpg' }))).rejects.toThrow('exist') // prettier-ignore
  hub.signal('SIGTERM')
  expect((await hub.ended()).code).toBe(0)
  s3.destroy()
  rmSync(folder, { recursive: true, force: true })
})
