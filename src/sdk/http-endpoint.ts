// An HTTP server for sources that are called: it listens, bounds what is sent to it, and answers what its handler says.
// Knows nothing of who calls. Opened by the sources of connectors that receive webhooks.

import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'

import { HubError, errorText } from './errors.ts'
import { field } from './fields.ts'
import type { ConfigOf } from './fields.ts'
import { listenAt, readBody } from './http-server.ts'

/** `listen` as every connector that is called has it. */
export function listenFields(port: number, bodyMax: string) {
  return {
    host: field.string({ description: 'Address to listen on.', default: '0.0.0.0' }),
    port: field.integer({ description: 'Port; 0: any free one.', default: port, max: 65_535 }),
    certFile: field.string({ description: 'PEM file of the server certificate and its chain: HTTPS. By default HTTP.' }), // prettier-ignore
    keyFile: field.string({ description: 'PEM file of the key of the certificate.' }),
    bodyMax: field.size({ description: 'Largest body; a larger one is answered with 413.', default: bodyMax, minBytes: 1 }), // prettier-ignore
  } as const
}

export type ListenConfig = ConfigOf<ReturnType<typeof listenFields>>

export interface EndpointRequest {
  readonly method: string
  /** As sent, percent-encoded, without the query. */
  readonly path: string
  /** With its `?`, or empty. */
  readonly query: string
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders
  /** Of the connection: a proxy's where there is one. */
  readonly remoteAddress: string
  /** Aborted when the caller has gone before it was answered. */
  readonly signal: AbortSignal
  /**
   * All of it; may be called once.
   * @throws BodyTooLarge, which the endpoint itself answers with 413
   */
  readonly body: () => Promise<Buffer>
}

export interface EndpointAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** A text is sent as plain text where no header says otherwise. */
  readonly body?: string | Uint8Array
}

export interface EndpointOptions {
  readonly listen: ListenConfig
  handle(request: EndpointRequest): Promise<EndpointAnswer>
  /** The handler has thrown; the caller is answered with 500. */
  failed(error: unknown): void
}

export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge'
}

const INTERNAL_ERROR: EndpointAnswer = { status: 500, body: 'internal error\n' }
/** For the whole request to arrive, and for its headers. */
const REQUEST_MS = 60_000
const HEADERS_MS = 15_000
/** Longer than load balancers keep theirs, so that it is never us who closes under a request. */
const KEEP_ALIVE_MS = 75_000
/** For what is being answered when the endpoint is closed. */
const CLOSE_MS = 2000
const NOT_OURS = 'Set listen.host to an address of this machine, or to 0.0.0.0 for all of them.'
/** By the system's code. */
const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EACCES: 'Set listen.port to a port from 1024 on, or grant the right to listen below (CAP_NET_BIND_SERVICE).',
  EADDRNOTAVAIL: NOT_OURS,
  ENOTFOUND: NOT_OURS,
}

export class HttpEndpoint {
  readonly #server: Server
  /** `http://127.0.0.1:8090`, with the port that it really has. */
  readonly address: string
  #closing: Promise<void> | undefined

  private constructor(server: Server, address: string) {
    this.#server = server
    this.address = address
  }

  /** @throws HubError HUB_SOURCE_LISTEN; HUB_SOURCE_TLS for unreadable certificates */
  static async open(options: EndpointOptions): Promise<HttpEndpoint> {
    const { listen } = options
    const server = createServer(listen, (request, response) => {
      // Else the connection would stay, and closing would wait for it.
      const last = (): void => void (response.shouldKeepAlive &&= server.listening)
      void answer(request, response, options, last)
    })
    server.requestTimeout = REQUEST_MS
    server.headersTimeout = HEADERS_MS
    server.keepAliveTimeout = KEEP_ALIVE_MS
    const at = `${listen.host}:${listen.port}`
    const bound = await listenAt(server, listen.host, listen.port).catch((error: unknown) => {
      const hint = LISTEN_HINTS[(error as NodeJS.ErrnoException).code ?? '']
      throw new HubError('HUB_SOURCE_LISTEN', `${at}: ${errorText(error)}`, { cause: error, canRetry: true, ...(hint === undefined ? {} : { hint }) }) // prettier-ignore
    })
    // A connection that cannot be accepted now: the next one may be.
    server.on('error', (error) => options.failed(error))
    return new HttpEndpoint(server, `${isTls(listen) ? 'https' : 'http'}://${bound}`)
  }

