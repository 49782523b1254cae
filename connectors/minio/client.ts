// How MinIO is reached: the S3 client for requests, and a signed connection of its own for listening. Called by the sources.

import { createHash, createHmac } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'

import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import { SignatureV4 } from '@smithy/signature-v4'
import { Agent, errors } from 'undici'

import { linesOf, redactUrl, tlsSettings } from '../../src/sdk/index.ts'
import type { ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { S3Refusal, minioProblem, silentProblem } from './problems.ts'
import type { Asked } from './problems.ts'
import type { Wish } from './wishes.ts'

export type MinioConfig = ConfigOf<typeof manifest.fields>

/** An open listen request. */
export interface Listening {
  /** MinIO's own time as it answered, to the second. Unix milliseconds. */
  readonly serverTimeMs: number
  readonly server: string
  /** One JSON document each. Ends or throws when the connection does; not reading it makes MinIO wait, then drop. */
  readonly lines: AsyncIterable<string>
}

/**
 * How often MinIO is asked to give a sign of life. It sends nothing before the first one, not even that we may listen: so
 * much a subscription takes.
 */
const PING_S = 1
/** One record with all of its metadata has a few kilobytes. */
const LINE_BYTES_MAX = 4 * 2 ** 20
const REFUSAL_BYTES_MAX = 65_536
/** SHA-256 of nothing. */
const EMPTY_HASH = createHash('sha256').digest('hex')

export class MinioClient {
  readonly s3: S3Client
  /** Without credentials, for messages. */
  readonly at: string
  readonly #url: URL
  readonly #agents: readonly { destroy(): void }[]
  readonly #listening: Agent
  readonly #signer: SignatureV4

  /** @throws HubError HUB_SOURCE_TLS when a file cannot be read */
  constructor(config: MinioConfig) {
    const tls = tlsSettings(config.tls)
    const { region, connectTimeout, keepAlive } = config
    const credentials = credentialsOf(config)
    const agents = {
      httpAgent: new HttpAgent({ keepAlive: true }),
      httpsAgent: new HttpsAgent({ keepAlive: true, ...tls }),
    }
    this.#url = new URL(config.url)
    this.at = redactUrl(config.url)
    this.#agents = Object.values(agents)
    this.s3 = new S3Client({
      endpoint: config.url,
      region,
      credentials,
      forcePathStyle: true,
      // The supervisor tries again, and says so.
      maxAttempts: 1,
      requestHandler: {
        ...agents,
        connectionTimeout: connectTimeout,
        requestTimeout: connectTimeout,
        throwOnRequestTimeout: true,
      },
    })
    this.#signer = new SignatureV4({ service: 's3', region, credentials, sha256: NodeSha256, uriEscapePath: false })
    this.#listening = new Agent({
      allowH2: false,
      connect: { timeout: connectTimeout, ...tls },
      headersTimeout: connectTimeout + PING_S * 1000,
      bodyTimeout: keepAlive,
    })
  }

  /** Is it there, and does it know us? @throws HubError HUB_SOURCE_* */
  async greet(signal: AbortSignal): Promise<void> {
    try {
      await this.s3.send(new ListBucketsCommand({}), { abortSignal: signal })
    } catch (error) {
      signal.throwIfAborted()
      // It knows us, and does not let us list its buckets, which we need not.
      if (error instanceof Error && error.name === 'AccessDenied') return
      throw this.problem(error)
    }
  }

  /**
   * Opens a connection on which MinIO tells what happens to the bucket from now on, until `signal` is aborted.
   * @throws HubError HUB_SOURCE_*
   */
  async listen({ bucket, events, prefix, suffix }: Wish, signal: AbortSignal): Promise<Listening> {
    const query: Record<string, string | string[]> = { events: [...events], prefix, suffix, ping: String(PING_S) } // prettier-ignore
    try {
      const { hostname, port, protocol, host } = this.#url
      const unsigned = { method: 'GET', protocol, hostname, path: `/${bucket}`, query, headers: { host, 'x-amz-content-sha256': EMPTY_HASH }, ...(port === '' ? {} : { port: Number(port) }) } // prettier-ignore
      const { headers } = await this.#signer.sign(unsigned)
      const search = new URLSearchParams()
      for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) search.append(name, one)
      const answer = await this.#listening.request({ origin: this.#url.origin, path: `/${bucket}?${search.toString().replaceAll('+', '%20')}`, method: 'GET', headers, signal }) // prettier-ignore
      if (answer.statusCode !== 200) throw refusalOf(answer.statusCode, await textOf(answer.body))
      const date = Date.parse(String(answer.headers['date'] ?? ''))
      return {
        serverTimeMs: Number.isNaN(date) ? 0 : date,
        server: String(answer.headers['server'] ?? 'unknown'),
        lines: linesOf(answer.body, { bytesMax: LINE_BYTES_MAX, skipsBlank: true }),
      }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof errors.HeadersTimeoutError) throw silentProblem(this.at, bucket, error)
      throw this.problem(error, { bucket, action: 's3:ListenBucketNotification' })
    }
  }

  problem(error: unknown, asked: Omit<Asked, 'at'> = {}): ReturnType<typeof minioProblem> {
    return minioProblem(error, { at: this.at, ...asked })
  }

  /** Every connection is gone afterwards. Idempotent. */
  async close(): Promise<void> {
    this.s3.destroy()
    for (const agent of this.#agents) agent.destroy()
    await this.#listening.destroy()
  }
}

function credentialsOf({ accessKey = '', secretKey, sessionToken }: MinioConfig): {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
} {
  const keys = { accessKeyId: accessKey, secretAccessKey: secretKey?.reveal() ?? '' }
  return sessionToken === undefined ? keys : { ...keys, sessionToken: sessionToken.reveal() }
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString()
    if (text.length > REFUSAL_BYTES_MAX) break
  }
  return text
}

/** S3's errors are XML with a code and a sentence. */
function refusalOf(status: number, xml: string): S3Refusal {
  const element = (name: string): string | undefined => new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]
  return new S3Refusal(
    element('Code') ?? `HTTP ${status}`,
    element('Message') ?? 'an answer that is none of S3',
    status,
  )
}

/** What the signer wants: a hash, keyed where it is given a key. */
class NodeSha256 {
  readonly #secret: string | ArrayBuffer | ArrayBufferView | undefined
  #hash: Hash | ReturnType<typeof createHmac>

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret
    this.#hash = this.#begin()
  }

  update(data: Uint8Array | string): void {
    this.#hash.update(data)
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest())
  }

  reset(): void {
    this.#hash = this.#begin()
  }

  #begin(): Hash | ReturnType<typeof createHmac> {
    const secret = this.#secret
    if (secret === undefined) return createHash('sha256')
    if (typeof secret === 'string') return createHmac('sha256', secret)
    return createHmac('sha256', ArrayBuffer.isView(secret) ? Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength) : Buffer.from(secret)) // prettier-ignore
  }
}
