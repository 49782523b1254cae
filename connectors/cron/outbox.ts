// Fires that are due and not handed out. Where replicas take turns each is claimed first, all that there is room for in one
// write, and none is handed out that could be another's by now. Knows no schedules; called by cron-source.ts.

import type { Leadership } from '../../src/sdk/index.ts'
import type { Fire } from './fire.ts'
import type { Marks } from './marks.ts'

export class Outbox {
  readonly #marks: Marks
  readonly #leadership: Leadership | undefined
  /** There may be one to take now, or an error to be told. */
  readonly #changed: () => void
  /** In the order they came due. */
  #waiting = new Set<Fire>()
  /** Ours, and not handed out. */
  #claimed: Fire[] = []
  /** Their claim is on its way. */
  #claiming: readonly Fire[] | undefined
  #failure: unknown
  /** Counts the times it was emptied: what was begun before is of no interest. */
  #life = 0

  constructor(marks: Marks, leadership: Leadership | undefined, changed: () => void) {
    this.#marks = marks
    this.#leadership = leadership
    this.#changed = changed
  }

  add(fire: Fire): void {
    this.#waiting.add(fire)
    this.#changed()
  }

  /** Not to be handed out any more. */
  remove(fire: Fire): void {
    this.#waiting.delete(fire)
    this.#claimed = this.#claimed.filter((one) => one !== fire)
  }

  /** The next one; undefined when `changed` will say that there is one. @throws what a claim has failed with */
  take(room: number): Fire | undefined {
    if (room <= 0) return undefined
    if (this.#leadership === undefined) {
      const [fire] = this.#waiting
      if (fire !== undefined) this.#waiting.delete(fire)
      return fire
    }
    if (this.#failure !== undefined) {
      const failure = this.#failure
      this.#failure = undefined
      throw failure
    }
    // The signal of the term ends the reader.
    if (this.#leadership.term?.held() !== true) return undefined
    const fire = this.#claimed.shift()
    if (fire === undefined) this.#claim(room)
    return fire
  }

  /** It was handed out and not invoked: it is still ours as long as nobody else has had a term. */
  takeBack(fire: Fire): void {
    this.#claimed.push(fire)
    this.#claimed.sort((one, other) => one.plannedMs - other.plannedMs)
  }

  /** @returns what was claimed, or is being, and never handed out */
  clear(): readonly Fire[] {
    this.#life += 1
    this.#waiting.clear()
    const claiming = stillWanted(this.#claiming ?? [])
    this.#claiming = undefined
    this.#failure = undefined
    return [...this.#claimed.splice(0), ...claiming]
  }

  #claim(room: number): void {
    if (this.#claiming !== undefined || this.#waiting.size === 0) return
    const batch = [...this.#waiting.values().take(room)]
    for (const fire of batch) this.#waiting.delete(fire)
    const life = this.#life
    const ended = (after: (fires: readonly Fire[]) => void): void => {
      if (life !== this.#life) return
      this.#claiming = undefined
      after(stillWanted(batch))
      this.#changed()
    }
    this.#claiming = batch
    this.#marks.claim(batch).then(
      () => ended((fires) => this.#claimed.push(...fires)),
      (error: unknown) =>
        ended((fires) => {
          this.#waiting = new Set([...fires, ...this.#waiting])
          this.#failure = error
        }),
    )
  }
}

/** Those of a schedule that has gone meanwhile, or that a later fire has replaced, are nobody's. */
function stillWanted(fires: readonly Fire[]): readonly Fire[] {
  return fires.filter((fire) => !fire.entry.removed && !fire.abort.signal.aborted)
}
