// An HTTP server that tests take away and bring back at the same address.

import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export class HttpListener implements AsyncDisposable {
  readonly #handle: RequestListener
  #server: Server | undefined
  #port: number

  /** @param port 0: any free one, which `start` then keeps */
  constructor(handle: RequestListener, port = 0) {
    this.#handle = handle
    this.#port = port
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** At the same address after `stop`. */
  async start(): Promise<void> {
    const server = createServer(this.#handle)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  /** Closes the listener and every connection. Idempotent. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
