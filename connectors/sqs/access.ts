// SQS as the tools reach it: clients of their own, checked, and what a topic stands for. Called by tools.ts.

import type { HubError, SourceLog, ToolContext } from '../../src/sdk/index.ts'
import { addressOf, checkAccess, openClients } from './clients.ts'
import type { Clients, SqsConfig } from './clients.ts'
import { Lane } from './lane.ts'
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
