// How far a stream has been read: kept by us in the state of the connector, since AMQP 0-9-1 has no place for it at the
// broker. Owned by the feed of the stream.

import { OffsetTracker } from '../../src/sdk/index.ts'
import type { StateStore } from '../../src/sdk/index.ts'

/** Settled behind one that is not: beyond it the broker sends no more until that one is settled. */
const SPAN_MAX = 10_000

/** Under which the state keeps the offset of the first message that is not settled. */
export function streamKey(stream: string): string {
  return `stream:${stream}`
}

export class StreamPlace {
  readonly #state: StateStore
  readonly #key: string
  readonly #initial: 'first' | 'last' | 'next'
  readonly #tracker = new OffsetTracker()
  #stored: bigint | undefined
  #next: bigint | undefined
  #saving: Promise<void> = Promise.resolve()
  #queued: Promise<void> | undefined

  private constructor(state: StateStore, key: string, initial: 'first' | 'last' | 'next', stored: bigint | undefined) {
    this.#state = state
    this.#key = key
    this.#initial = initial
    this.#stored = stored
    this.#next = stored
  }

  static async load(state: StateStore, stream: string, initial: 'first' | 'last' | 'next'): Promise<StreamPlace> {
    const key = streamKey(stream)
    const stored = await state.get(key)
    return new StreamPlace(state, key, initial, stored === undefined ? undefined : BigInt(stored))
  }

  /** Consumer argument `x-stream-offset`: the first one that is not settled. */
  get from(): number | 'first' | 'last' | 'next' {
    return this.#stored === undefined ? this.#initial : Number(this.#stored)
  }

  /**
   * Call for each message in the order of arrival.
   * @returns false for one that is settled already: the broker sends whole chunks
   */
  add(offset: bigint): boolean {
    if (this.#next !== undefined && offset < this.#next) return false
    // What `next` and `last` mean is fixed now, not by when the first event happens to be settled.
    if (this.#stored === undefined) {
      this.#stored = offset
      void this.#save().catch(() => undefined)
    }
    this.#tracker.add(offset)
    this.#next = offset + 1n
    return true
  }

  /** Too many are settled behind one that is not. */
  get isFull(): boolean {
    return this.#tracker.span >= SPAN_MAX
  }

  /** Resolves once durable; at once for one behind others that are not settled. Rejects when the state cannot be written. */
  async settle(offset: bigint): Promise<void> {
    if (!this.#tracker.settle(offset)) return
    this.#stored = this.#tracker.committable ?? this.#stored
    await this.#save()
  }

  /** Many settlements, one write; each resolves with the write that holds it. */
  #save(): Promise<void> {
    this.#queued ??= this.#saving.then(async () => {
      this.#queued = undefined
      this.#saving = this.#state.set(this.#key, String(this.#stored))
      try {
        await this.#saving
      } finally {
        // One that failed is reported to those who waited for it, and must not stop the next.
        this.#saving = Promise.resolve()
      }
    })
    return this.#queued
  }
}
