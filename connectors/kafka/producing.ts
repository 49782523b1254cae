// Records on their way to the partitions of topics that exist: one request at a time for each partition, repeated until it is
// answered, with the sequence numbers by which a broker knows one that it has taken already (KIP-98). Owned by emit.ts.

import { NumericMap, initProducerIdV1, produceV9 } from '@platformatic/kafka'

import { HubError, backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { createHint, errorIds, grantHint, kafkaProblem } from './problems.ts'
import { leaderOf } from './topic-state.ts'

export interface ProducingOptions {
  readonly config: KafkaConfig
  readonly cluster: Cluster
  readonly clock: Clock
  /** What is not confirmed then fails with its reason. */
  readonly stop: AbortSignal
}

export interface Outgoing {
  readonly key: Buffer | null
  readonly value: Buffer
  readonly headers: ReadonlyMap<Buffer, Buffer>
}

interface Waiting extends Outgoing {
  readonly timestamp: bigint
  readonly sent: PromiseWithResolvers<bigint>
}

/** A partition that something is sent to. */
interface Lane {
  readonly topic: string
  readonly partition: number
  /** Not sent, in order. */
  waiting: Waiting[]
  isSending: boolean
  /** Number of the next record, for the broker. */
  sequence: number
  leader: number | undefined
  /** Nobody knows whether the brokers have what was sent last: another record under its number might be taken for it. */
  broken: HubError | undefined
}

const ALL_REPLICAS = -1
/** One request takes about so much, and one event more. */
const REQUEST_BYTES = 256 * 1024
const TRIES = 10
/** Sequence numbers begin again behind the largest one. */
const SEQUENCES = 2 ** 31
const AGAIN = { minWaitMs: 100, maxWaitMs: 2000, jitter: 'equal' } as const
/** The same request may succeed later, or elsewhere. */
const PASSING = new Set(['LEADER_NOT_AVAILABLE', 'NOT_LEADER_OR_FOLLOWER', 'REQUEST_TIMED_OUT', 'NETWORK_EXCEPTION', 'NOT_ENOUGH_REPLICAS', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'KAFKA_STORAGE_ERROR', 'UNKNOWN_LEADER_EPOCH', 'FENCED_LEADER_EPOCH']) // prettier-ignore
/** A broker that has just started. */
const LOADING = new Set(['COORDINATOR_LOAD_IN_PROGRESS', 'COORDINATOR_NOT_AVAILABLE'])
const TOO_LARGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])
/** Nothing was taken, for certain. */
const REFUSALS = new Set([...TOO_LARGE, 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED', 'INVALID_RECORD', 'INVALID_TIMESTAMP', 'POLICY_VIOLATION', 'UNKNOWN_TOPIC_OR_PARTITION']) // prettier-ignore
const FORBIDDEN = new Set(['TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED'])

export class Producing {
  readonly #options: ProducingOptions
  readonly #lanes = new Map<string, Lane>()
  /** Without one a repeated request might be taken twice, so none is repeated. */
  #producer: { readonly id: bigint; readonly epoch: number } | undefined

  constructor(options: ProducingOptions) {
    this.#options = options
  }

  /** @throws what the client library throws */
  async begin(): Promise<void> {
    const { cluster, config, clock, stop } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        const connection = await cluster.anyConnection()
        const { producerId, producerEpoch } = await initProducerIdV1.api.async(connection, null, config.requestTimeout)
        this.#producer = { id: producerId, epoch: producerEpoch }
        return
      } catch (error) {
        const ids = errorIds(error)
        // Before Kafka 2.8 it takes a right of its own, which nobody needs to publish.
        if (ids.some((id) => FORBIDDEN.has(id))) return
        if (attempt === TRIES || !ids.some((id) => LOADING.has(id))) throw error
        await sleep(clock, backoffMs(attempt, AGAIN), stop)
      }
    }
  }

  /** Resolves with its offset, once all in-sync replicas have it. @throws HubError HUB_EMIT_FAILED */
  send(topic: string, partition: number, record: Outgoing): Promise<bigint> {
    const key = partitionKey(topic, partition)
    let lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, (lane = { topic, partition, waiting: [], isSending: false, sequence: 0, leader: undefined, broken: undefined })) // prettier-ignore
    const sent = Promise.withResolvers<bigint>()
    lane.waiting.push({ ...record, timestamp: BigInt(this.#options.clock.now()), sent })
    if (!lane.isSending) void this.#run(lane)
    return sent.promise
  }

  /** Never rejects. */
  async #run(lane: Lane): Promise<void> {
    lane.isSending = true
    // What is given in the same turn goes along.
    await Promise.resolve()
    while (lane.waiting.length > 0) {
      const batch = nextBatch(lane)
      try {
        await this.#deliver(lane, batch)
      } catch (error) {
        for (const { sent } of batch) sent.reject(error)
      }
    }
    lane.isSending = false
  }

  async #deliver(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    if (lane.broken !== undefined) throw lane.broken
    try {
      const first = await this.#repeated(lane, batch)
      lane.sequence = (lane.sequence + batch.length) % SEQUENCES
      for (const [index, { sent }] of batch.entries()) sent.resolve(first + BigInt(index))
    } catch (error) {
      const ids = errorIds(error)
      const problem = emitProblem(error, lane.topic)
      if (!ids.some((id) => REFUSALS.has(id))) lane.broken = problem
      if (batch.length === 1 || !ids.some((id) => TOO_LARGE.has(id))) throw problem
      // The limit is on what is written together: each for itself may fit.
      for (const one of batch) await this.#deliver(lane, [one]).catch((inner: unknown) => one.sent.reject(inner))
    }
  }

  async #repeated(lane: Lane, batch: readonly Waiting[]): Promise<bigint> {
    const { clock, stop } = this.#options
    for (let attempt = 1; ; attempt++) {
      stop.throwIfAborted()
      try {
        return await this.#produce(lane, batch)
      } catch (error) {
        stop.throwIfAborted()
        lane.leader = undefined
        const ids = errorIds(error)
        const passes = ids.length > 0 ? ids.every((id) => PASSING.has(id)) : kafkaProblem(error, '').canRetry
        if (this.#producer === undefined || !passes || attempt === TRIES) throw error
        await sleep(clock, backoffMs(attempt, AGAIN), stop)
      }
    }
  }

  /** @returns the offset of the first */
  async #produce(lane: Lane, batch: readonly Waiting[]): Promise<bigint> {
    const { topic, partition, sequence } = lane
    const { cluster, config } = this.#options
    lane.leader ??= leaderOf((await cluster.topics([topic])).get(topic), partition)
    const name = partitionKey(topic, partition)
    if (lane.leader === undefined) throw new HubError('HUB_SOURCE_UNREACHABLE', `${name} has no leader at the moment`, { canRetry: true }) // prettier-ignore
    const connection = await cluster.connection(lane.leader, 'produce')
    const messages = batch.map(({ key, value, headers, timestamp }) => ({ topic, partition, timestamp, value, headers: new Map(headers), ...(key === null ? {} : { key }) })) // prettier-ignore
    const numbered = this.#producer === undefined ? {} : { producerId: this.#producer.id, producerEpoch: this.#producer.epoch, sequences: new NumericMap([[`${topic}:${partition}`, sequence]]) } // prettier-ignore
    // The broker gives up before we do, so that it says why.
    const response = await produceV9.api.async(connection, ALL_REPLICAS, Math.ceil(config.requestTimeout / 2), messages, numbered) // prettier-ignore
    const [stored] = typeof response === 'boolean' ? [] : response.responses.flatMap(({ partitionResponses }) => partitionResponses) // prettier-ignore
    if (stored === undefined) throw new HubError('HUB_SOURCE_PROTOCOL', `${name}: no answer to what was produced`)
    return stored.baseOffset
  }
}

