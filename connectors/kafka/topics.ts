// Which topics are read: those of the annotations, or the configured ones, where patterns stand for what exists.

import type { Subscription } from '../../src/sdk/index.ts'
import { patternOf } from './check.ts'
import type { Cluster } from './cluster.ts'
import { readingProblem } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'

/** @param configured instead of the annotations; an entry between slashes is a regular expression */
export async function wantedTopics(
  wanted: readonly Subscription[],
  configured: readonly string[] | undefined,
  cluster: Cluster,
): Promise<{ readonly topics: readonly string[]; readonly states: ReadonlyMap<string, TopicState> }> {
  const entries = configured ?? wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : []))
  const patterns = entries.flatMap((entry) => patternOf(entry) ?? [])
  const names = entries.filter((entry) => patternOf(entry) === undefined)
  if (patterns.length === 0) return { topics: [...new Set(names)].sort(), states: await cluster.topics(names) }
  const states = await cluster.topics(null)
  const matching = [...states.keys()].filter((topic) => !isInternal(topic) && patterns.some((pattern) => pattern.test(topic)))
  return { topics: [...new Set([...names, ...matching])].sort(), states }
} // prettier-ignore

/** Why each topic that cannot be read cannot be. */
export function missingTopics(
  topics: readonly string[],
  states: ReadonlyMap<string, TopicState>,
): ReadonlyMap<string, string> {
  const problems = topics.map((topic) => [topic, readingProblem(topic, states.get(topic))] as const)
  return new Map(problems.filter((one): one is readonly [string, string] => one[1] !== undefined))
}

/** Kafka's own, such as __consumer_offsets. */
function isInternal(topic: string): boolean {
  return topic.startsWith('__')
}
