// deploy/examples/image-pipeline, command by command: a picture put with MinIO's client into a real MinIO, the bundled gateway,
// the hub, and a small, marked picture in the last bucket. Then the same event again.

import { join } from 'node:path'

import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import sharp from 'sharp'
import { expect, test, vi } from 'vitest'

import { noProgram, provideProgram } from '../programs/programs.ts'
import { findMinio } from '../servers/minio-setup.ts'
import { noMinio } from '../servers/minio.ts'
import { findExecutable, startProcess } from '../servers/process.ts'
import { pickPorts } from '../servers/server.ts'
import { Example, gatewayOf, localised } from './example.ts'

const TEST_MS = 240_000
const WAIT = { timeout: 90_000, interval: 100 }
const BLUE = { r: 64, g: 128, b: 192 }
const USER = 'minioadmin'
const missing = (await noMinio()) ?? (await noProgram('mc'))

test(
  'a picture comes out small and marked, once, however often its event comes',
  { timeout: TEST_MS },
  async (context) => {
    context.skip(missing !== undefined, missing)
    using example = new Example('image-pipeline')
    const [port = 0, hubPort = 0] = await pickPorts(2)
    const url = `http://127.0.0.1:${port}`
    const here = { '127.0.0.1:9000': `127.0.0.1:${port}`, '127.0.0.1:8091': `127.0.0.1:${hubPort}`, '/var/tmp': example.folder } // prettier-ignore
    example.command('mc', (await provideProgram('mc')).argv)
    await using servers = new AsyncDisposableStack()
    servers.use(await startMinioOf(example, here))
    example.env['S3_URL'] = url
    await using gateway = example.start('connector-hub gateway', ['--port', '0'])
    const gatewayUrl = await gatewayOf(gateway)
    Object.assign(example.env, {
      HUB_STATE_DIR: join(example.folder, 'hub'),
      HUB_ADMIN_HOST: '127.0.0.1',
      HUB_ADMIN_PORT: '0',
      HUB_LOG_FORMAT: 'json',
      HUB_MINIO_URL: url,
      HUB_MINIO_LISTEN_PORT: String(hubPort),
    })
    await using hub = example.start('connector-hub run', [], { 'http://127.0.0.1:8080': gatewayUrl })
    await vi.waitFor(() => expect(hub.stderr.match(/"event":"minio\.configured"/g)).toHaveLength(2), WAIT)

    const picture = sharp({ create: { width: 1200, height: 900, channels: 3, background: BLUE } }).png()
    await picture.toFile(join(example.folder, 'holiday.png'))
    expect(await example.run('mc cp', here)).toContain('holiday.jpg')
    expect(example.unused).toEqual([])
    const s3 = new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId: USER, secretAccessKey: USER } }) // prettier-ignore
    await expectMarked(s3, 'uploads/holiday.jpg')

    // One that is left out, and a name that has to be unescaped twice on its way.
    const body = await picture.toBuffer()
    const put = (Key: string): Promise<unknown> => s3.send(new PutObjectCommand({ Bucket: 'photos', Key, Body: body }))
    await put('originals/left out.png')
    await put('uploads/été & co/cat 1+1.png')
    await vi.waitFor(() => expectMarked(s3, 'uploads/été & co/cat 1+1.jpg'), WAIT)

    // The same event by the broker, and by a call as the hub makes it.
    const before = await stateOf(s3)
    await put('uploads/holiday.png')
    const again = async (name: string, bucket: string, key: string): Promise<readonly [number, string]> => {
      const headers = { 'X-Minio-Bucket': bucket, 'X-Minio-Key': key, 'Content-Type': 'application/json' }
      const answer = await fetch(`${gatewayUrl}/function/${name}`, { method: 'POST', body: '{}', headers })
      return [answer.status, await answer.text()]
    }
    expect(await again('resize', 'photos', 'uploads/holiday.png')).toEqual([200, 'uploads/holiday.jpg is there'])
    expect(await again('watermark', 'resized', 'uploads/holiday.jpg')).toEqual([
      200,
      'uploads/holiday.jpg is saved already',
    ])
    // What MinIO has sent is settled when the hub has ended; and nothing has come of it.
    await put('uploads/last.png')
    await vi.waitFor(() => expectMarked(s3, 'uploads/last.jpg'), WAIT)
    hub.signal('SIGTERM')
    expect((await hub.ended()).code).toBe(0)
    const after = await stateOf(s3)
    expect(after.filter((line) => !line.includes('uploads/last.jpg'))).toEqual(before)
    s3.destroy()
  },
)

/** In a shell that stays, as a user's terminal does: it takes MinIO with it. */
async function startMinioOf(example: Example, addresses: Readonly<Record<string, string>>): Promise<AsyncDisposable> {
  const setpriv = findExecutable('setpriv')
  const path = findMinio()?.path ?? 'minio'
  example.command('minio', setpriv === undefined ? [path] : [setpriv, '--pdeathsig', 'KILL', '--', path])
  const text = `${localised(example.block('minio server'), addresses)}\nwait`
  const env = Object.entries(example.env).map(([name, value]) => `${name}=${value}`)
  const shell = startProcess(findExecutable('env') ?? 'env', ['-i', ...env, 'bash', '-euc', text])
  await vi.waitFor(() => expect(shell.output()).toContain('local/thumbnails'), WAIT)
  return { [Symbol.asyncDispose]: () => shell.kill('SIGKILL') }
}

/** 200 pixels wide, blue as it was, as far as JPEG keeps colours, with the white corner and the red spot of mark.svg. */
async function expectMarked(s3: S3Client, Key: string): Promise<void> {
  const { Body, ContentType } = await s3.send(new GetObjectCommand({ Bucket: 'thumbnails', Key }))
  const bytes = await Body?.transformToByteArray()
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  expect([ContentType, info.width, info.height, info.channels]).toEqual(['image/jpeg', 200, 150, 3])
  const at = (x: number, y: number): readonly number[] => [...data.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3)]
  const near = (given: readonly number[], wanted: readonly number[]): boolean => given.every((value, index) => Math.abs(value - (wanted[index] as number)) <= 40) // prettier-ignore
  expect([near(at(10, 10), [64, 128, 192]), near(at(197, 110), [255, 255, 255]), near(at(187, 137), [192, 48, 48])]).toEqual([true, true, true]) // prettier-ignore
}

/** Every object of the buckets that functions write, and when it was written. */
async function stateOf(s3: S3Client): Promise<readonly string[]> {
  const lines: string[] = []
  for (const Bucket of ['resized', 'thumbnails']) {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }))
    for (const { Key } of Contents) {
      const { LastModified, ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key }))
      lines.push(`${Bucket}/${Key} ${ETag} ${LastModified?.toISOString()}`)
    }
  }
  return lines
}
