// What of a queue is at the NATS server: its stream and its consumer, made where they are missing, and the messages in it that
// nobody has. Used by nats-queue.ts and nats-calls.ts.

import { AckPolicy, JetStreamApiCodes, JetStreamApiError, RetentionPolicy } from '@nats-io/jetstream'
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream'

/** As OpenFaaS's queue-worker calls it. */
export const DURABLE = 'faas-workers'
const CREATED = 'created by connector-hub'
/** In a millisecond. */
export const NANOS = 1_000_000
/** Asked for at once, and in all, when a message is searched for. */
const SEARCHED_AT_ONCE = 50
const SEARCHED_MAX = 20_000

export function streamOf(queue: string): string {
  return `OF_${queue}`
}

/** The queues whose streams were made by a gateway like this one. */
export async function queuesAt(manager: JetStreamManager): Promise<string[]> {
  const queues: string[] = []
  for await (const { config } of manager.streams.list())
    if (config.description === CREATED && config.name.startsWith('OF_')) queues.push(config.name.slice('OF_'.length))
  return queues
}

/**
 * Makes stream and consumer where they are missing, and leaves them as they are where they are not.
 * @returns how long the server waits for a sign of life, in milliseconds
 */
export async function ensureQueue(manager: JetStreamManager, queue: string, ackWaitMs: number): Promise<number> {
  const stream = streamOf(queue)
  await ensureStream(manager, { name: stream, subjects: [queue], retention: RetentionPolicy.Workqueue })
  const { config } = await manager.consumers.info(stream, DURABLE).catch(async (error: unknown) => {
    if (!isMissing(error)) throw error
    return await manager.consumers.add(stream, {
      durable_name: DURABLE,
      ack_policy: AckPolicy.Explicit,
      ack_wait: ackWaitMs * NANOS,
      max_deliver: -1,
      // Calls that wait for a retry count, too; each worker bounds itself by what it pulls.
      max_ack_pending: -1,
    })
  })
  return (config.ack_wait ?? ackWaitMs * NANOS) / NANOS
}

/** Made where it is missing, otherwise left as it is. */
export async function ensureStream(
  manager: JetStreamManager,
  config: Partial<StreamConfig> & Pick<StreamConfig, 'name'>,
): Promise<void> {
  await manager.streams.info(config.name).catch(async (error: unknown) => {
    if (!isMissing(error)) throw error
    await manager.streams.add({ ...config, description: CREATED })
  })
}

/** False when it is gone: finished by a worker, or already deleted. */
export async function deleteMessage(manager: JetStreamManager, queue: string, sequence: number): Promise<boolean> {
  try {
    return await manager.streams.deleteMessage(streamOf(queue), sequence)
  } catch (error) {
    if (error instanceof JetStreamApiError) return false
    throw error
  }
}

/** The place of the first message that is meant; among the newest ones only where there are very many. */
export async function findMessage(
  { streams }: JetStreamManager,
  queue: string,
  isMeant: (data: Uint8Array) => boolean,
): Promise<number | undefined> {
  const stream = streamOf(queue)
  const { state } = await streams.info(stream)
  if (state.messages === 0) return undefined
  const first = Math.max(state.first_seq, state.last_seq - SEARCHED_MAX)
  for (let from = first; from <= state.last_seq; from += SEARCHED_AT_ONCE) {
    const count = Math.min(SEARCHED_AT_ONCE, state.last_seq - from + 1)
    const places = Array.from({ length: count }, (_, index) => from + index)
    const stored = await Promise.all(places.map((seq) => streams.getMessage(stream, { seq })))
    const found = stored.find((message) => message !== null && isMeant(message.data))
    if (found) return found.seq
  }
  return undefined
}

function isMissing(error: unknown): boolean {
  const { ConsumerNotFound, StreamNotFound } = JetStreamApiCodes
  return error instanceof JetStreamApiError && (error.code === ConsumerNotFound || error.code === StreamNotFound)
}
