// A real MinIO on free ports with its own data, and with the webhook targets that a test declares: the one of
// HUB_TEST_MINIO_URL (with user and password) where any will do, else one of our own, see minio-setup.ts.

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { request as requestTls } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { findMinio, setUpMinio } from './minio-setup.ts'
import { findExecutable, startProcess } from './process.ts'
import { externalUrl, reasonOf } from './provide.ts'
import { externalServer, pickPorts, startServer } from './server.ts'
import type { Server } from './server.ts'

/** A webhook target as an operator declares it in MinIO's environment. */
export interface MinioTarget {
  /** Letters and digits; its ARN is `arn:minio:sqs::<id>:webhook`. */
  readonly id: string
  readonly endpoint: string
  readonly token?: string
  /** It keeps what is not accepted, in a directory, and sends it again. Without: each event is sent once. */
  readonly queue: boolean
}

export interface MinioOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_MINIO_URL will do. */
  readonly any?: boolean
  readonly targets?: readonly MinioTarget[]
  /** It then speaks TLS only, for `localhost`. Files of `createCertificates`. */
  readonly tls?: { readonly caFile: string; readonly certFile: string; readonly keyFile: string }
  /** More of its environment, such as `{ MINIO_API_SYNC_EVENTS: 'on' }`. */
  readonly environment?: Readonly<Record<string, string>>
}

export interface MinioServer extends Server {
  /** `http://127.0.0.1:…`, or `https://localhost:…`. */
  readonly url: string
  readonly port: number
  readonly accessKey: string
  readonly secretKey: string
  /** Where targets keep what is not accepted. */
  readonly queueFolder: string | undefined
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noMinio(options: MinioOptions = {}): Promise<string | undefined> {
  return await reasonOf('minio', async () => externalUrl('minio', options.any) ?? (await provided()))
}

const provided = async (): ReturnType<typeof setUpMinio> => findMinio() ?? (await setUpMinio((line) => console.error(`minio: ${line}`))) // prettier-ignore

const READY_MS = 60_000
const STOP_MS = 15_000
const PROBE_MS = 5_000
const ACCESS_KEY = 'hub'
const SECRET_KEY = 'correct horse battery staple'

/** @throws ServerUnavailable */
export async function startMinio(options: MinioOptions = {}): Promise<MinioServer> {
  const external = externalUrl('minio', options.any)
  if (external !== undefined) return externalMinio(external)
  const minio = await provided()
  const folder = mkdtempSync(join(tmpdir(), 'hub-minio-'))
  const [port = 0] = await pickPorts(1)
  const queueFolder = join(folder, 'queues')
  const certificates = join(folder, 'certificates')
  mkdirSync(join(folder, 'data'))
  mkdirSync(certificates)
  if (options.tls !== undefined) {
    copyFileSync(options.tls.certFile, join(certificates, 'public.crt'))
    copyFileSync(options.tls.keyFile, join(certificates, 'private.key'))
  }
  const env = environment(options, queueFolder)
  const argv = [minio.path, 'server', join(folder, 'data'), '--address', `127.0.0.1:${port}`, '--certs-dir', certificates, '--quiet'] // prettier-ignore
  const url = options.tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`
  const server = await startServer(
    {
      name: 'MinIO',
      folder,
      launch: () => startProcess(findExecutable('env') ?? 'env', [...env, ...argv]),
      ready: () => isReady(`${url}/minio/health/cluster`, options.tls?.caFile),
      readyMs: READY_MS,
      stopMs: STOP_MS,
    },
    minio,
  )
  return { ...server, url, port, accessKey: ACCESS_KEY, secretKey: SECRET_KEY, queueFolder }
}

function externalMinio(text: string): MinioServer {
  const url = new URL(text)
  const [accessKey, secretKey] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
  return {
    ...externalServer('HUB_TEST_MINIO_URL'),
    url: url.origin,
    port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)),
    accessKey,
    secretKey,
    queueFolder: undefined,
  }
}

function environment(options: MinioOptions, queueFolder: string): readonly string[] {
  const env: Record<string, string> = {
    HOME: queueFolder,
    MINIO_ROOT_USER: ACCESS_KEY,
    MINIO_ROOT_PASSWORD: SECRET_KEY,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
    ...options.environment,
  }
  for (const { id, endpoint, token, queue } of options.targets ?? []) {
    env[`MINIO_NOTIFY_WEBHOOK_ENABLE_${id}`] = 'on'
    env[`MINIO_NOTIFY_WEBHOOK_ENDPOINT_${id}`] = endpoint
    if (token !== undefined) env[`MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_${id}`] = token
    if (queue) env[`MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_${id}`] = join(queueFolder, id)
  }
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}

/** Its disks are there, so that requests are served: it listens long before. */
async function isReady(url: string, caFile: string | undefined): Promise<void> {
  const status = caFile === undefined ? (await fetch(url, { signal: AbortSignal.timeout(PROBE_MS) })).status : await statusOverTls(url, caFile) // prettier-ignore
  if (status !== 200) throw new Error(`${url}: ${status}`)
}

function statusOverTls(url: string, caFile: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = requestTls(url, { ca: readFileSync(caFile), timeout: PROBE_MS }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    request.once('error', reject)
    request.once('timeout', () => request.destroy(new Error('no answer')))
    request.end()
  })
}
