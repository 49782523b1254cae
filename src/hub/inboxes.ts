// The inboxes of all connector instances, in one file of the embedded store that is there only when one is used.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import type { Clock, EventMessage, Inbox } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'
import { EVENT_QUEUE_SCHEMA, EventQueue, queuedEvents } from '../store/event-queue.ts'

export interface InboxesOptions {
  readonly path: string
  readonly clock: Clock
  /** Of each inbox: bodies and headers of the events that wait. */
  readonly bytesMax: number
}

const SCHEMA = [EVENT_QUEUE_SCHEMA]
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
    this.#database ??= openDatabase(path, SCHEMA)
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

export function inboxPath(stateDir: string): string {
  return join(stateDir, 'inbox.db')
}

/** What waits in the inbox of an instance, oldest first, whoever has it open. Makes no file. @throws HubError HUB_STATE_UNUSABLE */
export function* storedEvents(stateDir: string, instance: string): Iterable<EventMessage> {
  const path = inboxPath(stateDir)
  if (!existsSync(path)) return
  using database = openDatabase(path, SCHEMA)
  yield* queuedEvents(database, instance)
}