  /** Accepts nothing more; what is being answered has a moment to end. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const force = setTimeout(() => this.#server.closeAllConnections(), CLOSE_MS)
      this.#server.close(() => {
        clearTimeout(force)
        resolve()
      })
    })
    return this.#closing
  }
}

function isTls({ certFile, keyFile }: ListenConfig): boolean {
  return certFile !== undefined || keyFile !== undefined
}

function createServer(
  listen: ListenConfig,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  // prettier-ignore
  if (!isTls(listen)) return createHttpServer(handle)
  const read = (key: 'certFile' | 'keyFile'): Buffer => {
    try {
      return readFileSync(listen[key] ?? '')
    } catch (error) {
      const hint = 'Set listen.certFile and listen.keyFile to readable PEM files.'
      throw new HubError('HUB_SOURCE_TLS', `listen.${key} cannot be read: ${errorText(error)}`, { cause: error, hint })
    }
  }
  const pem = { cert: read('certFile'), key: read('keyFile') }
  try {
    return createHttpsServer({ ...pem, minVersion: 'TLSv1.2' }, handle)
  } catch (error) {
    const hint = 'Set listen.certFile and listen.keyFile to a certificate and its key, in PEM.'
    throw new HubError('HUB_SOURCE_TLS', `listen.certFile and listen.keyFile: ${errorText(error)}`, { cause: error, hint }) // prettier-ignore
  }
}

/** @param beforeSending called when it is known what to answer */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: EndpointOptions,
  beforeSending: () => void,
): Promise<void> {
  const gone = new AbortController()
  // Also after the answer, when nobody looks any more.
  response.once('close', () => gone.abort())
  // Of a connection that breaks; the signal says it.
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  let result: EndpointAnswer
  try {
    result = await options.handle(described(request, gone.signal, options.listen.bodyMax))
  } catch (error) {
    if (gone.signal.aborted) return
    if (error instanceof BodyTooLarge) result = { status: 413, body: `${error.message}\n` }
    else {
      options.failed(error)
      result = INTERNAL_ERROR
    }
  }
  if (gone.signal.aborted) return
  beforeSending()
  const isHead = request.method === 'HEAD'
  try {
    send(response, isHead, result)
  } catch (error) {
    // Not to be written, such as a header with a line break in it.
    options.failed(error)
    send(response, isHead, INTERNAL_ERROR)
  }
}

function described(request: IncomingMessage, signal: AbortSignal, bodyMax: number): EndpointRequest {
  const url = request.url ?? '/'
  const at = url.indexOf('?')
  return {
    method: request.method ?? 'GET',
    path: at === -1 ? url : url.slice(0, at),
    query: at === -1 ? '' : url.slice(at),
    headers: request.headers,
    remoteAddress: (request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    signal,
    body: async () => {
      const body = await readBody(request, bodyMax)
      if (body === undefined) throw new BodyTooLarge(`the body is larger than ${bodyMax} bytes`)
      return body
    },
  }
}

function send(response: ServerResponse, isHead: boolean, { status, headers = {}, body = '' }: EndpointAnswer): void {
  const content = typeof body === 'string' && body !== '' ? { 'Content-Type': 'text/plain; charset=utf-8' } : {}
  response.writeHead(status, { ...content, 'Content-Length': Buffer.byteLength(body), ...headers })
  response.end(isHead ? undefined : body)
}
