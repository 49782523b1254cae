// Deliveries as they end, no faster than a person can read: what is beyond that is counted by outcome, and failures come
// before successes. Holds a second's worth of lines at most. Used by `tail` and by live-view.ts.

import type { DeliveryEnd } from '../delivery/ledger.ts'
import { systemClock } from '../sdk/index.ts'
import type { Clock, ClockTimer } from '../sdk/index.ts'
import { isFailure } from './delivery-lines.ts'
import type { DeliveryLine } from './delivery-lines.ts'

/** A person can follow about so many. */
export const LINES_A_SECOND = 20
const SECOND_MS = 1000
const WORDS: Readonly<Record<DeliveryEnd, string>> = {
  acked: 'acked',
  unmatched: 'unmatched',
  filtered: 'filtered out',
  deadLettered: 'dead letters',
  returned: 'returned',
}

/** `deadLettered: 3, acked: 970` as `3 dead letters, 970 acked`, failures first. */
export function leftOutText(counts: Readonly<Partial<Record<DeliveryEnd, number>>>): string {
  const order: readonly DeliveryEnd[] = ['deadLettered', 'returned', 'acked', 'filtered', 'unmatched']
  return order.flatMap((end) => ((counts[end] ?? 0) > 0 ? [`${counts[end]} ${WORDS[end]}`] : [])).join(', ')
}

export class DeliverySample implements Disposable {
  readonly #write: (line: string, isCount: boolean) => void
  readonly #clock: Clock
  /** Of the second that runs; undefined when nothing has been shown for one. */
  #timer: ClockTimer | undefined
  #shown = 0
  /** Failures that found no place in their second and are shown in the next. */
  #held: DeliveryLine[] = []
  #leftOut: Partial<Record<DeliveryEnd, number>> = {}

  /** @param write called with each line, and with the count `… 980 more: …` at the end of a second that had more */
  constructor(write: (line: string, isCount: boolean) => void, clock: Clock = systemClock) {
    this.#write = write
    this.#clock = clock
  }

  add(lines: readonly DeliveryLine[]): void {
    for (const line of lines) this.#add(line)
  }

  /** What is held and what was counted is shown now. */
  [Symbol.dispose](): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#turn()
  }

  #add(line: DeliveryLine): void {
    this.#timer ??= this.#clock.after(SECOND_MS, () => this.#secondIsOver())
    if (this.#shown < LINES_A_SECOND) {
      this.#shown += 1
      this.#write(line.text, false)
    } else if (isFailure(line.end) && this.#held.length < LINES_A_SECOND) this.#held.push(line)
    else this.#leftOut[line.end] = (this.#leftOut[line.end] ?? 0) + 1
  }

  #secondIsOver(): void {
    this.#timer = undefined
    this.#turn()
    if (this.#shown > 0) this.#timer = this.#clock.after(SECOND_MS, () => this.#secondIsOver())
  }

  #turn(): void {
    const counts = this.#leftOut
    this.#leftOut = {}
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
    if (total > 0) this.#write(`… ${total} more: ${leftOutText(counts)}`, true)
    this.#shown = this.#held.length
    for (const { text } of this.#held) this.#write(text, false)
    this.#held = []
  }
}
