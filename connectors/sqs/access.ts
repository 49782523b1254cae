// SQS as the tools reach it: clients of their own, checked, and what a topic stands for. Called by tools.ts.

import { asHubError } from '../../src/sdk/index.ts'
import type { HubError, SourceLog, ToolContext } from '../../src/sdk/index.ts'
import { addressOf, checkAccess, openClients } from './clients.ts'
import type { Clients, SqsConfig } from './clients.ts'
import { Lane } from './lane.ts'
import type { Lookable } from './looker.ts'
import { locateQueue, parsePolicy, queueAttributes } from './queues.ts'
import type { Address, QueuesOptions } from './queues.ts'

export interface Access extends Disposable {
  readonly clients: Clients
  /** Without credentials, for messages. */
  readonly at: string
  readonly config: SqsConfig
  readonly context: ToolContext
  readonly queues: QueuesOptions
}

/** @throws HubError HUB_SOURCE_* */
export async function openAccess(config: SqsConfig, context: ToolContext, signal: AbortSignal): Promise<Access> {
  const clients = openClients(config, context.log)
  const at = addressOf(config)
  try {
    await checkAccess(clients, at, signal)
  } catch (error) {
    clients.destroy()
    throw error
  }
  const queues = { client: clients.work, config, at, log: context.log }
  return { clients, at, config, context, queues, [Symbol.dispose]: () => clients.destroy() }
}

/** Tells SQS what becomes of messages of one queue. @param failed told what trying again does not mend */
export function laneOf(
  { clients, context: { clock }, at }: Access,
  address: Address,
  stop: AbortSignal,
  failed: (problem: HubError) => void,
): Lane<never> {
  const queue = { ...address, letters: undefined, receivesMax: undefined }
  return new Lane({ queue, clock, at, stop, client: () => clients.work, failed })
}

export function warnOf(log: Pick<SourceLog, 'warn'>, event: string, { code, message, hint }: HubError): void {
  log.warn(event, `${message}. ${hint}`, { code })
}

/** A queue with what its redrive policy says: not known, it could be our receive that moves a message away. */
export async function findLookable(name: string, { queues }: Access, signal: AbortSignal): Promise<Lookable> {
  const address = await locateQueue(name, queues, signal)
  const { RedrivePolicy: policy } = await queueAttributes(address, ['RedrivePolicy'], queues, signal)
  return { ...address, receivesMax: parsePolicy(policy)?.receivesMax }
}

/**
 * Asks for each topic once. Those that may not be seen are said, and what the others give counts.
 * @param find undefined: the topic has nothing of it
 * @throws HubError HUB_SOURCE_*; HUB_SOURCE_FORBIDDEN when something may not be seen and nothing was found
 */
export async function eachTopic<T>(
  topics: Iterable<string>,
  find: (topic: string) => Promise<T | undefined>,
  { context: { log } }: Access,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const found: T[] = []
  const problems: HubError[] = []
  for (const topic of new Set(topics))
    try {
      const one = await find(topic)
      if (one !== undefined) found.push(one)
    } catch (error) {
      signal.throwIfAborted()
      const problem = asHubError(error)
      if (problem.code !== 'HUB_SOURCE_FORBIDDEN') throw problem
      problems.push(problem)
    }
  const [first] = problems
  if (first !== undefined && found.length === 0) throw first
  for (const problem of problems) warnOf(log, 'sqs.not-looked-at', problem)
  return found
}
