// Records read beside the group: from given offsets, without being a member, and nothing is committed. Owned by peek.ts and
// dead-letters.ts.

import type { HubError } from '../../src/sdk/index.ts'
import type { Clock, SourceLog } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { Fetchers } from './fetchers.ts'
import { nearestInLog } from './offsets.ts'
import type { Beginning } from './offsets.ts'
import { Partition } from './partition.ts'
import type { Fetched } from './partition.ts'

export interface ReaderOptions {
  readonly config: KafkaConfig
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: SourceLog
  /** Ends it; what waits for a record gets the reason. */
  readonly stop: AbortSignal
}

export interface Read {
  readonly partition: Partition
  readonly record: Fetched
  /** Invocations, as the commit says that reading began with. */
  readonly tries: number
}

/** Records of all partitions together that are fetched and not taken, but for what one answer brings beyond. */
const WAITING_MAX = 500

export class Reader {
  readonly #options: ReaderOptions
  readonly #fetchers: Fetchers
  readonly #partitions = new Map<string, Partition>()
  #all: readonly Partition[] = []
  #lost: HubError | undefined
  /** Something has come, or nothing will. */
  #news = Promise.withResolvers<void>()
  /** Whose turn it is. */
  #turn = 0

  constructor(options: ReaderOptions) {
    this.#options = options
    const { config, cluster, clock, log, stop } = options
    this.#fetchers = new Fetchers({
      config,
      cluster,
      clock,
      log,
      stop,
      partitions: () => this.#all,
      wantsMore: ({ lost, leaving, waiting }) => !lost && !leaving && waiting === 0 && this.#waiting < WAITING_MAX,
      arrived: () => this.#news.resolve(),
      outOfRange: (partition) => this.#moveIntoRange(partition),
      lost: (error) => {
        this.#lost ??= error
        this.#news.resolve()
      },
    })
    stop.addEventListener('abort', () => this.#news.resolve(), { once: true })
  }

  get partitions(): readonly Partition[] {
    return this.#all
  }

  has(topic: string, partition: number): boolean {
    return this.#partitions.has(partitionKey(topic, partition))
  }

  /** Reads these, too. @throws HubError, or what the client library throws */
  async add(beginnings: readonly Beginning[]): Promise<void> {
    for (const { topic, partition, offset, metadata } of beginnings)
      this.#partitions.set(partitionKey(topic, partition), new Partition(topic, partition, offset, metadata, Number.MAX_SAFE_INTEGER)) // prettier-ignore
    this.#all = [...this.#partitions.values()]
    await this.#fetchers.findLeaders()
  }

  /** Looks anew for who leads the partitions, and which of them may be read. @throws HubError, or what the client library throws */
  findLeaders(): Promise<void> {
    return this.#fetchers.findLeaders()
  }

  /**
   * The next record of any partition, in the order of each; what the commit says to be settled is left out.
   * @returns undefined when there is none now and `isDone` says so
   * @throws HubError when the brokers are lost; the reason of `stop`
   */
  async next(isDone: () => boolean = () => false): Promise<Read | undefined> {
    for (;;) {
      this.#options.stop.throwIfAborted()
      // Before it looks, so that what comes meanwhile is not missed.
      this.#news = Promise.withResolvers()
      const read = this.#take()
      if (read !== undefined) return read
      if (this.#lost !== undefined) throw this.#lost
      if (isDone()) return undefined
      this.#fetchers.wake()
      await this.#news.promise
    }
  }

  get #waiting(): number {
    return this.#all.reduce((sum, { waiting }) => sum + waiting, 0)
  }

  #take(): Read | undefined {
    for (let tried = 0; tried < this.#all.length; tried++) {
      const partition = this.#all[this.#turn % this.#all.length] as Partition
      this.#turn += 1
      const next = partition.handOut()
      if (next === undefined) continue
      partition.forgo(next.handed)
      return { partition, record: next.record, tries: next.handed.tries }
    }
    return undefined
  }

  async #moveIntoRange(partition: Partition): Promise<void> {
    const { cluster, log } = this.#options
    const { topic, index, position } = partition
    partition.lost = true
    const to = await nearestInLog(partition, cluster)
    log.warn('kafka.out-of-range', `${partitionKey(topic, index)}: ${position} is not in the log; going on at ${to}`, { topic, from: position.toString(), to: to.toString() }) // prettier-ignore
    partition.moveTo(to)
    this.#news.resolve()
  }
}
