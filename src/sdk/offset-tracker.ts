// Which position of a log may be committed when events settle out of order: only the end of a contiguous prefix.

/**
 * Tracks one partition. Positions are added in ascending order (gaps are legal: compacted topics, transaction markers)
 * and settled in any order; `committable` moves only over settled positions without a hole.
 */
export class OffsetTracker {
  /** Unsettled and settled-but-not-yet-contiguous positions, ascending; `#head` is the first live index. */
  #positions: bigint[] = []
  #settled: boolean[] = []
  #head = 0
  readonly #indexOf = new Map<bigint, number>()
  /** Index of `#positions[0]` in the numbering of `#indexOf`. */
  #base = 0
  #committable: bigint | undefined

  /** @throws RangeError when `position` does not come after everything added before. */
  add(position: bigint): void {
    const last = this.#positions.at(-1)
    const floor = last ?? (this.#committable === undefined ? undefined : this.#committable - 1n)
    if (floor !== undefined && position <= floor) throw new RangeError(`position ${position} is not after ${floor}`)
    this.#indexOf.set(position, this.#base + this.#positions.length)
    this.#positions.push(position)
    this.#settled.push(false)
  }

  /**
   * Marks a position as settled. Unknown and already settled positions do nothing.
   * @returns true when `committable` moved.
   */
  settle(position: bigint): boolean {
    const index = this.#indexOf.get(position)
    if (index === undefined) return false
    this.#settled[index - this.#base] = true
    this.#indexOf.delete(position)
    let moved = false
    while (this.#head < this.#positions.length && this.#settled[this.#head] === true) {
      this.#committable = (this.#positions[this.#head] as bigint) + 1n
      this.#head += 1
      moved = true
    }
    if (this.#head > 1024 && this.#head * 2 > this.#positions.length) this.#compact()
    return moved
  }

  /** The position to resume from: one after the last contiguously settled one. Undefined until there is one. */
  get committable(): bigint | undefined {
    return this.#committable
  }

  /** Added and not settled. */
  get unsettled(): number {
    return this.#indexOf.size
  }

  /** How many positions a commit is behind what was added: what is held in memory and redelivered after a crash. */
  get span(): number {
    return this.#positions.length - this.#head
  }

  #compact(): void {
    this.#positions = this.#positions.slice(this.#head)
    this.#settled = this.#settled.slice(this.#head)
    this.#base += this.#head
    this.#head = 0
  }
}
