// Confirms what was published on one connection: the server answers a PING after all that was sent before it. One PING for
// all that is published while the last one is under way. Owned by held.ts.

import type { NatsConnection } from '@nats-io/transport-node'

export class Flushes {
  readonly nats: NatsConnection
  /** Of the flush that is under way. */
  #fail: ((error: Error) => void) | undefined
  #current: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor(nats: NatsConnection) {
    this.nats = nats
    void nats.closed().then(() => this.#fail?.(new Error('the connection has ended')))
  }

  /** Resolves when the server has read what was published before this call; rejects when the connection ends first. */
  done(): Promise<void> {
    this.#next ??= this.#after(this.#current)
    return this.#next
  }

  async #after(current: Promise<void>): Promise<void> {
    await current.catch(() => undefined)
    this.#current = this.#flush()
    this.#next = undefined
    await this.#current
  }

  /** The client forgets about a flush when its connection ends. */
  #flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fail = reject
      this.nats.flush().then(resolve, reject)
      if (this.nats.isClosed()) reject(new Error('the connection has ended'))
    })
  }
}
