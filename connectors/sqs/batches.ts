// Puts what is asked for one by one into batches of ten, the most that SQS takes. A batch goes when it is full, or when no
// other is under way: no timer, and the busier the fuller. Knows no client; owned by lane.ts.

export interface BatchesOptions<T, R> {
  /** Results in the order of the items. */
  send(items: readonly T[]): Promise<readonly R[]>
  readonly underWayMax: number
}

interface Waiting<T, R> {
  readonly item: T
  readonly resolve: (result: R) => void
  readonly reject: (error: unknown) => void
}

export const BATCH_MAX = 10

export class Batches<T, R> {
  readonly #options: BatchesOptions<T, R>
  #waiting: Waiting<T, R>[] = []
  #underWay = 0
  #isDue = false

  constructor(options: BatchesOptions<T, R>) {
    this.#options = options
  }

  /** Rejects as `send` does. */
  add(item: T): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#isDue) return
      this.#isDue = true
      // Others of this turn go along.
      queueMicrotask(() => {
        this.#isDue = false
        this.#flush()
      })
    })
  }

  #flush(): void {
    const isFree = (): boolean =>
      this.#underWay === 0 || (this.#waiting.length >= BATCH_MAX && this.#underWay < this.#options.underWayMax)
    while (this.#waiting.length > 0 && isFree()) void this.#run(this.#waiting.splice(0, BATCH_MAX))
  }

  /** Never rejects. */
  async #run(batch: readonly Waiting<T, R>[]): Promise<void> {
    this.#underWay += 1
    try {
      const results = await this.#options.send(batch.map(({ item }) => item))
      for (const [index, { resolve, reject }] of batch.entries()) {
        const result = results[index]
        if (result === undefined) reject(new Error('the answer to a batch leaves an entry out'))
        else resolve(result)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#underWay -= 1
      this.#flush()
    }
  }
}
