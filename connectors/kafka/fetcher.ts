// Reads the partitions that one broker leads, in one loop of long polls. Owned by one session of kafka-source.ts.

import { fetchV11 } from '@platformatic/kafka'

import { sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import type { Partition } from './partition.ts'
import { answerOf } from './problems.ts'
import { recordsOf } from './records.ts'

type FetchResponse = Awaited<ReturnType<typeof fetchV11.api.async>>
type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]

export interface FetcherOptions {
  readonly config: KafkaConfig
  readonly cluster: Cluster
  readonly clock: Clock
  readonly broker: number
  readonly stop: AbortSignal
  /** Ours that this broker leads and that have room for more. */
  partitions(): readonly Partition[]
  /** Records have come. */
  arrived(): void
  /** The broker does not lead it any more, or does not know it. */
  moved(): Promise<void>
  /** The broker does not know it: it has moved, or its topic is deleted. */
  unknown(partition: Partition): void
  /** Its position is not in the log any more. */
  outOfRange(partition: Partition): void
  /** Nothing can be read from this broker. */
  failed(error: unknown): void
}

const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const NO_SESSION = 0
const NO_SESSION_EPOCH = -1
const NO_EPOCH = -1
/** All partitions together, in one answer. */
const ANSWER_PARTITIONS = 4
const AGAIN_MS = 100
/** Protocol guide, "Error Codes". */
const OFFSET_OUT_OF_RANGE = 1
const UNKNOWN_TOPIC_OR_PARTITION = 3

export class Fetcher {
  readonly #options: FetcherOptions
  #wanted = Promise.withResolvers<void>()

  constructor(options: FetcherOptions) {
    this.#options = options
    options.stop.addEventListener('abort', () => this.wake(), { once: true })
    void this.#run()
  }

  /** There may be something to fetch. */
  wake(): void {
    this.#wanted.resolve()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { stop, clock } = this.#options
    while (!stop.aborted) {
      const partitions = this.#options.partitions()
      if (partitions.length === 0) {
        await this.#wanted.promise
        this.#wanted = Promise.withResolvers()
        continue
      }
      try {
        if (await this.#fetch(partitions)) continue
        await this.#options.moved()
      } catch (error) {
        if (stop.aborted) return
        this.#options.failed(error)
      }
      await sleep(clock, AGAIN_MS, stop).catch(() => undefined)
    }
  }

  /** @returns false when some partition has to be looked for elsewhere */
  async #fetch(partitions: readonly Partition[]): Promise<boolean> {
    const { config, cluster, broker } = this.#options
    const connection = await cluster.connection(broker, 'fetch')
    const isolation = config.isolation === 'committed' ? READ_COMMITTED : READ_UNCOMMITTED
    const byKey = new Map(partitions.map((partition) => [partitionKey(partition.topic, partition.index), partition]))
    const topics = requestOf(partitions, config.maxBytes)
    const { answer: response } = await answerOf(fetchV11.api.async(connection, config.fetchWait, 1, config.maxBytes * ANSWER_PARTITIONS, isolation, NO_SESSION, NO_SESSION_EPOCH, topics, [], '')) // prettier-ignore
    let isComplete = response.errorCode === 0
    for (const { topicId: topic, partitions: answers } of response.responses)
      for (const answer of answers) {
        const partition = byKey.get(partitionKey(topic, answer.partitionIndex))
        if (partition !== undefined && !partition.gone && !this.#take(partition, answer)) isComplete = false
      }
    this.#options.arrived()
    return isComplete
  }

  #take(partition: Partition, answer: FetchedPartition): boolean {
    const { errorCode, highWatermark, lastStableOffset } = answer
    if (errorCode === OFFSET_OUT_OF_RANGE) {
      this.#options.outOfRange(partition)
      return true
    }
    if (errorCode === UNKNOWN_TOPIC_OR_PARTITION) this.#options.unknown(partition)
    if (errorCode !== 0) return false
    const isCommitted = this.#options.config.isolation === 'committed'
    partition.end = isCommitted ? lastStableOffset : highWatermark
    if (answer.records === null || answer.records.length === 0) return true
    const { records, next } = recordsOf(answer.records, partition.position, isCommitted ? (answer.abortedTransactions ?? []) : []) // prettier-ignore
    partition.accept(records, next)
    return true
  }
}

function requestOf(partitions: readonly Partition[], maxBytes: number): Parameters<typeof fetchV11.createRequest>[6] {
  const topics = new Map<string, Parameters<typeof fetchV11.createRequest>[6][number]>()
  for (const { topic, index, position } of partitions) {
    let entry = topics.get(topic)
    if (entry === undefined) topics.set(topic, (entry = { topicId: topic, partitions: [] }))
    entry.partitions.push({ partition: index, currentLeaderEpoch: NO_EPOCH, fetchOffset: position, lastFetchedEpoch: NO_EPOCH, partitionMaxBytes: maxBytes }) // prettier-ignore
  }
  return [...topics.values()]
}
