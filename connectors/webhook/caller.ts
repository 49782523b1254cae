// Posts to the hub that runs on this machine, and reads its answer. Knows no hook and no scheme. Owned by emit.ts,
// and by probe.ts.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { isIPv6 } from 'node:net'

import { HubError, errorChain, errorText, isTlsFailure } from '../../src/sdk/index.ts'
import type { WebhookConfig } from './hooks.ts'

export interface Answered {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** One line, cut. */
  readonly text: string
}

/** Beyond what the hub lets a caller wait for its functions. */
const ANSWER_MS = 15_000
const TEXT_BYTES_MAX = 300
const UNHEARD = new Set(['ECONNREFUSED', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'])

export class Caller {
  /** `http://127.0.0.1:8090`. */
  readonly address: string
  readonly #agent: HttpAgent
  readonly #isTls: boolean
  readonly #path: string
  readonly #timeoutMs: number

  /** @throws HubError HUB_USAGE when the port is not known; HUB_SOURCE_TLS when the certificate cannot be read */
  constructor({ listen, path, respond, respondTimeout }: WebhookConfig, socketsMax: number) {
    const { host, port, certFile } = listen
    if (port === 0)
      throw new HubError('HUB_USAGE', 'listen.port is 0, any free one: where the hub listens is not known', { hint: 'Set listen.port to a port.' }) // prettier-ignore
    this.#isTls = certFile !== undefined
    this.address = `${this.#isTls ? 'https' : 'http'}://${reachable(host)}:${port}`
    this.#path = path
    this.#timeoutMs = ANSWER_MS + (respond === 'function' ? respondTimeout : 0)
    const options = { keepAlive: true, maxSockets: socketsMax }
    this.#agent =
      certFile === undefined ? new HttpAgent(options) : new HttpsAgent({ ...options, ...trusting(certFile) })
  }

  /** @throws HubError HUB_EMIT_FAILED when there is no answer; the signal's reason */
  post(hook: string, headers: Readonly<Record<string, string>>, body: Buffer, signal: AbortSignal): Promise<Answered> {
    // prettier-ignore
    return this.#send({ method: 'POST', headers: { ...headers, 'content-length': body.byteLength } }, hook, body, signal)
  }

  /** Sends nothing that a hook would take. @throws as `post` */
  look(hook: string, signal: AbortSignal): Promise<Answered> {
    return this.#send({ method: 'GET' }, hook, Buffer.alloc(0), signal)
  }

  close(): void {
    this.#agent.destroy()
  }

  async #send(what: RequestOptions, hook: string, body: Buffer, signal: AbortSignal): Promise<Answered> {
    const url = new URL(`${this.address}${this.#path}/${hook}`)
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)])
    const options = { ...what, agent: this.#agent, signal: limit }
    try {
      return await answered(this.#isTls ? requestHttps(url, options) : requestHttp(url, options), body)
    } catch (error) {
      signal.throwIfAborted()
      throw this.#problem(error, limit.aborted)
    }
  }

  #problem(error: unknown, isLate: boolean): HubError {
    const make = (what: string, hint: string): HubError => new HubError('HUB_EMIT_FAILED', `${this.address}: ${what}`, { cause: error, hint }) // prettier-ignore
    if (isLate) return make(`no answer within ${this.#timeoutMs / 1000} s`, 'See the log of the hub.')
    const chain = errorChain(error)
    const isUnheard = chain.some((one) => UNHEARD.has((one as NodeJS.ErrnoException).code ?? ''))
    if (isUnheard) return make(`no hub listens there: ${errorText(error)}`, 'Start the hub first, with `connector-hub run` and this configuration, on this machine.') // prettier-ignore
    if (chain.some(isTlsFailure)) return make(errorText(error), 'The hub that runs there does not use the certificate of listen.certFile as it is now: renew the certificate where it has expired, and restart the hub with this configuration.') // prettier-ignore
    return make(errorText(error), 'Check that what listens there is the hub, with this configuration; see its log.')
  }
}

/** An address that stands for every one of the machine is reached over the loopback interface. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return isIPv6(host) ? `[${host}]` : host
}

/**
 * The very certificate that the hub was given, whatever names and authority it has: those are for callers from outside, and
 * this one comes by another name.
 */
function trusting(certFile: string): object {
  try {
    const pem = readFileSync(certFile)
    const { fingerprint256: ours } = new X509Certificate(pem)
    return {
      ca: pem,
      allowPartialTrustChain: true,
      checkServerIdentity: (_host: string, { fingerprint256: given }: { readonly fingerprint256: string }) =>
        given === ours ? undefined : Object.assign(new Error('the certificate is another one'), { code: 'CERT_OTHER' }),
    }
  } catch (error) {
    const hint = 'Set listen.certFile to a readable PEM file.'
    throw new HubError('HUB_SOURCE_TLS', `listen.certFile cannot be read: ${errorText(error)}`, { cause: error, hint })
  }
}

async function answered(request: ClientRequest, body: Buffer): Promise<Answered> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject)
    request.end(body)
  })
  const kept: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (length < TEXT_BYTES_MAX) kept.push(chunk)
    length += chunk.byteLength
  }
  const [line = ''] = Buffer.concat(kept)
    .subarray(0, TEXT_BYTES_MAX)
    .toString()
    .split(/[\r\n]/)
  return { status: response.statusCode ?? 0, headers: response.headers, text: line.trim() }
}
