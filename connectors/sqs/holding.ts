// Messages that were received for a person to see, kept hidden for as long as that takes and then given back. The hub's own
// are in held.ts. Owned by looker.ts and letter-place.ts.

import type { Clock, ClockTimer } from '../../src/sdk/index.ts'
import type { Lane } from './lane.ts'

export interface HoldingOptions {
  readonly lane: Lane<never>
  readonly clock: Clock
  /** After a crash they come back when it is over. */
  readonly seconds: number
}

/** How often in that time it is extended. */
const LOOKS = 3
/** For SQS to be told at the end; what it is not told comes back by itself. */
const GIVE_BACK_MS = 3000

export class Holding {
  readonly #lane: Lane<never>
  readonly #clock: Clock
  readonly #seconds: number
  /** Latest receipts by message. */
  readonly #handles = new Map<string, string>()
  #timer: ClockTimer | undefined
  #extending: Promise<unknown> = Promise.resolve()
  #isEnded = false

  constructor({ lane, clock, seconds }: HoldingOptions) {
    this.#lane = lane
    this.#clock = clock
    this.#seconds = seconds
  }

  get size(): number {
    return this.#handles.size
  }

  get ids(): Iterable<string> {
    return this.#handles.keys()
  }

  /** Undefined: it is removed, or not ours any more. */
  handleOf(id: string): string | undefined {
    return this.#handles.get(id)
  }

  /** @param handle of a receive that has hidden it for as long already */
  add(id: string, handle: string): void {
    this.#handles.set(id, handle)
    this.#timer ??= this.#later()
  }

  /** Hidden for as long from now on. Never rejects. */
  async hide(id: string, handle: string): Promise<void> {
    this.add(id, handle)
    await this.#extend(id, handle)
  }

  drop(id: string): void {
    this.#handles.delete(id)
  }

  /** Makes everything visible again. Never rejects. @returns what that is */
  async release(): Promise<readonly string[]> {
    // Told later, it would hide again what was given back.
    await this.#extending
    const held = [...this.#handles]
    this.#handles.clear()
    await Promise.all(held.map(([, handle]) => this.giveBack(handle)))
    return held.map(([id]) => id)
  }

  /** For good. Never rejects. Idempotent. */
  async end(): Promise<void> {
    this.#isEnded = true
    this.#timer?.cancel()
    await this.release()
  }

  /** One that was received and is not held. Never rejects. */
  async giveBack(handle: string): Promise<void> {
    const untilMs = this.#clock.monotonic() + GIVE_BACK_MS
    await this.#lane.hide(() => handle, 0, () => untilMs) // prettier-ignore
  }

  #later(): ClockTimer {
    return this.#clock.after((this.#seconds * 1000) / LOOKS, () => {
      this.#extending = this.#extendAll()
      void this.#extending.then(() => {
        if (!this.#isEnded) this.#timer = this.#later()
      })
    })
  }

  async #extendAll(): Promise<void> {
    await Promise.all([...this.#handles].map(([id, handle]) => this.#extend(id, handle)))
  }

  async #extend(id: string, handle: string): Promise<void> {
    const untilMs = this.#clock.monotonic() + (this.#seconds * 1000) / LOOKS
    const fate = await this.#lane.hide(() => handle, this.#seconds, () => untilMs) // prettier-ignore
    if (fate === 'gone' && this.#handles.get(id) === handle) this.#handles.delete(id)
  }
}
