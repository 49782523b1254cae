// The partitions that the group has given us: where they begin, how they are given up, and how far behind they are. One for
// each session.

import { HubError, within } from '../../src/sdk/index.ts'
import type { SourceContext, SourceCounter, SourceReading, TopicBacklog } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { TopicPartition } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { Committer } from './committer.ts'
import type { KafkaConfig } from './dial.ts'
import type { Group } from './group.ts'
import { beginnings, nearestInLog } from './offsets.ts'
import type { Beginning } from './offsets.ts'
import { Partition } from './partition.ts'

export interface HoldingsOptions {
  readonly config: KafkaConfig
  readonly context: SourceContext
  readonly cluster: Cluster
  readonly group: () => Group
  readonly committer: () => Committer
  readonly expired: SourceCounter
}

export class Holdings {
  readonly #options: HoldingsOptions
  readonly #partitions = new Map<string, Partition>()
  /** Of the map, made anew when it changes: it is read for every record. */
  #all: readonly Partition[] = []

  constructor(options: HoldingsOptions) {
    this.#options = options
  }

  get all(): readonly Partition[] {
    return this.#all
  }

  /** @throws HubError, or what the client library throws; then none of them is ours */
  async take(assigned: readonly TopicPartition[]): Promise<void> {
    const { config, context, cluster, group } = this.#options
    const begun = await beginnings(assigned, config.group, group(), cluster, config.initialOffset)
    for (const one of begun) this.#begin(one)
    this.#awaitLeaders(assigned)
    context.log.info('kafka.assigned', `assigned ${namesOf(assigned)}`, { partitions: assigned.length })
  }

