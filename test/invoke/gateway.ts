// A real HTTP server on a free port that the test scripts, and an invoker pointed at it.

import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { HttpInvoker } from '../../src/invoke/http-invoker.ts'
import type { HttpInvokerOptions } from '../../src/invoke/http-invoker.ts'
import type { Invocation } from '../../src/invoke/outcome.ts'
import { systemClock } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

export interface Received {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type Answer = (request: Received, response: ServerResponse) => void

export class Gateway implements AsyncDisposable {
  readonly received: Received[] = []
  readonly #server: Server
  answer: Answer = (_, response) => void response.end()

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => void chunks.push(chunk))
      request.on('end', () => {
        const { method = '', url = '', rawHeaders, headers } = request
        const one = { method, url, rawHeaders, headers, body: Buffer.concat(chunks) }
        this.received.push(one)
        this.answer(one, response)
      })
    })
  }

  static async start(port = 0): Promise<Gateway> {
    const gateway = new Gateway()
    await new Promise<void>((resolve, reject) => {
      gateway.#server.once('error', reject)
      gateway.#server.listen(port, '127.0.0.1', resolve)
    })
    return gateway
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A port that nobody listens on: taken once and given back. */
export async function freePort(): Promise<number> {
  await using gateway = await Gateway.start()
  return gateway.port
}

export function invoker(gatewayUrl: string, more: Partial<HttpInvokerOptions> = {}): HttpInvoker & AsyncDisposable {
  const made = new HttpInvoker({
    gatewayUrl,
    connector: 'connector-hub/test',
    contentType: 'application/json',
    userAgent: 'connector-hub/0',
    connectionsMax: 4,
    clock: systemClock,
    ...more,
  })
  return Object.assign(made, { [Symbol.asyncDispose]: () => made.close() })
}

export function invocation(message: Partial<EventMessage> = {}, more: Partial<Invocation> = {}): Invocation {
  return {
    function: 'echo.openfaas-fn',
    mode: 'sync',
    message: {
      id: '1',
      source: 'test',
      topic: 'orders',
      body: Buffer.from('{}'),
      headers: {},
      attempt: 1,
      timestampMs: 0,
      ...message,
    },
    timeoutMs: 10_000,
    callbackUrl: undefined,
    responseBytesMax: 0,
    signal: undefined,
    ...more,
  }
}
