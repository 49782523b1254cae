// A load balancer in front of hubs that are called: each request goes to the next one that takes it. For the tests of
// connectors whose brokers know one address only.

import { createServer, request as send } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export class Balancer implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #backends: readonly number[]
  #next = 0

  private constructor(server: Server, port: number, backends: readonly number[]) {
    this.#server = server
    this.port = port
    this.#backends = backends
  }

  static async open(backends: readonly number[]): Promise<Balancer> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const balancer = new Balancer(server, (server.address() as AddressInfo).port, backends)
    server.on('request', (request, response) => void balancer.#pass(request, response))
    return balancer
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    } catch {
      return
    }
    this.#next += 1
    for (const [index] of this.#backends.entries()) {
      const port = this.#backends[(this.#next + index) % this.#backends.length] as number
      if (await forward(port, request, Buffer.concat(chunks), response)) return
    }
    response.writeHead(502).end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }
}

/** @returns false when nobody listens there */
function forward(port: number, { method, url, headers }: IncomingMessage, body: Buffer, response: ServerResponse) {
  return new Promise<boolean>((resolve) => {
    const onward = send({ host: '127.0.0.1', port, method, path: url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
      answer.once('error', () => response.destroy())
      resolve(true)
    })
    onward.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') return resolve(false)
      // It had it, and is gone: whoever waits for its answer waits in vain.
      response.destroy()
      resolve(true)
    })
    response.once('close', () => onward.destroy())
    onward.end(body)
  })
}