  /** Waits for what is out, within a bound, commits it, and lets go. */
  async giveUp(revoked: readonly TopicPartition[]): Promise<void> {
    const { config, context, committer } = this.#options
    const { clock, log } = context
    const leaving = revoked.flatMap(({ topic, partition }) => this.#partitions.get(partitionKey(topic, partition)) ?? []) // prettier-ignore
    for (const partition of leaving) partition.leaving = true
    const out = outstanding(leaving)
    if (out > 0) log.info('kafka.revoking', `${namesOf(revoked)} go to another member; waiting for ${out} records that are out`, { unsettled: out }) // prettier-ignore
    await within(clock, config.revokeTimeout, Promise.all(leaving.map((partition) => partition.quiet())))
    const open = outstanding(leaving)
    for (const partition of leaving) committer().mark(partition)
    await committer().flush()
    this.#lose(leaving)
    const rest = open === 0 ? '' : `; ${open} records were not settled in time and go to the next member`
    log.info('kafka.revoked', `gave up ${namesOf(revoked)}${rest}`, { partitions: revoked.length, unsettled: open })
  }

  /** All of them are somebody else's, or nobody's: nothing of them can be settled. */
  loseAll(): void {
    this.#lose(this.#all)
  }

  /** Of these topics nothing more is handed out; the group takes them away. */
  keepOnly(topics: readonly string[]): void {
    for (const partition of this.#all) if (!topics.includes(partition.topic)) partition.leaving = true
  }

  /** The log does not reach to its position any more: retention was faster than we, the log was cut, or it is another one. */
  async moveIntoRange(partition: Partition): Promise<void> {
    const { context, cluster, committer, expired } = this.#options
    const { topic, index, position } = partition
    const key = partitionKey(topic, index)
    partition.lost = true
    const begun = await this.#beginningOf(partition)
    if (isAnew(partition, begun)) {
      this.#beginAgain(partition, begun)
      return
    }
    const to = await nearestInLog(partition, cluster)
    if (to > position) expired.add(Number(to - position), { topic })
    const what = to > position ? `${to - position} records were deleted by the topic's retention before they were read` : 'the log was cut behind our position' // prettier-ignore
    context.log.error('kafka.out-of-range', `${key}: ${what}; going on at ${to} instead of ${position}`, { topic, from: position.toString(), to: to.toString() }) // prettier-ignore
    if (to > position) {
      partition.moveTo(to)
      committer().mark(partition)
    } else this.#beginAgain(partition, begun.offset > to ? { ...begun, offset: to, metadata: null } : begun)
  }

  /** It was not there, or was taken away: goes on, or begins again where its log is another one. */
  async returned(partition: Partition): Promise<void> {
    partition.lost = true
    const begun = await this.#beginningOf(partition)
    if (partition.gone || isAnew(partition, begun)) this.#beginAgain(partition, begun)
    partition.lost = false
  }

  backlog(): readonly TopicBacklog[] {
    const topics = new Map<string, TopicBacklog>()
    for (const partition of this.#all) {
      const known = topics.get(partition.topic)
      topics.set(partition.topic, {
        topic: partition.topic,
        waiting: (known?.waiting ?? 0) + partition.waiting + Math.max(0, Number(partition.end - partition.position)),
        unsettled: (known?.unsettled ?? 0) + partition.outstanding,
        oldestWaitingMs: earlier(known?.oldestWaitingMs, partition.oldestWaitingMs),
        oldestUnsettledMs: earlier(known?.oldestUnsettledMs, partition.oldestUnsettledMs),
      })
    }
    return [...topics.values()]
  }

  /** By topic. */
  count(which: (partition: Partition) => boolean): readonly SourceReading[] {
    const counts = new Map<string, number>()
    for (const partition of this.#all) counts.set(partition.topic, (counts.get(partition.topic) ?? 0) + (which(partition) ? 1 : 0)) // prettier-ignore
    return [...counts].map(([topic, value]) => ({ labels: [topic], value }))
  }

  async #beginningOf({ topic, index: partition }: Partition): Promise<Beginning> {
    const { config, cluster, group } = this.#options
    const [begun] = await beginnings([{ topic, partition }], config.group, group(), cluster, config.initialOffset)
    if (begun === undefined) throw new HubError('HUB_SOURCE_UNREACHABLE', `${partitionKey(topic, partition)} has no leader at the moment`, { canRetry: true }) // prettier-ignore
    return begun
  }

  /** Those that could not be begun: `returned` will be called for what is gone, when it can be read. */
  #awaitLeaders(assigned: readonly TopicPartition[]): void {
    const { config, context } = this.#options
    const away = assigned.filter(({ topic, partition }) => !this.#partitions.has(partitionKey(topic, partition)))
    if (away.length === 0) return
    for (const { topic, partition: index } of away) {
      const partition = new Partition(topic, index, 0n, null, config.uncommittedMax)
      partition.takeAway()
      this.#partitions.set(partitionKey(topic, index), partition)
    }
    this.#all = [...this.#partitions.values()]
    context.log.warn('kafka.no-leader', `${namesOf(away)}: no leader at the moment; begun as soon as there is one`, { partitions: away.length }) // prettier-ignore
  }

  #begin({ topic, partition: index, offset, metadata, isNew }: Beginning): void {
    const { config, committer } = this.#options
    const key = partitionKey(topic, index)
    const partition = new Partition(topic, index, offset, metadata, config.uncommittedMax)
    partition.isCommitted = !isNew
    this.#partitions.get(key)?.takeAway()
    this.#partitions.set(key, partition)
    this.#all = [...this.#partitions.values()]
    // Else a crash before the first record is settled would begin anew, behind what came meanwhile.
    if (isNew) committer().mark(partition)
  }

  /** Still ours, with nothing of what was before. */
  #beginAgain(partition: Partition, begun: Beginning): void {
    const { topic, index } = partition
    const key = partitionKey(topic, index)
    // Given up meanwhile, or about to be.
    if (this.#partitions.get(key) !== partition || (partition.leaving && !partition.gone)) return
    const why = isAnew(partition, begun) ? 'the topic was deleted and made anew' : 'can be read again'
    this.#options.context.log.warn('kafka.begun-again', `${key}: ${why}; beginning at ${begun.offset}`, { topic, to: begun.offset.toString() }) // prettier-ignore
    this.#begin(begun)
  }

  #lose(partitions: readonly Partition[]): void {
    for (const partition of partitions) {
      const key = partitionKey(partition.topic, partition.index)
      // One that has begun again meanwhile, too.
      this.#partitions.get(key)?.takeAway()
      this.#partitions.delete(key)
    }
    this.#all = [...this.#partitions.values()]
    for (const partition of partitions) partition.takeAway()
  }
}

/** Brokers forget the commits for a topic with the topic. */
function isAnew({ isCommitted }: Partition, { isNew }: Beginning): boolean {
  return isNew && isCommitted
}

function outstanding(partitions: readonly Partition[]): number {
  return partitions.reduce((sum, partition) => sum + partition.outstanding, 0)
}

function earlier(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined || right === undefined ? (left ?? right) : Math.min(left, right)
}

/** `orders/0, orders/1 and 7 more` */
function namesOf(partitions: readonly TopicPartition[]): string {
  const shown = partitions.slice(0, 5).map(({ topic, partition }) => partitionKey(topic, partition))
  return partitions.length > shown.length ? `${shown.join(', ')} and ${partitions.length - shown.length} more` : shown.join(', ') // prettier-ignore
}