/** As many as go together; takes them out. */
function nextBatch(lane: Lane): readonly Waiting[] {
  let bytes = 0
  let count = 0
  for (const { key, value } of lane.waiting) {
    bytes += value.length + (key?.length ?? 0)
    if (count > 0 && bytes > REQUEST_BYTES) break
    count += 1
  }
  const batch = lane.waiting.slice(0, count)
  lane.waiting = lane.waiting.slice(count)
  return batch
}

/** What is wrong with publishing to that topic. */
export function emitProblem(error: unknown, topic: string): HubError {
  if (error instanceof HubError && (error.code === 'HUB_EMIT_FAILED' || error.code === 'HUB_USAGE')) return error
  const ids = errorIds(error)
  const { message, hint, canRetry } = kafkaProblem(error, topic)
  return new HubError('HUB_EMIT_FAILED', message, { cause: error, canRetry, hint: hintOf(ids, topic) ?? hint })
}

function hintOf(ids: readonly string[], topic: string): string | undefined {
  if (ids.some((id) => TOO_LARGE.has(id))) return `Raise max.message.bytes of the topic: kafka-configs --alter --entity-type topics --entity-name ${topic} --add-config max.message.bytes=<bytes>.` // prettier-ignore
  if (ids.includes('UNKNOWN_TOPIC_OR_PARTITION')) return createHint(topic)
  if (ids.some((id) => FORBIDDEN.has(id))) return grantHint('Write', 'topic', topic)
  return undefined
}
