// Two GET requests of the OpenFaaS REST API, bounded in time and size. Knows nothing of polling or of what was there
// before; called by gateway-listing.ts.

import { Pool } from 'undici'

import { HubError, errorText, formatDuration, formatSize, isTlsFailure, readWithin, redactUrl } from '../sdk/index.ts'
import type { Clock, Secret } from '../sdk/index.ts'

export interface GatewayClientOptions {
  /** Base URL; a path prefix and trailing slashes are fine, credentials in it are refused. */
  readonly gatewayUrl: string
  /** Basic auth for `/system/*`. */
  readonly auth?: { readonly user: string; readonly password: Secret }
  /** Of one request, answer included. */
  readonly timeoutMs: number
  readonly userAgent: string
  readonly clock: Clock
  /** Default 64 MiB, which is about 60,000 functions. */
  readonly responseBytesMax?: number
}

const RESPONSE_BYTES_MAX = 64 * 1024 * 1024
const CONNECTIONS_MAX = 4

export interface GatewayAnswer {
  readonly status: number
  readonly body: Buffer
}

export class GatewayClient {
  readonly #options: GatewayClientOptions
  readonly #pool: Pool
  readonly #prefix: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #shownUrl: string

  /** @throws HubError HUB_CONFIG_INVALID for a URL that is not http or https, or that holds credentials */
  constructor(options: GatewayClientOptions) {
    const url = parseUrl(options.gatewayUrl)
    this.#options = options
    this.#prefix = url.pathname.replace(/\/+$/, '')
    this.#shownUrl = url.origin + this.#prefix
    const { auth, userAgent } = options
    this.#headers = {
      accept: 'application/json',
      'user-agent': userAgent,
      ...(auth === undefined
        ? {}
        : { authorization: `Basic ${Buffer.from(`${auth.user}:${auth.password.reveal()}`).toString('base64')}` }),
    }
    this.#pool = new Pool(url.origin, {
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      keepAliveTimeout: 60_000,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /**
   * One GET below the gateway's URL. Redirects are not followed, because they would carry the credentials elsewhere.
   * @throws HubError HUB_DISCOVERY_UNAUTHORIZED for 401 and 403, HUB_DISCOVERY_FAILED for no answer, a broken or too
   * large one, and redirects; the signal's reason when aborted
   */
  async get(path: string, signal: AbortSignal): Promise<GatewayAnswer> {
    signal.throwIfAborted()
    const { clock, timeoutMs } = this.#options
    const timeout = new AbortController()
    const timer = clock.after(timeoutMs, () => timeout.abort())
    try {
      return await this.#exchange(path, AbortSignal.any([signal, timeout.signal]))
    } catch (error) {
      if (error instanceof HubError) throw error
      signal.throwIfAborted()
      const what = timeout.signal.aborted ? `no complete answer within ${formatDuration(timeoutMs)}` : errorText(error)
      throw this.#failed(path, what, { cause: error, ...tlsHint(error) })
    } finally {
      timer.cancel()
    }
  }

  async #exchange(path: string, signal: AbortSignal): Promise<GatewayAnswer> {
    const { statusCode, headers, body } = await this.#pool.request({
      method: 'GET',
      path: this.#prefix + path,
      headers: this.#headers,
      signal,
    })
    const bytesMax = this.#options.responseBytesMax ?? RESPONSE_BYTES_MAX
    const answer = await readWithin(body as AsyncIterable<Buffer>, bytesMax)
    if (answer === undefined) throw this.#failed(path, `the answer is larger than ${formatSize(bytesMax)}`)
    if (statusCode === 401 || statusCode === 403)
      throw new HubError('HUB_DISCOVERY_UNAUTHORIZED', `${this.#shownUrl}${path} answered ${statusCode}`, {
        canRetry: true,
      })
    if (statusCode >= 300 && statusCode < 400) {
      const { location } = headers
      const target = typeof location === 'string' ? ` to ${redactUrl(location).split('?')[0]}` : ''
      throw this.#failed(path, `the gateway redirects${target}, which is not followed`, {
        hint: 'Set gateway.url to the address that the gateway redirects to.',
      })
    }
    return { status: statusCode, body: answer }
  }

  /** An error that names the request; never what was answered, which may hold secrets of functions. */
  fault(path: string, what: string): HubError {
    return this.#failed(path, what)
  }

  #failed(path: string, what: string, more: { readonly cause?: unknown; readonly hint?: string } = {}): HubError {
    return new HubError('HUB_DISCOVERY_FAILED', `GET ${this.#shownUrl}${path}: ${what}`, { canRetry: true, ...more })
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (!this.#pool.destroyed) await this.#pool.destroy()
  }
}

function tlsHint(error: unknown): { readonly hint?: string } {
  if (!isTlsFailure(error)) return {}
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'EPROTO')
    return { hint: 'The gateway speaks no TLS at this port: set gateway.url to http://, or to its TLS port.' }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return { hint: 'Set gateway.url to a host name that is in the certificate of the gateway.' }
  if (code === 'CERT_HAS_EXPIRED') return { hint: 'Renew the certificate of the gateway.' }
  return { hint: "Set the environment variable NODE_EXTRA_CA_CERTS to a PEM file with the gateway's CA." }
}

function parseUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new HubError('HUB_CONFIG_INVALID', 'gateway.url must be a URL that starts with http:// or https://')
  if (url.username !== '' || url.password !== '')
    throw new HubError('HUB_CONFIG_INVALID', 'gateway.url must not hold credentials', {
      hint: 'Set gateway.auth.usernameFile and passwordFile instead.',
    })
  return url
}
