// Where events go that no retry could deliver, when their broker has no place of its own for them.

import type { DeadLetter, EventMessage } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'

export interface DeadLetterSink {
  /** Resolves once durable; rejects when it could not be made so, and then the event stays unsettled. */
  put(letter: DeadLetter): Promise<void>
}

/** A letter with its number in the store. */
export interface StoredDeadLetter extends DeadLetter {
  readonly number: number
}

const MIGRATIONS = [
  `CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    failed_at_ms INTEGER NOT NULL,
    function TEXT NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER,
    attempts INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    content_type TEXT,
    headers TEXT NOT NULL,
    ordering_key TEXT,
    path TEXT,
    timestamp_ms INTEGER NOT NULL,
    body BLOB NOT NULL
  ) STRICT`,
]

interface Row {
  readonly number: number
  readonly failed_at_ms: number
  readonly function: string
  readonly reason: string
  readonly status: number | null
  readonly attempts: number
  readonly event_id: string
  readonly source: string
  readonly topic: string
  readonly content_type: string | null
  readonly headers: string
  readonly ordering_key: string | null
  readonly path: string | null
  readonly timestamp_ms: number
  readonly body: Uint8Array
}

/** Dead letters in the embedded store. */
export class SqliteDeadLetters implements DeadLetterSink, Disposable {
  readonly #database: Database
  readonly #insert
  readonly #list
  readonly #count

  /** @throws HubError HUB_STATE_UNUSABLE */
  constructor(path: string) {
    this.#database = openDatabase(path, MIGRATIONS)
    const { sqlite } = this.#database
    this.#insert = sqlite.prepare(
      `INSERT INTO dead_letters (failed_at_ms, function, reason, status, attempts, event_id, source, topic, content_type,
        headers, ordering_key, path, timestamp_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#list = sqlite.prepare('SELECT * FROM dead_letters WHERE number > ? ORDER BY number LIMIT ?')
    this.#count = sqlite.prepare('SELECT count(*) AS count FROM dead_letters')
  }

  async put(letter: DeadLetter): Promise<void> {
    const { message } = letter
    await this.#database.commit(() =>
      this.#insert.run(
        Math.round(letter.failedAtMs),
        letter.function,
        letter.reason,
        letter.status ?? null,
        letter.attempts,
        message.id,
        message.source,
        message.topic,
        message.contentType ?? null,
        JSON.stringify(message.headers),
        message.orderingKey ?? null,
        message.path ?? null,
        Math.round(message.timestampMs),
        message.body,
      ),
    )
  }

  /** Up to `limit` letters after number `after`, oldest first. */
  list(limit: number, after = 0): readonly StoredDeadLetter[] {
    return (this.#list.all(after, limit) as unknown as Row[]).map(fromRow)
  }

  count(): number {
    return (this.#count.get() as { count: number }).count
  }

  close(): void {
    this.#database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function fromRow(row: Row): StoredDeadLetter {
  const message: EventMessage = {
    id: row.event_id,
    source: row.source,
    topic: row.topic,
    body: row.body,
    headers: JSON.parse(row.headers) as Record<string, string>,
    attempt: row.attempts,
    timestampMs: row.timestamp_ms,
    target: row.function,
    ...(row.content_type === null ? {} : { contentType: row.content_type }),
    ...(row.ordering_key === null ? {} : { orderingKey: row.ordering_key }),
    ...(row.path === null ? {} : { path: row.path }),
  }
  return {
    number: row.number,
    message,
    function: row.function,
    reason: row.reason,
    attempts: row.attempts,
    failedAtMs: row.failed_at_ms,
    ...(row.status === null ? {} : { status: row.status }),
  }
}
