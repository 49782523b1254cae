// The bridge from a broker that pushes to a hub that pulls: a bounded queue with one reader.

/**
 * Bounded, single reader. The writer asks `free` before it reads more from its broker; writing beyond the bound is a bug
 * of the connector and throws, because silently growing is how connectors run out of memory.
 */
export class DeliveryBuffer<T> implements AsyncIterable<T> {
  readonly #itemsMax: number
  #items: (T | undefined)[] = []
  #head = 0
  #waiting: { resolve(result: IteratorResult<T>): void; reject(error: unknown): void } | undefined
  #end: { readonly error: unknown } | { readonly error?: undefined } | undefined
  #reading = false

  constructor(itemsMax: number) {
    this.#itemsMax = itemsMax
  }

  /** How many more items may be pushed. */
  get free(): number {
    return this.#itemsMax - this.length
  }

  get length(): number {
    return this.#items.length - this.#head
  }

  /**
   * Ignored after `end` or `fail`: the broker redelivers.
   * @throws RangeError beyond the bound.
   */
  push(item: T): void {
    if (this.#end !== undefined) return
    if (this.#waiting !== undefined) {
      const waiting = this.#waiting
      this.#waiting = undefined
      waiting.resolve({ done: false, value: item })
      return
    }
    if (this.free <= 0) throw new RangeError(`delivery buffer is full (${this.#itemsMax})`)
    this.#items.push(item)
  }

  /** The reader gets what is buffered, then the end. Idempotent. */
  end(): void {
    this.#finish({})
  }

  /** Drops what is buffered (the broker redelivers it) and fails the reader. The first end wins. */
  fail(error: unknown): void {
    if (this.#end !== undefined) return
    this.clear()
    this.#finish({ error })
  }

  /** Drops what is buffered and returns it. */
  clear(): T[] {
    const dropped = this.#items.slice(this.#head) as T[]
    this.#items = []
    this.#head = 0
    return dropped
  }

  #finish(end: { readonly error?: unknown }): void {
    if (this.#end !== undefined) return
    this.#end = end
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) return
    if ('error' in end) waiting.reject(end.error)
    else waiting.resolve({ done: true, value: undefined })
  }

  /** @throws Error when a second reader starts while one is active. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    if (this.#reading) throw new Error('a delivery buffer has one reader')
    this.#reading = true
    return {
      next: () => this.#next(),
      return: () => {
        this.#reading = false
        this.#finish({})
        return Promise.resolve({ done: true as const, value: undefined })
      },
    } as AsyncIterator<T, undefined>
  }

  #next(): Promise<IteratorResult<T>> {
    if (this.#head < this.#items.length) {
      const item = this.#items[this.#head] as T
      this.#items[this.#head] = undefined
      this.#head += 1
      if (this.#head === this.#items.length || this.#head > 1024) {
        this.#items = this.#items.slice(this.#head)
        this.#head = 0
      }
      return Promise.resolve({ done: false, value: item })
    }
    if (this.#end !== undefined) {
      return 'error' in this.#end ? Promise.reject(this.#end.error) : Promise.resolve({ done: true, value: undefined })
    }
    if (this.#waiting !== undefined) return Promise.reject(new Error('a delivery buffer is read one item at a time'))
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }))
  }
}
