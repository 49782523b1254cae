// Events that are durable from the moment they are accepted until they are settled: the gateway's async queue, and the
// inbox of connectors that are called. Yields deliveries; decides nothing about them.

import { Fifo, HubError, formatSize } from '../sdk/index.ts'
import type {
  Clock,
  ClockTimer,
  Delivery,
  EventMessage,
  FunctionResult,
  SettleResult,
  Settlement,
} from '../sdk/index.ts'
import type { Database } from './database.ts'
import { headersFrom, headersText } from './header-text.ts'

/** For the migrations of a database that holds queues. */
export const EVENT_QUEUE_SCHEMA = `
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    topic TEXT NOT NULL,
    target TEXT,
    path TEXT,
    content_type TEXT,
    ordering_key TEXT,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    note TEXT,
    attempt INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    next_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX events_by_id ON events (queue, id);
  CREATE TABLE remembered (
    queue TEXT NOT NULL, id TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (queue, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX remembered_until ON remembered (queue, until_ms)`

export type QueuedEvent = Omit<EventMessage, 'source' | 'attempt'>

export interface EventQueueOptions {
  /** Its migrations include EVENT_QUEUE_SCHEMA. Closed by whoever opened it. */
  readonly database: Database
  /** Which queue of the database; goes into `EventMessage.source`. */
  readonly name: string
  readonly clock: Clock
  readonly eventsMax: number
  /** Bodies and headers together. */
  readonly bytesMax: number
  /** Handed out and not settled, at most. */
  readonly unsettledMax: number
  /** Deliveries then have a signal, by which `cancel` reaches those that are handed out. */
  readonly canCancel?: boolean
}

export interface PutOptions {
  /** Kept beside the event, for whoever settles it. */
  readonly note?: string
  readonly rememberMs?: number
}

interface Row {
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly target: string | null
  readonly path: string | null
  readonly content_type: string | null
  readonly ordering_key: string | null
  readonly headers: string
  readonly body: Uint8Array
  readonly note: string | null
  readonly attempt: number
  readonly timestamp_ms: number
}

/** A delivery with the note that it was stored with. */
export interface QueuedDelivery extends Delivery {
  readonly note: string | undefined
}

/** Handed out and not settled. */
interface Out {
  readonly row: Row
  readonly withdrawn: AbortController | undefined
  /** Its last settlement is on its way to the disk. */
  isEnding: boolean
  isCancelled: boolean
}

/** Ids that have been remembered long enough are forgotten after so many new ones. */
const FORGET_EVERY = 1000
/** After a settlement that could not be written. */
const SETTLE_AGAIN_MS = 1000
/** For a retry that an earlier process has postponed; as long as a function can ask for by Retry-After. */
const LEFT_DELAY_MAX_MS = 3_600_000

export class EventQueue implements Disposable {
  readonly #options: EventQueueOptions
  readonly #statements: ReturnType<typeof prepare>
  /** Rows whose time has come, by sequence number. */
  readonly #due = new Fifo<number>()
  readonly #timers = new Map<number, ClockTimer>()
  #count = 0
  #bytes = 0
  #remembered = 0
  readonly #out = new Map<number, Out>()
  /** Cancelled, and not yet forgotten by the disk. */
  readonly #leaving = new Set<number>()
  #isClosed = false
  #wake: (() => void) | undefined

  /** What an earlier process left is due again. */
  constructor(options: EventQueueOptions) {
    this.#options = options
    this.#statements = prepare(options.database)
    const left = this.#statements.all.all(options.name) as { seq: number; attempt: number; next_at_ms: number; bytes: number }[] // prettier-ignore
    const nowMs = options.clock.now()
    for (const { seq, attempt, next_at_ms: nextAtMs, bytes } of left) {
      this.#count += 1
      this.#bytes += bytes
      // The clock may be behind what it was: a machine without a battery begins in the past.
      this.#schedule(seq, attempt === 1 ? 0 : Math.min(nextAtMs - nowMs, LEFT_DELAY_MAX_MS))
    }
  }

  /** Events accepted and not settled. */
  get length(): number {
    return this.#count
  }

  /** Of these, handed out. */
  get unsettled(): number {
    return this.#out.size
  }

