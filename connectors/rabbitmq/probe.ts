// Can we connect, and are the queues there? Makes nothing and takes nothing. Called by rabbit-source.ts.

import { HubError, asHubError, refusedTopic } from '../../src/sdk/index.ts'
import type { ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import type { Link, RabbitConfig } from './dial.ts'
import type { QueueKind } from './feed.ts'
import { exchangeProblem, queueProblem } from './problems.ts'
import { ownQueue } from './subscriptions.ts'
import { checkExchange, ensureExchange, ensureQueue, kindOf } from './topology.ts'

/** @param at for messages */
export async function probeTopics(
  link: Link,
  config: RabbitConfig,
  instance: string,
  at: string,
  topics: readonly string[],
): Promise<ProbeReport> {
  const passive = { ...config, declare: false, queues: [] }
  const server = `${link.server} at ${at}`
  const letterProblem = await letterProblemOf(link, config, at)
  const look = async (queue: string): Promise<QueueKind | HubError> => {
    try {
      if (letterProblem !== undefined) return letterProblem
      await ensureQueue(link.model, at, queue, passive)
      // What may not be read is refused like what is no stream.
      return await kindOf(link.model, queue)
    } catch (error) {
      return queueProblem(error, at, queue)
    }
  }
  if (config.exchange === undefined) {
    const reports: TopicReport[] = []
    for (const topic of topics) reports.push(report(topic, await look(topic), (kind) => `the ${kind} is there`))
    return { server, topics: reports }
  }
  const queue = ownQueue(config, instance)
  const found = (await problemOf(() => ensureExchange(link.model, at, passive))) ?? (await look(queue))
  return { server, topics: topics.map((topic) => report(topic, found, (kind) => `through the ${kind} ${queue} of exchange ${config.exchange}`)) } // prettier-ignore
}

/** A function that fails would have its events again and again. */
async function letterProblemOf(link: Link, { deadLetterExchange: exchange }: RabbitConfig, at: string): Promise<HubError | undefined> {
  if (exchange === undefined) return undefined
  try {
    await checkExchange(link.model, exchange)
    return undefined
  } catch (error) {
    return exchangeProblem(error, at, exchange)
  }
} // prettier-ignore

async function problemOf(check: () => Promise<unknown>): Promise<HubError | undefined> {
  try {
    await check()
    return undefined
  } catch (error) {
    return asHubError(error)
  }
}

function report(topic: string, found: QueueKind | HubError, detail: (kind: string) => string): TopicReport {
  if (found instanceof HubError) return refusedTopic(topic, found)
  return { topic, ok: true, detail: detail(found === 'unknown' ? 'queue' : found === 'stream' ? 'stream' : `${found} queue`) } // prettier-ignore
}
