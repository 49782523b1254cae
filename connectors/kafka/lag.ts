// How many records wait behind the commits of this instance's group, for autoscaling: joins no group and commits nothing.
// Called by tools.ts.

import { orAborted } from '../../src/sdk/index.ts'
import type { LagProbe, Subscription, ToolContext, TopicLag } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { TopicPartition } from './assignor.ts'
import { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { commits, endsOf } from './offsets.ts'
import { clientIdOf, coordinatorOf } from './peek.ts'
import { topicProblemOf } from './probe.ts'
import { kafkaProblem } from './problems.ts'
import { decodeProgress } from './progress.ts'
import { partitionCounts } from './topic-state.ts'
import { wantedTopics } from './topics.ts'

type Commits = Awaited<ReturnType<typeof commits>>

export class KafkaLag implements LagProbe {
  readonly #config: KafkaConfig
  readonly #cluster: Cluster
  readonly #stop: AbortController

  private constructor(config: KafkaConfig, cluster: Cluster, stop: AbortController) {
    this.#config = config
    this.#cluster = cluster
    this.#stop = stop
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(config: KafkaConfig, context: ToolContext, signal: AbortSignal): Promise<KafkaLag> {
    const stop = new AbortController()
    const cluster = new Cluster(config, clientIdOf(config, context), context.clock, stop.signal)
    const lag = new KafkaLag(config, cluster, stop)
    try {
      await orAborted(cluster.anyConnection(), signal)
      return lag
    } catch (error) {
      await lag[Symbol.asyncDispose]()
      signal.throwIfAborted()
      throw kafkaProblem(error, cluster.addresses)
    }
  }

  async read(wanted: readonly Subscription[], signal: AbortSignal): Promise<readonly TopicLag[]> {
    try {
      return await orAborted(this.#read(wanted), signal)
    } catch (error) {
      signal.throwIfAborted()
      throw kafkaProblem(error, this.#cluster.addresses)
    }
  }

  async #read(wanted: readonly Subscription[]): Promise<readonly TopicLag[]> {
    const { topics, states } = await wantedTopics(wanted, this.#config.topics, this.#cluster)
    const problems = new Map(topics.map((topic) => [topic, topicProblemOf(topic, states.get(topic))]))
    const counts = partitionCounts(topics.filter((topic) => problems.get(topic) === undefined), states) // prettier-ignore
    const partitions = [...counts].flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => ({ topic, partition }))) // prettier-ignore
    const lags = partitions.length === 0 ? new Map<string, TopicLag>() : await this.#behind(partitions)
    return topics.map((topic): TopicLag => {
      const problem = problems.get(topic)
      if (problem !== undefined) return { topic, kind: 'unknown', problem }
      return lags.get(topic) ?? { topic, kind: 'known', waiting: 0, unsettled: 0 }
    })
  }

  async #behind(partitions: readonly TopicPartition[]): Promise<ReadonlyMap<string, TopicLag>> {
    const { group, initialOffset } = this.#config
    const committed = await commits(partitions, group, coordinatorOf(this.#cluster, group))
    const first = await endsOf(partitions, this.#cluster, 'oldest')
    const end = await endsOf(partitions, this.#cluster, 'newest')
    const lags = new Map<string, TopicLag>()
    for (const { topic, partition } of partitions) {
      const key = partitionKey(topic, partition)
      const known = lags.get(topic)
      if (known?.kind === 'unread') continue
      // A hub would begin at the end: what comes before it does would pass it by.
      if (!committed.has(key) && initialOffset === 'newest') lags.set(topic, { topic, kind: 'unread' })
      else {
        const waiting = (known?.kind === 'known' ? known.waiting : 0) + waitingIn(committed.get(key), first.get(key) ?? 0n, end.get(key) ?? 0n) // prettier-ignore
        lags.set(topic, { topic, kind: 'known', waiting, unsettled: 0 })
      }
    }
    return lags
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#cluster.close()
    return Promise.resolve()
  }
}

/** Retention may have deleted what was not read; what is settled beyond the commit does not wait. */
function waitingIn(commit: ReturnType<Commits['get']>, first: bigint, end: bigint): number {
  const offset = commit?.offset ?? first
  const start = offset < first ? first : offset
  if (end <= start) return 0
  const isBetween = (distance: number): boolean => offset + BigInt(distance) >= start && offset + BigInt(distance) < end
  return Number(end - start) - decodeProgress(commit?.metadata ?? null).settled.filter(isBetween).length
}
