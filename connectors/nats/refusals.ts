// What the server does not let this connection publish. It says so beside everything else, and not to who published; this
// finds them. Owned by emit.ts and probe.ts.

import { setImmediate } from 'node:timers/promises'

import { errors } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'

interface Watched {
  readonly subject: string
  readonly reject: (error: Error) => void
}

export class Refusals {
  readonly #nats: NatsConnection
  readonly #watched = new Set<Watched>()

  constructor(nats: NatsConnection) {
    this.#nats = nats
    void this.#watch()
  }

  /** As the work ends, unless the server refuses what was published to the subject meanwhile: then rejects with that. */
  async guard<T>(subject: string, work: Promise<T>): Promise<T> {
    const refused = Promise.withResolvers<never>()
    const watched = { subject, reject: refused.reject }
    this.#watched.add(watched)
    try {
      return await Promise.race([work, refused.promise])
    } finally {
      this.#watched.delete(watched)
      // Whichever came second is nobody's.
      for (const late of [work, refused.promise]) late.catch(() => undefined)
    }
  }

  /** The same, for what nobody answers: resolves when the server has read all that was published before. */
  async guardUnanswered(subject: string, flushed: Promise<void>): Promise<void> {
    // A refusal that stands before the PONG is told of later in the same turn.
    await this.guard(subject, flushed.then(() => setImmediate())) // prettier-ignore
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) {
      if (status.type !== 'error') continue
      const { error } = status
      if (!(error instanceof errors.PermissionViolationError) || error.operation !== 'publish') continue
      for (const { subject, reject } of this.#watched) if (subject === error.subject) reject(error)
    }
  }
}
