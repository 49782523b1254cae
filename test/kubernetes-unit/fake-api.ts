// A real HTTP server that plays an API server: it answers what each test tells it, and holds what it was asked.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

import type { Access } from '../../src/kubernetes/index.ts'

export type Answer = (response: ServerResponse, url: URL, request: IncomingMessage) => void

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  body: string
}

export class FakeApi implements AsyncDisposable {
  /** By path without query. */
  readonly answers = new Map<string, Answer>()
  readonly asked: Asked[] = []
  /** Connections that were made. */
  connections = 0
  readonly #server: Server
  readonly #isTls: boolean

  private constructor(tls: ServerOptions | undefined) {
    const handle: RequestListener = (request, response) => this.#answer(request, response)
    this.#isTls = tls !== undefined
    this.#server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle)
    this.#server.on(this.#isTls ? 'secureConnection' : 'connection', () => (this.connections += 1))
  }

  static async listen(tls?: ServerOptions): Promise<FakeApi> {
    const fake = new FakeApi(tls)
    fake.#server.listen(0)
    await once(fake.#server, 'listening')
    return fake
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `${this.#isTls ? 'https' : 'http'}://localhost:${this.port}`
  }

  /** How it is reached, by somebody whose tokens are these: the first one, and after a refusal the next. */
  access(...tokens: readonly string[]): Access {
    let at = 0
    const tls = {}
    return {
      server: this.url,
      namespace: 'here',
      from: 'a test',
      tls: () => Promise.resolve(tls),
      authorization: (refused) => {
        if (refused !== undefined && refused === `Bearer ${tokens[at]}` && at < tokens.length - 1) at += 1
        return Promise.resolve(tokens[at] === undefined ? undefined : `Bearer ${tokens[at]}`)
      },
    }
  }

  asksOf(path: string): readonly Asked[] {
    return this.asked.filter((one) => one.path === path)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://fake')
    const asked: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: '',
    }
    this.asked.push(asked)
    request.setEncoding('utf8')
    request.on('data', (piece: string) => (asked.body += piece))
    // Clients that go away are what some tests are about.
    response.on('error', () => {})
    request.on('end', () => {
      const answer = this.answers.get(url.pathname) ?? json({ kind: 'Status', reason: 'NotFound', code: 404 }, 404)
      answer(response, url, request)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

export function json(body: unknown, status = 200): Answer {
  return (response) => void response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

export function text(body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
  return (response) => void response.writeHead(status, headers).end(body)
}

/** Never answers. */
export const silent: Answer = () => {}
