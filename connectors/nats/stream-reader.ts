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
  /** Read and not handed out, in the order of the stream: all that there is before `next`. */
  ahead: StoredMsg[]
  /** How many places are asked for at once. */
  window: number
}

/** Of all filters together; a message may be as large as the server takes. */
const AHEAD_MAX = 32

export class StreamReader {
  readonly #access: StreamAccess
  readonly #cursors: readonly Cursor[]
  readonly #windowMax: number

  constructor(access: StreamAccess, stands: readonly Stand[]) {
    this.#access = access
    this.#cursors = stands.map((stand) => ({ stand, next: Math.max(1, stand.next), ahead: [], window: 1 }))
    this.#windowMax = Math.max(1, Math.floor(AHEAD_MAX / stands.length))
  }

  /** What any of the filters matches, up to what the stream holds now, in its order and each once. Goes on where it ended. */
  async *upToNow(): AsyncIterable<Found> {
    const last = await this.#access.last()
    for (;;) {
      const sequence = await this.#first(last)
      if (sequence === undefined) return
      const at = this.#cursors.filter(({ ahead }) => ahead[0]?.seq === sequence)
      // By any consumer that has not delivered it yet it comes for the first time.
      const again = at.every(({ stand }) => sequence <= stand.delivered)
      const [message] = at.map(({ ahead }) => ahead.shift())
      if (message !== undefined) yield { message, again }
    }
  }

  async #first(last: number): Promise<number | undefined> {
    let first: number | undefined
    for (const cursor of this.#cursors) {
      await this.#fill(cursor, last)
      const sequence = cursor.ahead[0]?.seq
      if (sequence !== undefined && sequence <= last) first = Math.min(first ?? Infinity, sequence)
    }
    return first
  }

  /** Several places at once, as long as each has a message of its own: far from the server it is the way that takes the time. */
  async #fill(cursor: Cursor, last: number): Promise<void> {
    const { ahead, next, window, stand } = cursor
    if (ahead.length > 0 || next > last) return
    const places = Array.from({ length: Math.min(window, last + 1 - next) }, (_, index) => next + index)
    const found = await Promise.all(places.map((place) => this.#access.next(place, stand.filter)))
    // What matches nothing else than the one after it is found more than once.
    const distinct = new Map(found.flatMap((message) => (message === null ? [] : [[message.seq, message] as const])))
    cursor.ahead = [...distinct.values()].toSorted((left, right) => left.seq - right.seq)
    const isDense = distinct.size * 2 > places.length
    cursor.window = isDense ? Math.min(this.#windowMax, window * 2) : Math.ceil(window / 2)
    cursor.next = Math.max(cursor.ahead.at(-1)?.seq ?? 0, places.at(-1) ?? 0) + 1
    if (found.at(-1) === null) cursor.next = Math.max(cursor.next, last + 1)
  }
}
