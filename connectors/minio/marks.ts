// How far the changes of each bucket are known and settled, kept over restarts, so that a catch-up knows where to begin and
// what it need not bring again. Knows neither MinIO nor the hub's deliveries. Owned by listen-source.ts.

import { keepNewest } from '../../src/sdk/index.ts'
import type { Clock, ClockTimer, S3Record, StateStore } from '../../src/sdk/index.ts'
import { Recent } from './recent.ts'

/** One change of an object, as both a record and a listing tell it. */
export interface Change {
  readonly key: string
  /** Undefined without versioning. */
  readonly versionId: string | undefined
  /** Of the change, by MinIO's clock; Unix milliseconds. */
  readonly changedMs: number
}

/** Changes remembered for each bucket, and how many of them are written down. */
const SEEN_MAX = 10_000
const SAVED_MAX = 1000
const SAVE_EVERY_MS = 1000
const CREATIONS = new Set(['Put', 'Post', 'Copy', 'CompleteMultipartUpload'].map((name) => `s3:ObjectCreated:${name}`))
const MARKER = 's3:ObjectRemoved:DeleteMarkerCreated'

/** The change that a record tells of; undefined for records of what a listing does not show. */
export function changeOf({ eventName, key, versionId, sequencer }: S3Record): Change | undefined {
  if ((!CREATIONS.has(eventName) && eventName !== MARKER) || !/^[0-9a-f]{1,16}$/i.test(sequencer ?? ''))
    return undefined
  // MinIO makes it from the time of the change, in nanoseconds. Listings have milliseconds, cut off.
  const changedMs = Number(BigInt(`0x${sequencer}`) / 1_000_000n)
  return { key, versionId: versionId === 'null' ? undefined : versionId, changedMs }
}

interface Saved {
  readonly markMs: number
  /** Settled changes since then. */
  readonly seen: readonly string[]
}

/** Of one bucket. */
export class Mark {
  markMs: number
  readonly seen = new Recent(SEEN_MAX)
  /** Handed out and not settled, and settled ones that are not before the mark. */
  readonly unsettled = new Map<string, number>()
  readonly settled = new Map<string, number>()
  /** Nothing before this is known to be complete: a catch-up goes on, or has failed. */
  hasGap = false

  constructor({ markMs, seen }: Saved) {
    this.markMs = markMs
    for (const id of seen) this.seen.add(id)
    for (const id of seen) this.settled.set(id, markMs)
  }

  /** Bounded: a catch-up that fails leaves its gap for as long as the connection lasts. */
  settle(id: string, changedMs: number): void {
    this.unsettled.delete(id)
    this.settled.set(id, changedMs)
    keepNewest(this.settled, SEEN_MAX)
  }

  advance(): Saved {
    if (!this.hasGap) {
      const oldestMs = Math.min(...this.unsettled.values())
      for (const changedMs of this.settled.values())
        if (changedMs <= oldestMs) this.markMs = Math.max(this.markMs, changedMs)
      for (const [id, changedMs] of this.settled) if (changedMs < this.markMs) this.settled.delete(id)
    }
    return { markMs: this.markMs, seen: [...this.settled.keys()].slice(-SAVED_MAX) }
  }
}

export class Marks {
  readonly #state: StateStore
  readonly #clock: Clock
  readonly #failed: (error: unknown) => void
  readonly #marks = new Map<string, Mark>()
  readonly #changed = new Set<string>()
  #timer: ClockTimer | undefined
  #saving: Promise<void> = Promise.resolve()

  /** @param failed told when the state cannot be written */
  constructor(state: StateStore, clock: Clock, failed: (error: unknown) => void) {
    this.#state = state
    this.#clock = clock
    this.#failed = failed
  }

  /**
   * A connection for the bucket is open, so what happens from now on is told: what was before must be caught up with.
   * @param nowMs where it begins when nothing was ever seen
   * @returns where the gap begins, Unix milliseconds; undefined when there is none, since this is the first time
   */
  async open(bucket: string, nowMs: number): Promise<number | undefined> {
    let mark = this.#marks.get(bucket)
    if (mark === undefined) {
      const text = await this.#state.get(keyOf(bucket))
      mark = new Mark(text === undefined ? { markMs: nowMs, seen: [] } : (JSON.parse(text) as Saved))
      this.#marks.set(bucket, mark)
      if (text === undefined) {
        // Before anything is told: whoever follows a hub that is killed at once has to know where it began.
        this.#changed.add(bucket)
        await this.#save()
        return undefined
      }
    }
    mark.hasGap = true
    return mark.markMs
  }

  /** The catch-up has ended: everything before now was told or left out. */
  complete(bucket: string): void {
    const mark = this.#marks.get(bucket)
    if (mark === undefined) return
    mark.hasGap = false
    this.#touch(bucket)
  }

  /** @returns false for a change that was taken before */
  take(bucket: string, change: Change): boolean {
    const mark = this.#marks.get(bucket)
    const id = idOf(change)
    if (mark === undefined) return true
    if (!mark.seen.add(id)) return false
    mark.unsettled.set(id, change.changedMs)
    return true
  }

  settled(bucket: string, change: Change): void {
    const mark = this.#marks.get(bucket)
    if (mark === undefined) return
    mark.settle(idOf(change), change.changedMs)
    this.#touch(bucket)
  }

  /** Written down, and no timer is left. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#save()
  }

  #touch(bucket: string): void {
    this.#changed.add(bucket)
    this.#timer ??= this.#clock.after(SAVE_EVERY_MS, () => {
      this.#timer = undefined
      void this.#save()
    })
  }

  #save(): Promise<void> {
    const buckets = [...this.#changed]
    this.#changed.clear()
    this.#saving = this.#saving.then(async () => {
      try {
        for (const bucket of buckets) {
          const saved = this.#marks.get(bucket)?.advance()
          if (saved !== undefined) await this.#state.set(keyOf(bucket), JSON.stringify(saved))
        }
      } catch (error) {
        this.#failed(error)
      }
    })
    return this.#saving
  }
}

function keyOf(bucket: string): string {
  return `minio.seen.${bucket}`
}

/** A version is written once; without versions, what was written when. */
function idOf({ key, versionId, changedMs }: Change): string {
  return versionId === undefined ? `${changedMs} ${key}` : `v ${versionId} ${key}`
}
