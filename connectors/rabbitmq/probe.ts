// Can we connect, and are the queues there? Makes nothing and takes nothing. Called by rabbit-source.ts.

import { asHubError } from '../../src/sdk/index.ts'
import type { HubError, ProbeReport } from '../../src/sdk/index.ts'
import type { Link, RabbitConfig } from './dial.ts'
import { ownQueue } from './subscriptions.ts'
import { ensureExchange, ensureQueue } from './topology.ts'

/** @param at for messages */
export async function probeTopics(
  link: Link,
  config: RabbitConfig,
  instance: string,
  at: string,
  topics: readonly string[],
): Promise<ProbeReport> {
  const passive = { ...config, declare: false, queues: [] }
  const look = (queue: string): Promise<HubError | undefined> =>
    problemOf(() => ensureQueue(link.model, at, queue, passive))
  const server = `${link.server} at ${at}`
  if (config.exchange === undefined) {
    const reports: ProbeReport['topics'][number][] = []
    for (const topic of topics) reports.push(line(topic, await look(topic), 'the queue is there'))
    return { server, topics: reports }
  }
  const queue = ownQueue(config, instance)
  const problem = (await problemOf(() => ensureExchange(link.model, at, passive))) ?? (await look(queue))
  const detail = `through queue ${queue} of exchange ${config.exchange}`
  return { server, topics: topics.map((topic) => line(topic, problem, detail)) }
}

async function problemOf(check: () => Promise<unknown>): Promise<HubError | undefined> {
  try {
    await check()
    return undefined
  } catch (error) {
    return asHubError(error)
  }
}

function line(topic: string, problem: HubError | undefined, detail: string): ProbeReport['topics'][number] {
  return problem === undefined
    ? { topic, ok: true, detail }
    : { topic, ok: false, detail: `${problem.message}. ${problem.hint}` }
}
