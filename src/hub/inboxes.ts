// The inboxes of all connector instances, in one file of the embedded store that is there only when one is used.

import type { Clock, Inbox } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue } from '../store/event-queue.ts'

export interface InboxesOptions {
  readonly path: string
  readonly clock: Clock
  /** Of each inbox: bodies and headers of the events that wait. */
  readonly bytesMax: number
}

const EVENTS_MAX = 1_000_000

export class Inboxes implements Disposable {
  readonly #options: InboxesOptions
  #database: Database | undefined
  readonly #queues = new Map<string, EventQueue>()

  constructor(options: InboxesOptions) {
    this.#options = options
  }

  /** What an earlier process left in it is due again. @throws HubError HUB_STATE_UNUSABLE */
  of(instance: string, unsettledMax: number): Inbox {
    const known = this.#queues.get(instance)
    if (known !== undefined) return known
    const { path, clock, bytesMax } = this.#options
    this.#database ??= openDatabase(path, [EVENT_QUEUE_SCHEMA])
    const database = this.#database
    const queue = new EventQueue({ database, name: instance, clock, eventsMax: EVENTS_MAX, bytesMax, unsettledMax })
    this.#queues.set(instance, queue)
    return queue
  }

  [Symbol.dispose](): void {
    for (const queue of this.#queues.values()) queue[Symbol.dispose]()
    this.#database?.close()
  }
}