  /**
   * Resolves once the event is durable.
   * @returns `known` when it is remembered, and nothing was stored
   * @throws HubError HUB_QUEUE_FULL, HUB_STATE_UNUSABLE
   */
  async put(event: QueuedEvent, { note, rememberMs }: PutOptions = {}): Promise<'stored' | 'known'> {
    const headers = headersText(event)
    const bytes = event.body.byteLength + headers.length
    const { eventsMax, bytesMax, clock, database, name } = this.#options
    if (this.#count >= eventsMax || this.#bytes + bytes > bytesMax)
      throw new HubError('HUB_QUEUE_FULL', `${this.#count} events of ${formatSize(this.#bytes)} wait for their functions, and no more are taken`, { canRetry: true }) // prettier-ignore
    this.#count += 1
    this.#bytes += bytes
    const nowMs = Math.round(clock.now())
    const { insert, remember, isKnown } = this.#statements
    let seq: number | undefined
    try {
      seq = await database.commit(() => {
        if (rememberMs !== undefined) {
          if (isKnown.get(name, event.id, nowMs, name, event.id) !== undefined) return undefined
          remember.run(name, event.id, nowMs + rememberMs)
        }
        const { id, topic, target = null, path = null, contentType = null, orderingKey = null } = event
        return Number(insert.run(name, id, topic, target, path, contentType, orderingKey, headers, event.body, note ?? null, Math.round(event.timestampMs), nowMs).lastInsertRowid) // prettier-ignore
      })
    } finally {
      if (seq === undefined) this.#gone(bytes)
    }
    if (seq === undefined) return 'known'
    this.#schedule(seq, 0)
    if (rememberMs !== undefined) this.#forgetOld(nowMs)
    return 'stored'
  }

  /** Every due event, oldest first, until `signal` is aborted. */
  async *deliveries(signal: AbortSignal): AsyncGenerator<QueuedDelivery, void> {
    const wakeUp = (): void => this.#wake?.()
    signal.addEventListener('abort', wakeUp, { once: true })
    try {
      while (!signal.aborted) {
        const seq = this.#out.size < this.#options.unsettledMax ? this.#due.shift() : undefined
        if (seq === undefined) {
          await this.#change()
          continue
        }
        const row = this.#statements.one.get(seq) as Row | undefined
        if (row === undefined || this.#leaving.has(seq)) continue
        yield this.#delivery(row)
      }
    } finally {
      signal.removeEventListener('abort', wakeUp)
    }
  }

  /**
   * Forgets every event of this id: one that is handed out has its signal aborted, and settling it is stale; one that is
   * just being settled for good is left alone. Resolves once durable with how many there were.
   */
  async cancel(id: string): Promise<number> {
    const { database, name } = this.#options
    const rows = this.#statements.byId.all(name, id) as { seq: number; bytes: number }[]
    const cancelled = rows.filter(({ seq }) => this.#out.get(seq)?.isEnding !== true && !this.#leaving.has(seq))
    for (const { seq } of cancelled) {
      this.#leaving.add(seq)
      this.#timers.get(seq)?.cancel()
      this.#timers.delete(seq)
      const out = this.#out.get(seq)
      this.#out.delete(seq)
      if (out === undefined) continue
      out.isCancelled = true
      out.withdrawn?.abort()
    }
    if (cancelled.length === 0) return 0
    try {
      await database.commit(() => {
        for (const { seq } of cancelled) this.#statements.remove.run(seq)
      })
    } catch (error) {
      // It is not forgotten, and nothing else would hand it out again before a restart.
      for (const { seq } of cancelled) {
        this.#due.retain((due) => due !== seq)
        this.#schedule(seq, 0)
      }
      throw error
    } finally {
      for (const { seq } of cancelled) this.#leaving.delete(seq)
    }
    for (const { bytes } of cancelled) this.#gone(bytes)
    this.#wake?.()
    return cancelled.length
  }

  /** What is unsettled stays so: settled later, it is stale. */
  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }

  #schedule(seq: number, delayMs: number): void {
    const due = (): void => {
      this.#timers.delete(seq)
      this.#due.push(seq)
      this.#wake?.()
    }
    if (delayMs <= 0) due()
    else this.#timers.set(seq, this.#options.clock.after(delayMs, due))
  }

  #delivery(row: Row): QueuedDelivery {
    const message = messageOf(row, this.#options.name)
    const withdrawn = this.#options.canCancel === true ? new AbortController() : undefined
    const out: Out = { row, withdrawn, isEnding: false, isCancelled: false }
    this.#out.set(row.seq, out)
    let settled: Promise<SettleResult> | undefined
    return {
      message,
      note: row.note ?? undefined,
      ...(withdrawn === undefined ? {} : { signal: withdrawn.signal }),
      settle: (settlement: Settlement, _results?: readonly FunctionResult[]) =>
        (settled ??= this.#settle(out, settlement)),
    }
  }

  async #settle(out: Out, settlement: Settlement): Promise<SettleResult> {
    const { row } = out
    if (this.#isClosed || this.#out.get(row.seq) !== out) return 'stale'
    out.isEnding = settlement.kind !== 'retry'
    try {
      const result = await this.#conclude(out, settlement)
      // A retry without a delay may have been handed out again.
      if (this.#out.get(row.seq) === out) this.#out.delete(row.seq)
      this.#wake?.()
      return result
    } catch (error) {
      this.#settleLater(out, settlement)
      throw error
    }
  }

  /** Not handed out again meanwhile: it has been dealt with, and a disk that is full has room again some time. */
  #settleLater(out: Out, settlement: Settlement): void {
    const { seq } = out.row
    if (this.#isClosed || this.#out.get(seq) !== out) return
    const again = (): void => {
      this.#timers.delete(seq)
      // It has been reported; it goes on being tried.
      this.#settle(out, settlement).catch(() => undefined)
    }
    this.#timers.set(seq, this.#options.clock.after(SETTLE_AGAIN_MS, again))
  }

  async #conclude(out: Out, settlement: Settlement): Promise<SettleResult> {
    const { row } = out
    const { clock, database, name } = this.#options
    const { postpone, remove, forget } = this.#statements
    if (settlement.kind === 'retry') {
      const nextAtMs = Math.round(clock.now() + settlement.delayMs)
      await database.commit(() => postpone.run(nextAtMs, row.seq))
      if (out.isCancelled) return 'stale'
      this.#schedule(row.seq, settlement.delayMs)
      return 'settled'
    }
    await database.commit(() => {
      remove.run(row.seq)
      if (settlement.kind === 'reject') forget.run(name, row.id)
    })
    this.#gone(row.body.byteLength + row.headers.length)
    return 'settled'
  }

  #gone(bytes: number): void {
    this.#count -= 1
    this.#bytes -= bytes
  }

  /** One that is not settled is known as long as it is stored, whatever is remembered. */
  #forgetOld(nowMs: number): void {
    this.#remembered += 1
    if (this.#remembered % FORGET_EVERY !== 0) return
    const { database, name } = this.#options
    // A database that cannot forget cannot store either, and says so there.
    database.commit(() => this.#statements.forgetOld.run(name, nowMs)).catch(() => undefined)
  }
}

/** The queues of a database in which something waits. */
export function queueNames({ sqlite }: Database): string[] {
  const rows = sqlite.prepare('SELECT DISTINCT queue FROM events').all() as { queue: string }[]
  return rows.map(({ queue }) => queue)
}

/** What waits in a queue, oldest first, for whoever only looks; it may be in use by another process. */
export function* queuedEvents({ sqlite }: Database, name: string): Iterable<EventMessage> {
  const next = sqlite.prepare('SELECT * FROM events WHERE queue = ? AND seq > ? ORDER BY seq LIMIT 1')
  // One at a time, so that no read stays open while somebody reads on a terminal.
  for (let after = 0; ;) {
    const row = next.get(name, after) as Row | undefined
    if (row === undefined) return
    yield messageOf(row, name)
    after = row.seq
  }
}

function messageOf(row: Row, source: string): EventMessage {
  return {
    id: row.id,
    source,
    topic: row.topic,
    body: row.body,
    ...headersFrom(row.headers),
    attempt: row.attempt,
    timestampMs: row.timestamp_ms,
    ...(row.target === null ? {} : { target: row.target }),
    ...(row.path === null ? {} : { path: row.path }),
    ...(row.content_type === null ? {} : { contentType: row.content_type }),
    ...(row.ordering_key === null ? {} : { orderingKey: row.ordering_key }),
  }
}

function prepare({ sqlite }: Database) {
  return {
    all: sqlite.prepare(
      'SELECT seq, attempt, next_at_ms, length(body) + length(headers) AS bytes FROM events WHERE queue = ? ORDER BY seq',
    ),
    one: sqlite.prepare(
      'SELECT seq, id, topic, target, path, content_type, ordering_key, headers, body, note, attempt, timestamp_ms FROM events WHERE seq = ?',
    ),
    insert: sqlite.prepare(
      'INSERT INTO events (queue, id, topic, target, path, content_type, ordering_key, headers, body, note, attempt, timestamp_ms, next_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)',
    ),
    byId: sqlite.prepare('SELECT seq, length(body) + length(headers) AS bytes FROM events WHERE queue = ? AND id = ?'),
    remove: sqlite.prepare('DELETE FROM events WHERE seq = ?'),
    postpone: sqlite.prepare('UPDATE events SET attempt = attempt + 1, next_at_ms = ? WHERE seq = ?'),
    isKnown: sqlite.prepare(
      'SELECT 1 FROM remembered WHERE queue = ? AND id = ? AND until_ms > ? UNION ALL SELECT 1 FROM events WHERE queue = ? AND id = ? LIMIT 1',
    ),
    remember: sqlite.prepare(
      'INSERT INTO remembered VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms',
    ),
    forget: sqlite.prepare('DELETE FROM remembered WHERE queue = ? AND id = ?'),
    forgetOld: sqlite.prepare('DELETE FROM remembered WHERE queue = ? AND until_ms <= ?'),
  }
}
