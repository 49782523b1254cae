// One fetcher for each broker that leads a partition which is read, and where partitions are led now. Owned by one session,
// or by whoever looks at topics without being a member of the group.

import { sleep } from '../../src/sdk/index.ts'
import type { Clock, HubError, SourceLog } from '../../src/sdk/index.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { Fetcher } from './fetcher.ts'
import type { Partition } from './partition.ts'
import { kafkaProblem } from './problems.ts'
import { UNKNOWN_TOPIC, leaderOf, readingProblem } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'

export interface FetchersOptions {
  readonly config: KafkaConfig
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: SourceLog
  readonly stop: AbortSignal
  /** All that are read. */
  readonly partitions: () => readonly Partition[]
  /** There is room for more of it. */
  readonly wantsMore: (partition: Partition) => boolean
  /** Records have come. */
  readonly arrived: () => void
  /** Its position is not in the log any more: look for another one. */
  readonly outOfRange: (partition: Partition) => Promise<void>
  /** Its topic was not there and is again, perhaps made anew; or the partition was taken away from us, and can be read again. */
  readonly returned?: (partition: Partition) => Promise<void>
  /** No broker can be reached, or waiting does not help. */
  readonly lost: (error: HubError) => void
}

/** Before it is looked again for leaders that were missing: no broker says when there is one. */
const LOOK_AGAIN_MS = 2000

export class Fetchers {
  readonly #options: FetchersOptions
  readonly #fetchers = new Map<number, Fetcher>()
  /** By topic, as of the last look. */
  #states: ReadonlyMap<string, TopicState> = new Map()
  /** Of topics that were not there. */
  readonly #vanished = new WeakSet<Partition>()
  /** Of them, those that `returned` was called for. */
  readonly #returning = new WeakMap<Partition, 'asking' | 'failed'>()
  #isLookingAgain = false

  constructor(options: FetchersOptions) {
    this.#options = options
  }

  /** Where the partitions are led now. Call it when there are others. @throws HubError, or what the client library throws */
  async findLeaders(): Promise<void> {
    const partitions = this.#options.partitions()
    this.#states = await this.#options.cluster.topics([...new Set(partitions.map(({ topic }) => topic))])
    for (const partition of this.#options.partitions()) {
      const leader = this.#leaderOf(partition)
      if (leader === undefined) this.#isMissing(partition)
      else {
        if (!this.#fetchers.has(leader)) this.#fetchers.set(leader, this.#fetcher(leader))
        this.#isThere(partition)
      }
    }
    this.wake()
  }

  /** Something cannot be read at the moment: looks for leaders in a while. */
  lookAgain(): void {
    if (this.#isLookingAgain) return
    this.#isLookingAgain = true
    void this.#lookAgain()
  }

  /** There is room for more. */
  wake(): void {
    for (const fetcher of this.#fetchers.values()) fetcher.wake()
  }

  #isMissing(partition: Partition): void {
    const state = this.#states.get(partition.topic)
    if (state !== undefined && 'problem' in state && state.code === UNKNOWN_TOPIC) this.#vanished.add(partition)
    this.lookAgain()
  }

  #isThere(partition: Partition): void {
    const wasMissing = this.#vanished.has(partition) || partition.gone
    const state = this.#returning.get(partition)
    // Otherwise it is lost because another position is being looked for.
    if (wasMissing && state !== 'asking' && (state === 'failed' || !partition.lost)) void this.#return(partition)
  }

  /** Never rejects: what cannot be asked now, since the group moves, too, is asked again. */
  async #return(partition: Partition): Promise<void> {
    const { returned, log, cluster } = this.#options
    this.#returning.set(partition, 'asking')
    try {
      await returned?.(partition)
      this.#vanished.delete(partition)
      this.#returning.delete(partition)
      this.wake()
    } catch (error) {
      this.#returning.set(partition, 'failed')
      log.debug('kafka.look-failed', kafkaProblem(error, cluster.addresses).message)
      this.lookAgain()
    }
  }

  /** Never rejects. */
  async #lookAgain(): Promise<void> {
    const { clock, stop } = this.#options
    await sleep(clock, LOOK_AGAIN_MS, stop).catch(() => undefined)
    this.#isLookingAgain = false
    if (!stop.aborted) await this.findLeaders().catch((error: unknown) => this.#brokerFailed(error))
  }

  #fetcher(broker: number): Fetcher {
    const { config, cluster, clock, stop, partitions, wantsMore, arrived, outOfRange } = this.#options
    return new Fetcher({
      config,
      cluster,
      clock,
      broker,
      stop,
      partitions: () =>
        partitions().filter((partition) => wantsMore(partition) && this.#leaderOf(partition) === broker),
      arrived,
      moved: () => this.findLeaders(),
      unknown: (partition) => void this.#vanished.add(partition),
      outOfRange: (partition) => void outOfRange(partition).then(() => this.wake(), (error: unknown) => this.#lost(error)), // prettier-ignore
      failed: (error) => void this.#brokerFailed(error),
    })
  }

  /** What may not be read is not asked for: the answer would only be that it may not. */
  #leaderOf({ topic, index }: Partition): number | undefined {
    const state = this.#states.get(topic)
    return readingProblem(topic, state) === undefined ? leaderOf(state, index) : undefined
  }

  /** One broker is away. Its partitions may have other leaders by now; without any broker all of it is lost. */
  async #brokerFailed(error: unknown): Promise<void> {
    const problem = kafkaProblem(error, this.#options.cluster.addresses)
    try {
      if (!problem.canRetry) throw problem
      this.#options.log.warn('kafka.fetch-failed', `${problem.message}; fetching is tried again`)
      await this.findLeaders()
    } catch (cause) {
      this.#lost(cause)
    }
  }

  #lost(error: unknown): void {
    this.#options.lost(kafkaProblem(error, this.#options.cluster.addresses))
  }
}
