// Commits what is settled: at once when there has been no commit for a while, else together, one request at a time.
// Owned by one session of kafka-source.ts.

import { offsetCommitV7 } from '@platformatic/kafka'

import { sleep } from '../../src/sdk/index.ts'
import type { Clock, HubError, SourceLog } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { Group } from './group.ts'
import type { Commit, Partition } from './partition.ts'
import { answerOf, errorIds, kafkaProblem } from './problems.ts'

export interface CommitterOptions {
  readonly groupName: string
  readonly group: Group
  readonly clock: Clock
  readonly log: SourceLog
  readonly intervalMs: number
  readonly stop: AbortSignal
  readonly failed: (error: HubError) => void
  /** A partition was taken away: there is nothing at the broker to commit to. */
  readonly gone: () => void
}

type CommitResponse = Awaited<ReturnType<typeof offsetCommitV7.api.async>>
type Round = readonly { readonly partition: Partition; readonly commit: Commit }[]

const AGAIN_MS = 50
/** Protocol guide, "Error Codes". */
const OFFSET_METADATA_TOO_LARGE = 12
const UNKNOWN_TOPIC_OR_PARTITION = 3
const TOPIC_AUTHORIZATION_FAILED = 29
const FENCED_INSTANCE_ID = 82
/** Its topic is deleted, or closed to us: whoever looks for topics finds that, too, and leaves it out, if it stays so. */
const TAKEN_AWAY = new Set([UNKNOWN_TOPIC_OR_PARTITION, TOPIC_AUTHORIZATION_FAILED])
/**
 * Another try may work: with another coordinator, after the rebalance, or as a member of the next generation. When the group
 * has really gone on without us it says so itself, and takes the partitions away.
 */
const PASSING = new Set([14, 15, 16, 22, 25, 27])
/** What these say concerns more than this commit. */
const MEMBERSHIP = new Set(['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID', 'NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE']) // prettier-ignore
const NO_LEADER_EPOCH = -1

export class Committer {
  readonly #options: CommitterOptions
  readonly #dirty = new Set<Partition>()
  #running: Promise<void> | undefined
  #lastAt = -Infinity
  #withMetadata = true

  constructor(options: CommitterOptions) {
    this.#options = options
  }

  /** There is something to commit. */
  mark(partition: Partition): void {
    this.#dirty.add(partition)
    this.#running ??= this.#run()
  }

  /** Resolves when all that was marked is committed, or cannot be any more. */
  async flush(): Promise<void> {
    this.#lastAt = -Infinity
    while (this.#running !== undefined && !this.#options.stop.aborted) await this.#running
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, intervalMs, stop } = this.#options
    try {
      // What settles in the same turn goes along.
      await Promise.resolve()
      while (this.#dirty.size > 0 && !stop.aborted) {
        const waitMs = this.#lastAt + intervalMs - clock.monotonic()
        if (waitMs > 0) await sleep(clock, waitMs, stop)
        const round = [...this.#dirty].filter(({ gone }) => !gone).map((partition) => ({ partition, commit: partition.commit() }))
        this.#dirty.clear()
        if (round.length > 0 && !(await this.#send(round))) await sleep(clock, AGAIN_MS, stop)
        this.#lastAt = clock.monotonic()
      }
    } catch {
      // Stopped.
    } finally {
      this.#running = undefined
    }
  } // prettier-ignore

  /** @returns false when it has to be tried again */
  async #send(round: Round): Promise<boolean> {
    const { groupName, group } = this.#options
    const { memberId, generation, instance } = group.member
    try {
      const connection = await group.connection()
      const { answer, error } = await answerOf(offsetCommitV7.api.async(connection, groupName, generation, memberId, instance, this.#topics(round))) // prettier-ignore
      const isComplete = this.#answered(round, answer, error)
      if (errorIds(error).some((id) => MEMBERSHIP.has(id))) await group.refused(error, generation)
      return isComplete
    } catch (error) {
      this.#again(round)
      await group.refused(error, generation)
      return false
    }
  }

  #topics(round: Round): Parameters<typeof offsetCommitV7.createRequest>[4] {
    const topics = new Map<string, { name: string; partitions: { partitionIndex: number; committedOffset: bigint; committedLeaderEpoch: number; committedMetadata: string }[] }>() // prettier-ignore
    for (const { partition, commit } of round) {
      let topic = topics.get(partition.topic)
      if (topic === undefined) topics.set(partition.topic, (topic = { name: partition.topic, partitions: [] }))
      topic.partitions.push({
        partitionIndex: partition.index,
        committedOffset: commit.offset,
        committedLeaderEpoch: NO_LEADER_EPOCH,
        committedMetadata: this.#withMetadata ? commit.metadata : '',
      })
    }
    return [...topics.values()]
  }

  #answered(round: Round, response: CommitResponse, error?: unknown): boolean {
    const codes = new Map(response.topics.flatMap(({ name, partitions }) => partitions.map(({ partitionIndex, errorCode }) => [partitionKey(name, partitionIndex), errorCode]))) // prettier-ignore
    const refused: { readonly partition: Partition; readonly commit: Commit }[] = []
    for (const one of round) {
      const code = codes.get(partitionKey(one.partition.topic, one.partition.index)) ?? 0
      if (code === 0) one.partition.confirmed(one.commit)
      else if (TAKEN_AWAY.has(code)) this.#lost(one.partition, one.commit)
      else refused.push(one)
      if (code === OFFSET_METADATA_TOO_LARGE) this.#forgoMetadata()
      else if (code !== 0 && !PASSING.has(code) && !TAKEN_AWAY.has(code) && code !== FENCED_INSTANCE_ID)
        this.#options.failed(kafkaProblem(error, `group ${this.#options.groupName}: the offset of ${one.partition.topic} cannot be committed`)) // prettier-ignore
    }
    this.#again(refused)
    return refused.length === 0
  }

  #lost(partition: Partition, commit: Commit): void {
    partition.takeAway()
    partition.failed(commit)
    this.#options.gone()
  }

  #again(round: Round): void {
    for (const { partition, commit } of round) {
      partition.failed(commit)
      if (!partition.gone) this.#dirty.add(partition)
    }
  }

  #forgoMetadata(): void {
    if (!this.#withMetadata) return
    this.#withMetadata = false
    this.#options.log.warn('kafka.metadata-refused', 'The brokers take less metadata with a commit than Kafka does by default (offset.metadata.max.bytes): after a crash more events are delivered again, and their tries are counted from 1.') // prettier-ignore
  }
}
