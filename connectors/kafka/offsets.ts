// Where partitions begin that were given to us: at the commit of the group, else at an end of the log.

import { listOffsetsV5, offsetFetchV6 } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'

import { HubError } from '../../src/sdk/index.ts'
import { byTopic, partitionKey } from './assignor.ts'
import type { TopicPartition } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { Partition } from './partition.ts'
import { leaderOf } from './topic-state.ts'

/** Where the offsets of a group are kept. */
export interface Coordinator {
  /** @throws HubError, or what `request` throws */
  ask<T>(request: (connection: Connection) => Promise<T>): Promise<T>
}

export interface Beginning extends TopicPartition {
  readonly offset: bigint
  /** Of the commit; null without one. */
  readonly metadata: string | null
  /** The group has no commit for it. */
  readonly isNew: boolean
}

/** ListOffsets: the timestamps that stand for both ends of the log. */
const OLDEST = -2n
const NEWEST = -1n
const CONSUMER = -1
const READ_COMMITTED = 1

/** Without those that have neither a commit nor a leader to ask. @throws HubError, or what the client library throws */
export async function beginnings(
  partitions: readonly TopicPartition[],
  groupName: string,
  coordinator: Coordinator,
  cluster: Cluster,
  initial: 'oldest' | 'newest',
): Promise<readonly Beginning[]> {
  const committed = await commits(partitions, groupName, coordinator)
  const unknown = partitions.filter(({ topic, partition }) => !committed.has(partitionKey(topic, partition)))
  const led = new Set(await ledOf(unknown, cluster))
  const ends = led.size === 0 ? new Map<string, bigint>() : await endsOf([...led], cluster, initial)
  return partitions.flatMap((one) => {
    const { topic, partition } = one
    const key = partitionKey(topic, partition)
    const known = committed.get(key)
    if (known !== undefined) return { topic, partition, ...known, isNew: false }
    if (!led.has(one)) return []
    const offset = ends.get(key)
    if (offset === undefined) throw new HubError('HUB_SOURCE_LOST', `${key}: its broker does not tell where it begins`, { canRetry: true }) // prettier-ignore
    return { topic, partition, offset, metadata: null, isNew: true }
  })
}

async function ledOf(partitions: readonly TopicPartition[], cluster: Cluster): Promise<readonly TopicPartition[]> {
  if (partitions.length === 0) return []
  const states = await cluster.topics([...new Set(partitions.map(({ topic }) => topic))])
  return partitions.filter(({ topic, partition }) => leaderOf(states.get(topic), partition) !== undefined)
}

/** Of those for which the group has one, by partition. @throws what the client library throws */
export async function commits(
  partitions: readonly TopicPartition[],
  groupName: string,
  coordinator: Coordinator,
): Promise<ReadonlyMap<string, { readonly offset: bigint; readonly metadata: string | null }>> {
  const topics = byTopic(partitions).map(({ topic, partitions: partitionIndexes }) => ({ name: topic, partitionIndexes })) // prettier-ignore
  const response = await coordinator.ask((connection) => offsetFetchV6.api.async(connection, [{ groupId: groupName, topics }], false)) // prettier-ignore
  const found = new Map<string, { readonly offset: bigint; readonly metadata: string | null }>()
  for (const { name, partitions: answers } of response.topics)
    for (const { partitionIndex, committedOffset, metadata } of answers)
      // -1: the group has none.
      if (committedOffset >= 0n) found.set(partitionKey(name, partitionIndex), { offset: committedOffset, metadata: metadata ?? null }) // prettier-ignore
  return found
}

/** One end of the log of each partition, asked of its leader. */
export async function endsOf(
  partitions: readonly TopicPartition[],
  cluster: Cluster,
  end: 'oldest' | 'newest',
): Promise<ReadonlyMap<string, bigint>> {
  const states = await cluster.topics([...new Set(partitions.map(({ topic }) => topic))])
  const byLeader = new Map<number, TopicPartition[]>()
  for (const one of partitions) {
    const leader = leaderOf(states.get(one.topic), one.partition)
    if (leader === undefined) throw new HubError('HUB_SOURCE_UNREACHABLE', `${partitionKey(one.topic, one.partition)} has no leader at the moment`, { canRetry: true }) // prettier-ignore
    byLeader.set(leader, [...(byLeader.get(leader) ?? []), one])
  }
  const ends = new Map<string, bigint>()
  for (const [leader, own] of byLeader) {
    const connection = await cluster.connection(leader, 'group')
    const topics = own.map(({ topic, partition }) => ({ name: topic, partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp: end === 'oldest' ? OLDEST : NEWEST }] })) // prettier-ignore
    const response = await listOffsetsV5.api.async(connection, CONSUMER, READ_COMMITTED, topics)
    for (const { name, partitions: found } of response.topics)
      for (const { partitionIndex, offset } of found) ends.set(partitionKey(name, partitionIndex), offset)
  }
  return ends
}

/** Where reading goes on whose position is not in the log any more: retention was faster, or the log was cut. */
export async function nearestInLog({ topic, index, position }: Partition, cluster: Cluster): Promise<bigint> {
  const at = async (end: 'oldest' | 'newest'): Promise<bigint> => (await endsOf([{ topic, partition: index }], cluster, end)).get(partitionKey(topic, index)) ?? 0n // prettier-ignore
  const [first, last] = [await at('oldest'), await at('newest')]
  return position < first ? first : last
}
