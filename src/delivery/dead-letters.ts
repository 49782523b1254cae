// Where events go that no retry could deliver, when their broker has no place of its own for them.

import { DATE_MAX_MS } from '../sdk/index.ts'
import type { DeadLetter, EventMessage } from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'
import { headersFrom, headersText } from '../store/header-text.ts'

export interface DeadLetterSink {
  /** Resolves once durable; rejects when it could not be made so, and then the event stays unsettled. */
  put(letter: DeadLetter): Promise<void>
}

/** How much is kept; without one, everything. */
export interface DeadLetterBound {
  /** Of all letters; the newest one stays, however large. */
  readonly bytesMax: number
  /** So many of the oldest had to go for newer ones, durably. */
  dropped(count: number): void
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

/** Of one letter in the file: what a client may make long, and a flat share for the rest. */
const BYTES = 'length(body) + length(headers) + coalesce(length(path), 0) + length(topic) + 512'
/** Dropped down to this part of the bound, so that not every letter has to look for the oldest. */
const KEPT = 0.9

interface Size {
  readonly number: number
  readonly bytes: number
}

/** Dead letters in the embedded store. Several processes may have it open. */
export class SqliteDeadLetters implements DeadLetterSink, Disposable {
  readonly #database: Database
  readonly #bound: DeadLetterBound | undefined
  /** At least what there is: other processes remove, too. Undefined: to be measured. */
  #bytes: number | undefined
  /** Letters as of `#countedAt`, and of what this process has done since. */
  #counted = 0
  /** SQLite's `data_version`, which changes when another connection has written. Undefined: to be counted. */
  #countedAt: number | undefined
  readonly #othersWrote
  readonly #insert
  readonly #list
  readonly #count
  readonly #used
  readonly #last
  readonly #remove
  readonly #update
  readonly #measure
  readonly #sizes
  readonly #removeUpTo

  /** @throws HubError HUB_STATE_UNUSABLE */
  constructor(path: string, bound?: DeadLetterBound) {
    this.#database = openDatabase(path, MIGRATIONS)
    this.#bound = bound
    const { sqlite } = this.#database
    this.#insert = sqlite.prepare(
      `INSERT INTO dead_letters (failed_at_ms, function, reason, status, attempts, event_id, source, topic, content_type,
        headers, ordering_key, path, timestamp_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        RETURNING number, ${BYTES} AS bytes`,
    )
    this.#list = sqlite.prepare('SELECT * FROM dead_letters WHERE number > ? ORDER BY number LIMIT ?')
    this.#count = sqlite.prepare('SELECT count(*) AS count FROM dead_letters')
    this.#used = sqlite.prepare('SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size') // prettier-ignore
    this.#othersWrote = sqlite.prepare('SELECT data_version AS version FROM pragma_data_version')
    this.#last = sqlite.prepare('SELECT max(number) AS last FROM dead_letters')
    this.#remove = sqlite.prepare('DELETE FROM dead_letters WHERE number = ?')
    this.#update = sqlite.prepare('UPDATE dead_letters SET reason = ?, status = ?, attempts = attempts + 1, failed_at_ms = ? WHERE number = ?') // prettier-ignore
    this.#measure = sqlite.prepare(`SELECT coalesce(sum(${BYTES}), 0) AS bytes FROM dead_letters`)
    this.#sizes = sqlite.prepare(`SELECT number, ${BYTES} AS bytes FROM dead_letters WHERE number < ? ORDER BY number`)
    this.#removeUpTo = sqlite.prepare('DELETE FROM dead_letters WHERE number <= ?')
  }

  async put(letter: DeadLetter): Promise<void> {
    const bound = this.#bound
    try {
      const dropped = await this.#database.commit(() => {
        const stored = this.#store(letter)
        this.#counted += 1
        return bound === undefined ? 0 : this.#dropOldest(bound.bytesMax, stored)
      })
      if (dropped > 0) bound?.dropped(dropped)
    } catch (error) {
      // What was counted may have been rolled back.
      this.#bytes = undefined
      this.#countedAt = undefined
      throw error
    }
  }

  #store(letter: DeadLetter): Size {
    const { message } = letter
    return this.#insert.get(
      Math.round(letter.failedAtMs),
      letter.function,
      letter.reason,
      letter.status ?? null,
      letter.attempts,
      message.id,
      message.source,
      message.topic,
      message.contentType ?? null,
      headersText(message),
      message.orderingKey ?? null,
      message.path ?? null,
      storableMs(message.timestampMs),
      message.body,
    ) as unknown as Size
  }

  /** In the commit that stores the newest. @returns how many */
  #dropOldest(bytesMax: number, newest: Size): number {
    if (this.#bytes !== undefined) this.#bytes += newest.bytes
    if (this.#bytes !== undefined && this.#bytes <= bytesMax) return 0
    let { bytes } = this.#measure.get() as { bytes: number }
    let last = 0
    if (bytes > bytesMax) {
      for (const size of this.#sizes.iterate(newest.number) as Iterable<unknown> as Iterable<Size>) {
        if (bytes <= bytesMax * KEPT) break
        bytes -= size.bytes
        last = size.number
      }
    }
    this.#bytes = bytes
    const dropped = last === 0 ? 0 : Number(this.#removeUpTo.run(last).changes)
    this.#counted -= dropped
    return dropped
  }

  /** Up to `limit` letters after number `after`, oldest first. */
  list(limit: number, after = 0): readonly StoredDeadLetter[] {
    return (this.#list.all(after, limit) as unknown as Row[]).map(fromRow)
  }

  count(): number {
    return (this.#count.get() as { count: number }).count
  }

  /** `bytes` are those of the file that hold something; what is removed makes room in it, and leaves its length. */
  size(): { readonly count: number; readonly bytes: number } {
    const { bytes } = this.#used.get() as { bytes: number }
    // Counting looks at every letter: 100 ms for 200,000 of them, at each scrape.
    const { version } = this.#othersWrote.get() as { version: number }
    if (version !== this.#countedAt) this.#counted = this.count()
    this.#countedAt = version
    return { count: this.#counted, bytes }
  }

  /** Of the newest letter there is; 0 when there is none. */
  lastNumber(): number {
    return (this.#last.get() as { last: number | null }).last ?? 0
  }

  /** Resolves once durable; false when it was gone already. */
  async remove(number: number): Promise<boolean> {
    try {
      return await this.#database.commit(() => {
        const changes = Number(this.#remove.run(number).changes)
        this.#counted -= changes
        return changes > 0
      })
    } catch (error) {
      this.#countedAt = undefined
      throw error
    }
  }

  /** One more attempt has failed, for this reason. Resolves once durable. */
  async failedAgain(number: number, reason: string, status: number | undefined, failedAtMs: number): Promise<void> {
    await this.#database.commit(() => this.#update.run(reason, status ?? null, Math.round(failedAtMs), number))
  }

  close(): void {
    this.#database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * A publisher may state any number, such as nanoseconds: SQLite refuses what is no integer of 64 bits, and what is no safe
 * integer is refused when it is read, with every other letter of its page.
 */
function storableMs(timestampMs: number): number {
  return Math.round(Math.min(DATE_MAX_MS, Math.max(-DATE_MAX_MS, timestampMs)))
}

function fromRow(row: Row): StoredDeadLetter {
  const message: EventMessage = {
    id: row.event_id,
    source: row.source,
    topic: row.topic,
    body: row.body,
    ...headersFrom(row.headers),
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
