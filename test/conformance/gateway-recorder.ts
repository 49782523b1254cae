// The gateway's side of hub scenarios: a real HTTP server that records every invocation and answers as the test says.

import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Set by the rig on the way out, so that the recorder knows which event it is asked about. */
export const TAG_HEADER = 'X-Conformance-Tag'

export interface Recorded {
  readonly function: string
  readonly tag: string
  readonly body: Buffer
  /** By the clock of the suite. */
  readonly atMs: number
  /** Sends the answer; once. */
  answer(status: number): void
  /** HTTP status it was answered with; undefined while it is open. */
  status: number | undefined
}

export class GatewayRecorder implements AsyncDisposable {
  readonly requests: Recorded[] = []
  /** Decides when a request is complete; undefined leaves it open for the test to answer. */
  decide: (request: Recorded) => number | undefined = () => 200
  readonly #server: Server
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
    this.#server = createServer((request, response) => void this.#take(request, response))
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => void this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  of(tag: string, name?: string): readonly Recorded[] {
    return this.requests.filter((request) => request.tag === tag && (name === undefined || request.function === name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return // the invoker hung up: what a drain does
    }
    const recorded: Recorded = {
      function: /^\/function\/([^/?]+)/.exec(request.url ?? '')?.[1] ?? '',
      tag: String(request.headers[TAG_HEADER.toLowerCase()] ?? ''),
      body: Buffer.concat(chunks),
      atMs: this.#now(),
      status: undefined,
      answer(status) {
        if (this.status !== undefined) return
        this.status = status
        response.writeHead(status).end()
      },
    }
    this.requests.push(recorded)
    const status = this.decide(recorded)
    if (status !== undefined) recorded.answer(status)
  }
}
