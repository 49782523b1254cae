// One request and its answer over a dispatcher, with as little in between as HTTP allows: what has arrived in one piece is
// handed on in one piece, anything longer as a stream, at the pace of its reader. Used by forward.ts.

import { Readable } from 'node:stream'
import type { Duplex } from 'node:stream'

import type { Dispatcher } from 'undici'

import type { RuntimeAnswer } from './runtime.ts'

export interface ExchangeRequest {
  readonly method: string
  readonly path: string
  /** Flat name, value list. */
  readonly headers: readonly string[]
  readonly body: Readable | Uint8Array | undefined
  /** To change to; a refusal is an answer as any other. */
  readonly upgrade?: string | undefined
}

type Controller = Dispatcher.DispatchController

export class Exchange implements Dispatcher.DispatchHandler {
  /** Rejects when there is no answer; one that breaks off breaks its body. */
  readonly answer: Promise<RuntimeAnswer>
  readonly #resolve: (answer: RuntimeAnswer) => void
  readonly #reject: (error: Error) => void
  readonly #requestBody: Readable | undefined
  readonly #onOver: () => void
  #controller: Controller | undefined
  #status = 0
  #headers: string[] = []
  #chunks: Buffer[] = []
  #stream: Readable | undefined
  #hasEnded = false
  #failure: Error | undefined

  /** Sent at once. @param onOver called once, when nothing of it is left to come; not if it is aborted before the answer */
  constructor(dispatcher: Dispatcher, { method, path, headers, body, upgrade }: ExchangeRequest, onOver: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<RuntimeAnswer>()
    this.answer = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#onOver = onOver
    this.#requestBody = body instanceof Readable ? body : undefined
    // Destroyed when the exchange fails, and then nobody else listens.
    this.#requestBody?.on('error', () => {})
    dispatcher.dispatch(
      { method, path, headers: headers as string[], body: body ?? null, upgrade: upgrade ?? null },
      this,
    )
  }

  /** Ends it wherever it is; what the promise or the reader of the body hears is `reason`. */
  abort(reason: Error): void {
    this.#failure ??= reason
    this.#controller?.abort(reason)
    // Of one that still waits for a connection nothing else is heard.
    this.#fail(reason)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#failure !== undefined) controller.abort(this.#failure)
  }

  onResponseStart({ rawHeaders }: Controller, status: number): void {
    // Informational: the answer is still to come.
    if (status < 200) return
    this.#status = status
    this.#headers = textsOf(rawHeaders)
    // The parser hands over all that has arrived before anything else runs.
    queueMicrotask(() => this.#settle())
  }

  onRequestUpgrade({ rawHeaders }: Controller, status: number, _headers: unknown, socket: Duplex): void {
    this.#hasEnded = true
    if (this.#failure !== undefined) socket.destroy()
    this.#resolve({ status, headers: textsOf(rawHeaders), body: EMPTY, socket })
    this.#onOver()
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#stream === undefined) this.#chunks.push(chunk)
    else if (!this.#stream.push(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.#hasEnded = true
    this.#stream?.push(null)
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(this.#failure ?? error)
  }

  #settle(): void {
    if (this.#failure !== undefined) return
    const answer = { status: this.#status, headers: this.#headers }
    if (this.#hasEnded) {
      const [first, ...others] = this.#chunks
      const body = first === undefined ? EMPTY : others.length === 0 ? first : Buffer.concat(this.#chunks)
      this.#resolve({ ...answer, body })
      this.#onOver()
      return
    }
    this.#stream = this.#openStream()
    for (const chunk of this.#chunks) if (!this.#stream.push(chunk)) this.#controller?.pause()
    this.#chunks = []
    this.#resolve({ ...answer, body: this.#stream })
  }

  #openStream(): Readable {
    const stream = new Readable({
      read: () => this.#controller?.resume(),
      destroy: (error, done) => {
        if (!this.#hasEnded) this.#controller?.abort(error ?? new Error('nobody reads the answer'))
        done(error)
      },
    })
    stream.once('close', this.#onOver)
    // Whoever reads it hears of it; nobody may have begun.
    stream.on('error', () => {})
    return stream
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#requestBody?.destroy(error)
    if (this.#stream === undefined) this.#reject(error)
    else this.#stream.destroy(error)
  }
}

const EMPTY = Buffer.alloc(0)

/** A character for each byte, as the headers of Node's own servers and clients are. */
function textsOf(raw: Controller['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')))
}
