// What the brokers say of one topic: who leads its partitions, and what our user may do with it. Pure; called by cluster.ts.

import type { metadataV9 } from '@platformatic/kafka'

type MetadataTopic = Awaited<ReturnType<typeof metadataV9.api.async>>['topics'][number]

/** Operations on topics and groups (AclOperation of Kafka); a set of them is a bit field of these numbers. */
export const OPERATION = { read: 3, write: 4, delete: 6 } as const
export type Operation = keyof typeof OPERATION

/** What can be seen of it, or Kafka's reason why nothing can. */
export type TopicState = OpenTopic | { readonly problem: string; readonly code: number }

export interface OpenTopic {
  /** Of its partitions; -1 where there is none at the moment. */
  readonly leaders: readonly number[]
  readonly allowed: ReadonlySet<Operation>
}

// Protocol guide, "Error Codes".
/** It was made this moment. */
const LEADER_NOT_AVAILABLE = 5
export const UNKNOWN_TOPIC = 3
export const INVALID_TOPIC = 17
const TOPIC_AUTHORIZATION_FAILED = 29
/** A broker that does not say what is allowed. */
const UNKNOWN_OPERATIONS = -(2 ** 31)

const PROBLEMS: Readonly<Record<number, string>> = {
  [UNKNOWN_TOPIC]: 'does not exist',
  [INVALID_TOPIC]: 'is no name of a topic',
  [TOPIC_AUTHORIZATION_FAILED]: 'may not be described by this user',
}

export function topicState({ errorCode, name, partitions, topicAuthorizedOperations }: MetadataTopic): TopicState {
  if (errorCode !== 0 && errorCode !== LEADER_NOT_AVAILABLE)
    return { problem: `${name} ${PROBLEMS[errorCode] ?? `cannot be read (Kafka error ${errorCode})`}`, code: errorCode }
  const leaders: number[] = []
  for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId
  return { leaders, allowed: allowedOf(topicAuthorizedOperations) }
}

export function allowedOf(bits: number): ReadonlySet<Operation> {
  const all = Object.keys(OPERATION) as Operation[]
  return new Set(bits === UNKNOWN_OPERATIONS ? all : all.filter((one) => (bits & (1 << OPERATION[one])) !== 0))
}

/** Why nothing can be read from it; undefined when it can. @param state undefined: the brokers did not mention it */
export function readingProblem(topic: string, state: TopicState | undefined): string | undefined {
  if (state === undefined) return `${topic} does not exist`
  if ('problem' in state) return state.problem
  return state.allowed.has('read') ? undefined : `${topic} may not be read by this user`
}

/** Our user lacks the right to do that, or even to know of it. */
export function isForbidden(state: TopicState | undefined, operation: Operation): boolean {
  if (state === undefined) return false
  return 'problem' in state ? state.code === TOPIC_AUTHORIZATION_FAILED : !state.allowed.has(operation)
}

/** Undefined where there is none at the moment. */
export function leaderOf(state: TopicState | undefined, partition: number): number | undefined {
  const leader = state !== undefined && 'leaders' in state ? state.leaders[partition] : undefined
  return leader === undefined || leader < 0 ? undefined : leader
}

/** Number of partitions of each topic; 0 of one that cannot be seen. */
export function partitionCounts(
  topics: Iterable<string>,
  states: ReadonlyMap<string, TopicState>,
): ReadonlyMap<string, number> {
  return new Map([...topics].map((topic) => {
    const state = states.get(topic)
    return [topic, state !== undefined && 'leaders' in state ? state.leaders.length : 0]
  })) // prettier-ignore
}
