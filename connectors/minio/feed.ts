// One open listen connection for one bucket, read line by line. Owned by listen-source.ts.

import { HubError, errorText, readS3Document } from '../../src/sdk/index.ts'
import type { S3Record } from '../../src/sdk/index.ts'
import type { Listening, MinioClient } from './client.ts'
import type { Wish } from './wishes.ts'
import { lostProblem } from './problems.ts'

export interface FeedOwner {
  /** Resolves when it was taken; the connection is not read meanwhile. */
  take(record: S3Record, signal: AbortSignal): Promise<void>
  /** The connection has ended, and not because it was stopped. */
  lost(error: HubError): void
}

export class Feed {
  readonly wish: Wish
  readonly serverTimeMs: number
  readonly #at: string
  readonly #stop: AbortController
  readonly #ended: Promise<void>

  private constructor(at: string, wish: Wish, listening: Listening, stop: AbortController, owner: FeedOwner) {
    this.wish = wish
    this.serverTimeMs = listening.serverTimeMs
    this.#at = at
    this.#stop = stop
    this.#ended = this.#read(listening.lines, owner)
  }

  /** @param signal of the opening alone. @throws HubError HUB_SOURCE_* */
  static async open(client: MinioClient, wish: Wish, owner: FeedOwner, signal: AbortSignal): Promise<Feed> {
    const stop = new AbortController()
    const abort = (): void => stop.abort(signal.reason)
    signal.throwIfAborted()
    signal.addEventListener('abort', abort, { once: true })
    try {
      return new Feed(client.at, wish, await client.listen(wish, stop.signal), stop, owner)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #read(lines: AsyncIterable<string>, owner: FeedOwner): Promise<void> {
    const { signal } = this.#stop
    const where = `${this.#at}, bucket ${this.wish.bucket}`
    try {
      for await (const line of lines) {
        const document = readS3Document(line, 'plain')
        if (document.kind === 'unknown')
          throw new HubError('HUB_SOURCE_PROTOCOL', `${where}: a line is no notification: ${document.reason}`, { canRetry: true }) // prettier-ignore
        if (document.kind === 'records') for (const record of document.records) await owner.take(record, signal)
      }
      if (!signal.aborted) owner.lost(lostProblem(where, 'MinIO has ended the connection'))
    } catch (error) {
      if (signal.aborted) return
      owner.lost(error instanceof HubError ? error : lostProblem(where, `the connection broke: ${errorText(error)}`, error)) // prettier-ignore
    }
  }
}
