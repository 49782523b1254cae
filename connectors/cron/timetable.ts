// Which schedule is due next: a binary heap over all of them, so that one timer serves any number. Holds no timer itself.

/** A place in the timetable. Ask for a new one to move; an old one is forgotten by `cancelled`. */
export interface Slot<T> {
  readonly dueMs: number
  readonly item: T
  cancelled: boolean
}

export class Timetable<T> {
  readonly #heap: Slot<T>[] = []

  add(dueMs: number, item: T): Slot<T> {
    const slot = { dueMs, item, cancelled: false }
    let at = this.#heap.push(slot) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#due(parent) <= dueMs) break
      this.#heap[at] = this.#heap[parent] as Slot<T>
      at = parent
    }
    this.#heap[at] = slot
    return slot
  }

  /** When the next item is due; undefined when nothing is. */
  get nextDueMs(): number | undefined {
    while (this.#heap[0]?.cancelled === true) this.#removeFirst()
    return this.#heap[0]?.dueMs
  }

  /** Removes and returns the item that is due first, if that is at or before `nowMs`. */
  takeDue(nowMs: number): T | undefined {
    const dueMs = this.nextDueMs
    if (dueMs === undefined || dueMs > nowMs) return undefined
    return this.#removeFirst()
  }

  #removeFirst(): T {
    const first = this.#heap[0] as Slot<T>
    const last = this.#heap.pop() as Slot<T>
    if (this.#heap.length > 0) this.#sink(last)
    return first.item
  }

  #sink(slot: Slot<T>): void {
    const length = this.#heap.length
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && this.#due(child + 1) < this.#due(child)) child += 1
      if (this.#due(child) >= slot.dueMs) break
      this.#heap[at] = this.#heap[child] as Slot<T>
      at = child
    }
    this.#heap[at] = slot
  }

  #due(at: number): number {
    return (this.#heap[at] as Slot<T>).dueMs
  }
}
