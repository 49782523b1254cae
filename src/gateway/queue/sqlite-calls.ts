// Queued calls in the embedded store: one file, durable on commit, every queue a queue of its own in it.

import type { Clock, SettleResult } from '../../sdk/index.ts'
import { openDatabase } from '../../store/database.ts'
import type { Database } from '../../store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue, queueNames } from '../../store/event-queue.ts'
import type { QueuedDelivery } from '../../store/event-queue.ts'
import { eventOf } from './call.ts'
import type { CallStore, DueCall, QueuedCall } from './call.ts'

export interface SqliteCallsOptions {
  /** SQLite file; `:memory:` for calls that need not survive. */
  readonly path: string
  readonly clock: Clock
  /** Of each queue. */
  readonly callsMax: number
  /** Bodies and headers of all calls of a queue together. */
  readonly bytesMax: number
}

const MIGRATIONS = [
  EVENT_QUEUE_SCHEMA,
  // When there was one queue only.
  "UPDATE events SET queue = 'faas-request' WHERE queue = 'queue'",
]

export class SqliteCalls implements CallStore {
  readonly heldMax = 10_000
  readonly names: readonly string[]
  readonly #options: SqliteCallsOptions
  readonly #database: Database
  readonly #queues = new Map<string, EventQueue>()

  /** What an earlier process left is due again. @throws HubError HUB_STATE_UNUSABLE */
  constructor(options: SqliteCallsOptions) {
    this.#options = options
    this.#database = openDatabase(options.path, MIGRATIONS)
    this.names = queueNames(this.#database)
    for (const name of this.names) this.#of(name)
  }

  get length(): number {
    return this.#queues.values().reduce((sum, { length }) => sum + length, 0)
  }

  async put(queue: string, call: QueuedCall): Promise<'queued'> {
    const event = eventOf(queue, call, 1, this.#options.clock.now())
    await this.#of(queue).put(event, call.callbackUrl === undefined ? {} : { note: call.callbackUrl })
    return 'queued'
  }

  async *calls(queue: string, signal: AbortSignal): AsyncGenerator<DueCall, void> {
    for await (const delivery of this.#of(queue).deliveries(signal)) yield dueCall(delivery)
  }

  async cancel(callId: string): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>()
    await Promise.all(
      this.#queues.entries().map(async ([name, queue]) => {
        const count = await queue.cancel(callId)
        if (count > 0) counts.set(name, count)
      }),
    )
    return counts
  }

  pending(queue: string): Promise<number> {
    const { length, unsettled } = this.#of(queue)
    return Promise.resolve(length - unsettled)
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#queues.values()) queue[Symbol.dispose]()
    this.#database.close()
    return Promise.resolve()
  }

  #of(name: string): EventQueue {
    let queue = this.#queues.get(name)
    if (queue !== undefined) return queue
    const { clock, callsMax, bytesMax } = this.#options
    queue = new EventQueue({
      database: this.#database,
      name,
      clock,
      eventsMax: callsMax,
      bytesMax,
      // The dispatcher pulls no more than it has room for.
      unsettledMax: Infinity,
      canCancel: true,
    })
    this.#queues.set(name, queue)
    return queue
  }
}

function dueCall(delivery: QueuedDelivery): DueCall {
  const { message, note: callbackUrl, signal } = delivery
  return {
    message,
    callbackUrl,
    // Of every delivery of a queue that can cancel.
    signal: signal as AbortSignal,
    settle: (settlement): Promise<SettleResult> => delivery.settle(settlement),
  }
}
