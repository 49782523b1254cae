// A durable subscription of the loopback broker: its backlog, who holds what, and what comes back when. Memory is its disk.

import type { Clock } from '../../../src/sdk/index.ts'
import type { Entry } from './wire.ts'

/** A connected member of the group. */
export interface Consumer {
  readonly window: number
  readonly held: Map<bigint, Entry>
  give(entry: Entry): void
}

export class Group {
  topics: ReadonlySet<string> = new Set()
  readonly #clock: Clock
  readonly #consumers: Consumer[] = []
  #backlog: Entry[] = []
  #head = 0
  #seq = 0n
  #turn = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  append(event: Omit<Entry, 'seq' | 'attempt'>): void {
    this.#backlog.push({ ...event, seq: this.#seq++, attempt: 0 })
    this.#hand()
  }

  /** Idempotent. */
  join(consumer: Consumer): void {
    if (!this.#consumers.includes(consumer)) this.#consumers.push(consumer)
    this.#hand()
  }

  /** What the member held goes back to its place in the backlog. */
  leave(consumer: Consumer): void {
    const at = this.#consumers.indexOf(consumer)
    if (at < 0) return
    this.#consumers.splice(at, 1)
    this.#backlog = [...consumer.held.values(), ...this.#backlog.slice(this.#head)].sort((left, right) =>
      left.seq < right.seq ? -1 : 1,
    )
    this.#head = 0
    consumer.held.clear()
    this.#hand()
  }

  /** Forgets one entry. False when the member does not hold it. */
  settle(consumer: Consumer, seq: bigint): boolean {
    const held = consumer.held.delete(seq)
    this.#hand()
    return held
  }

  /** Forgets everything that the member holds below a position. */
  commit(consumer: Consumer, before: bigint): void {
    for (const seq of consumer.held.keys()) if (seq < before) consumer.held.delete(seq)
    this.#hand()
  }

  retry(consumer: Consumer, seq: bigint, delayMs: number): boolean {
    const entry = consumer.held.get(seq)
    if (entry === undefined) return false
    consumer.held.delete(seq)
    const back = (): void => {
      this.#backlog.push(entry)
      this.#hand()
    }
    if (delayMs > 0) this.#clock.after(delayMs, back)
    else back()
    this.#hand()
    return true
  }

  /** Called after anything that may have made room. */
  #hand(): void {
    while (this.#head < this.#backlog.length) {
      const consumer = this.#nextWithRoom()
      if (consumer === undefined) return
      const entry = this.#backlog[this.#head++] as Entry
      entry.attempt += 1
      consumer.held.set(entry.seq, entry)
      consumer.give(entry)
    }
    this.#backlog = []
    this.#head = 0
  }

  #nextWithRoom(): Consumer | undefined {
    for (let tried = 0; tried < this.#consumers.length; tried++) {
      const consumer = this.#consumers[this.#turn++ % this.#consumers.length] as Consumer
      if (consumer.held.size < consumer.window) return consumer
    }
    return undefined
  }
}
