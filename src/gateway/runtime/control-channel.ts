// The gateway's side of a function's file descriptor 3: its runner says `ready` once the handler is loaded, answers `ping`
// while it is able to do anything at all, and ends when the gateway's end closes.

import type { Duplex } from 'node:stream'

import { onLines } from './process-group.ts'

export class ControlChannel {
  readonly #stream: Duplex
  /** Resolves when the handler is loaded; never rejects. */
  readonly ready: Promise<void>
  #onPong: (() => void) | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ready = promise
    onLines(stream, (line) => {
      if (line === 'ready') resolve()
      else if (line === 'pong') this.#onPong?.()
    })
  }

  /** True when it answered in time. */
  async ping(timeoutMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#onPong = () => resolve(true)
    const timer = setTimeout(() => resolve(false), timeoutMs)
    // It may go away while we ask; then its exit says so.
    this.#stream.write('ping\n')
    const answered = await promise
    clearTimeout(timer)
    return answered
  }
}
