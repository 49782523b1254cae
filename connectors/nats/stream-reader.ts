// Reads a stream by asking for one message after the other: no consumer is made, so nothing is consumed and nothing is left,
// whatever the retention of the stream. Owned by peek.ts.

import type { StoredMsg } from '@nats-io/jetstream'

/** The part of the server's API that is used. */
export interface StreamAccess {
  /** The latest place that the stream has given. */
  last(): Promise<number>
  /** The first message from this place on that the filter matches; null when there is none. */
  next(sequence: number, filter: string): Promise<StoredMsg | null>
}

/** Where the consumer of one filter stands. */
export interface Stand {
  readonly filter: string
  /** The first place that is not settled. */
  readonly next: number
  /** Up to here everything was delivered at least once. */
  readonly delivered: number
}

export interface Found {
  readonly message: StoredMsg
  /** Was delivered before. */
  readonly again: boolean
}

interface Cursor {
  readonly stand: Stand
  next: number
  found: StoredMsg | undefined
}

export class StreamReader {
  readonly #access: StreamAccess
  readonly #cursors: readonly Cursor[]

  constructor(access: StreamAccess, stands: readonly Stand[]) {
    this.#access = access
    this.#cursors = stands.map((stand) => ({ stand, next: Math.max(1, stand.next), found: undefined }))
  }

  /** What any of the filters matches, up to what the stream holds now, in its order and each once. Goes on where it ended. */
  async *upToNow(): AsyncIterable<Found> {
    const last = await this.#access.last()
    for (;;) {
      const sequence = await this.#first(last)
      if (sequence === undefined) return
      const at = this.#cursors.filter(({ found }) => found?.seq === sequence)
      const message = at[0]?.found as StoredMsg
      // By any consumer that has not delivered it yet it comes for the first time.
      const again = at.every(({ stand }) => sequence <= stand.delivered)
      for (const cursor of at) {
        cursor.next = sequence + 1
        cursor.found = undefined
      }
      yield { message, again }
    }
  }

  async #first(last: number): Promise<number | undefined> {
    let first: number | undefined
    for (const cursor of this.#cursors) {
      await this.#fill(cursor, last)
      if (cursor.found !== undefined && cursor.found.seq <= last) first = Math.min(first ?? Infinity, cursor.found.seq)
    }
    return first
  }

  async #fill(cursor: Cursor, last: number): Promise<void> {
    if (cursor.found !== undefined || cursor.next > last) return
    cursor.found = (await this.#access.next(cursor.next, cursor.stand.filter)) ?? undefined
    if (cursor.found === undefined) cursor.next = last + 1
  }
}
