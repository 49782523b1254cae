// What has been seen lately, bounded: the oldest is forgotten first. Used by both sources.

export class Recent {
  readonly #max: number
  readonly #keys = new Set<string>()

  constructor(max: number) {
    this.#max = max
  }

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  /** @returns false when it was there already */
  add(key: string): boolean {
    if (this.#keys.has(key)) return false
    this.#keys.add(key)
    if (this.#keys.size > this.#max) {
      const [oldest] = this.#keys
      if (oldest !== undefined) this.#keys.delete(oldest)
    }
    return true
  }
}
