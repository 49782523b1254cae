// A real HTTP server that plays an OpenFaaS gateway's /system routes, and any fault on demand.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ListedFunction {
  readonly name: unknown
  readonly annotations?: unknown
  readonly [key: string]: unknown
}

type Respond = (request: IncomingMessage, response: ServerResponse) => void

export class FakeGateway implements AsyncDisposable {
  /** By namespace; a key '' alone: a gateway without namespaces. */
  namespaces: Record<string, readonly ListedFunction[]> = {}
  /** `user:password` that is asked for. */
  credentials: string | undefined
  /** Path prefix under which the gateway is served. */
  prefix = ''
  /** Faults by path with query, or by '*'. */
  readonly faults = new Map<string, Respond>()
  readonly requests: { readonly url: string; readonly authorization: string | undefined }[] = []
  readonly #server: Server
  #port = 0

  constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response))
  }

  async listen(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
    return this
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}${this.prefix}`
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? ''
    this.requests.push({ url, authorization: request.headers.authorization })
    const path = url.startsWith(this.prefix) ? url.slice(this.prefix.length) : `outside ${url}`
    const fault = this.faults.get(path) ?? this.faults.get('*')
    if (fault !== undefined) return fault(request, response)
    const expected =
      this.credentials === undefined ? undefined : `Basic ${Buffer.from(this.credentials).toString('base64')}`
    if (request.headers.authorization !== expected) return status(401, 'invalid credentials')(request, response)
    if (path === '/system/namespaces') {
      const names = Object.keys(this.namespaces).filter((name) => name !== '')
      return names.length === 0 ? status(404, '404 page not found')(request, response) : json(names)(request, response)
    }
    const parsed = new URL(path, 'http://gateway')
    if (parsed.pathname !== '/system/functions') return status(404, 'no such route')(request, response)
    json(this.namespaces[parsed.searchParams.get('namespace') ?? ''] ?? [])(request, response)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}

export function json(value: unknown): Respond {
  return (_request, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

export function status(code: number, body: string, headers: Readonly<Record<string, string>> = {}): Respond {
  return (_request, response) => response.writeHead(code, headers).end(body)
}

/** Promises more than it sends, then resets the connection. */
export const resetMidBody: Respond = (request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
  response.write('[{"name":"a",', () => request.socket.resetAndDestroy())
}

/** Sends for as long as somebody reads. */
export const endless: Respond = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  const chunk = Buffer.alloc(64 * 1024, ' ')
  const send = (): void => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', send)
  send()
}

/** Takes the request and never answers. */
export const silent: Respond = () => {}
