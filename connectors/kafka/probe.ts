// Can we connect, and do what a hub with these topics does? Reads metadata only: joins no group, takes nothing, makes nothing.
// Called by kafka-source.ts.

import { describeGroupsV5 } from '@platformatic/kafka'

import { HubError, refusedTopic } from '../../src/sdk/index.ts'
import type { ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { letterTopicOf } from './letters.ts'
import { answerOf, createHint, grantHint, kafkaProblem } from './problems.ts'
import { allowedOf, isForbidden, readingProblem } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'
import { wantedTopics } from './topics.ts'

/** @throws what the client library throws */
export async function probeTopics(
  cluster: Cluster,
  config: KafkaConfig,
  topics: readonly string[],
): Promise<ProbeReport> {
  const wanted = topics.map((topic) => ({ kind: 'topic', topic }) as const)
  const { topics: names, states } = await wantedTopics(wanted, config.topics, cluster)
  const letterTopics = config.deadLetters === 'topic' ? names.map((topic) => letterTopicOf(config, topic)) : []
  const letterStates = await cluster.topics([...new Set(letterTopics)])
  const groupProblem = names.length === 0 ? undefined : await groupProblemOf(cluster, config.group)
  const report = (topic: string): TopicReport => {
    const problem = topicProblemOf(topic, states.get(topic)) ?? groupProblem ?? letterProblemOf(topic, config, letterStates) // prettier-ignore
    if (problem !== undefined) return refusedTopic(topic, problem)
    return { topic, ok: true, detail: detailOf(topic, config, states.get(topic), letterStates) }
  }
  return { server: `Kafka ${cluster.id} at ${cluster.addresses}`, topics: names.map(report) }
}

/** Why nothing can be read from it, with its fix; undefined when it can. */
export function topicProblemOf(topic: string, state: TopicState | undefined): HubError | undefined {
  const problem = readingProblem(topic, state)
  if (problem === undefined) return undefined
  return isForbidden(state, 'read')
    ? new HubError('HUB_SOURCE_FORBIDDEN', problem, { hint: grantHint('Read', 'topic', topic) })
    : new HubError('HUB_TOPIC_MISSING', problem, { hint: createHint(topic) })
}

/** May we be a member? Asked of its coordinator, which tells it of a group that does not exist, too. */
async function groupProblemOf(cluster: Cluster, group: string): Promise<HubError | undefined> {
  const forbidden = new HubError('HUB_SOURCE_FORBIDDEN', `the group ${group} may not be read by this user`, { hint: grantHint('Read', 'group', group) }) // prettier-ignore
  try {
    const { answer } = await cluster.askCoordinator(group, (connection) => answerOf(describeGroupsV5.api.async(connection, [group], true))) // prettier-ignore
    const [found] = answer.groups
    return found !== undefined && !allowedOf(found.authorizedOperations).has('read') ? forbidden : undefined
  } catch (error) {
    const problem = kafkaProblem(error, `group ${group}`)
    if (problem.code === 'HUB_SOURCE_FORBIDDEN') return forbidden
    throw problem
  }
}

/** A function that fails would hold up its partition. */
function letterProblemOf(
  topic: string,
  config: KafkaConfig,
  states: ReadonlyMap<string, TopicState>,
): HubError | undefined {
  if (config.deadLetters === 'hub') return undefined
  const name = letterTopicOf(config, topic)
  if (!isForbidden(states.get(name), 'write')) return undefined
  return new HubError('HUB_SOURCE_FORBIDDEN', `dead letters may not be written to ${name} by this user`, {
    hint: `${grantHint('Write', 'topic', name)} Or set deadLetters: hub.`,
  })
}

function detailOf(
  topic: string,
  config: KafkaConfig,
  state: TopicState | undefined,
  letterStates: ReadonlyMap<string, TopicState>,
): string {
  const count = state !== undefined && 'leaders' in state ? state.leaders.length : 0
  const partitions = `${count} partition${count === 1 ? '' : 's'}`
  if (config.deadLetters === 'hub') return partitions
  const name = letterTopicOf(config, topic)
  const known = letterStates.get(name)
  const rest = known === undefined || 'problem' in known ? ', which the first of them makes where the brokers let it (auto.create.topics.enable)' : '' // prettier-ignore
  return `${partitions}; dead letters go to ${name}${rest}`
}
