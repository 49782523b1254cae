// Keeps what is held hidden from others: looks at it three times in a visibility timeout, and has SQS hide for longer what is
// due. Owned by held.ts.

import type { Clock, ClockTimer } from '../../src/sdk/index.ts'
import { wholeSeconds } from './clients.ts'
import type { Entry } from './entry.ts'

export interface HeartbeatOptions {
  readonly clock: Clock
  readonly visibilityTimeoutMs: number
  /** All that is held. */
  readonly entries: () => Iterable<Entry>
  /** SQS does not hide it any longer. */
  readonly lapsed: (entry: Entry, reason: string) => void
}

/** SQS hides a message for so long after it was received, however often that is extended. */
const HIDDEN_MAX_MS = 43_200_000
/** Of the visibility timeout: how often it is looked at, and what may be left before it is extended. */
const LOOKS = 3
const LEFT_MIN = 2 / 3

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: ClockTimer | undefined

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** Goes on until `stop`; again is legal. */
  start(): void {
    this.stop()
    this.#timer = this.#options.clock.after(this.#options.visibilityTimeoutMs / LOOKS, () => {
      this.#look()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** For how long SQS could still hide it, in whole seconds. */
  secondsLeft({ receivedAt }: Entry): number {
    return Math.max(0, Math.floor((receivedAt + HIDDEN_MAX_MS - this.#options.clock.monotonic()) / 1000))
  }

  #look(): void {
    const { clock, visibilityTimeoutMs, entries } = this.#options
    const due = clock.monotonic() + visibilityTimeoutMs * LEFT_MIN
    for (const entry of entries())
      if (entry.settling === undefined && !entry.isLapsed && entry.hiddenUntil <= due) void this.#hideLonger(entry)
  }

  /** Never rejects. */
  async #hideLonger(entry: Entry): Promise<void> {
    const { clock, visibilityTimeoutMs, lapsed } = this.#options
    const seconds = Math.min(wholeSeconds(visibilityTimeoutMs), this.secondsLeft(entry))
    if (seconds === 0) {
      lapsed(entry, 'SQS hides a message for 12 hours at most')
      return
    }
    const { handle } = entry
    const askedAt = clock.monotonic()
    const untilNext = askedAt + visibilityTimeoutMs / LOOKS
    const fate = await entry.lane.hide(() => handle, seconds, () => untilNext) // prettier-ignore
    // Received again, or settled, meanwhile.
    if (entry.handle !== handle || entry.settling !== undefined) return
    if (fate === 'done') entry.hiddenUntil = askedAt + seconds * 1000
    if (fate === 'gone') lapsed(entry, 'it was given to somebody else')
  }
}
