// The async queue: calls that were accepted with 202, durable until their function has settled them. Yields deliveries, so
// that the dispatcher is the queue worker: the same retries, limits and dead letters as for broker events.

import { request } from 'undici'

import { Fifo } from '../delivery/fifo.ts'
import { HubError, errorText, formatSize, redactUrl } from '../sdk/index.ts'
import type {
  Clock,
  ClockTimer,
  Delivery,
  EventMessage,
  FunctionResult,
  SettleResult,
  Settlement,
} from '../sdk/index.ts'
import { openDatabase } from '../store/database.ts'
import type { Database } from '../store/database.ts'

const MIGRATIONS = [
  `CREATE TABLE calls (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    function TEXT NOT NULL,
    path TEXT NOT NULL,
    content_type TEXT,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    callback_url TEXT,
    attempt INTEGER NOT NULL,
    queued_at_ms INTEGER NOT NULL,
    next_at_ms INTEGER NOT NULL
  ) STRICT`,
]

export interface QueuedCall {
  readonly callId: string
  /** As typed, without the default namespace; the callback names it so. */
  readonly function: string
  /** Sub-path and query, or ''. */
  readonly path: string
  readonly contentType: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly callbackUrl: string | undefined
}

export interface QueueOptions {
  /** SQLite file; `:memory:` for a queue that need not survive. */
  readonly path: string
  readonly clock: Clock
  readonly callsMax: number
  /** Kept of each answer for the callback; a longer one is cut, and the log says so. */
  readonly responseBytesMax: number
  readonly userAgent: string
  readonly log: (line: string) => void
}

interface Row {
  readonly seq: number
  readonly call_id: string
  readonly function: string
  readonly path: string
  readonly content_type: string | null
  readonly headers: string
  readonly body: Uint8Array
  readonly callback_url: string | null
  readonly attempt: number
  readonly queued_at_ms: number
}

const CALLBACK_TIMEOUT_MS = 60_000

export class AsyncQueue implements Disposable {
  readonly #options: QueueOptions
  readonly #database: Database
  readonly #insert
  readonly #select
  readonly #delete
  readonly #postpone
  /** Rows whose time has come, by sequence number. */
  readonly #due = new Fifo<number>()
  readonly #timers = new Map<number, ClockTimer>()
  #count: number
  #wake: (() => void) | undefined

  /** What an earlier process left is due again. @throws HubError HUB_STATE_UNUSABLE */
  constructor(options: QueueOptions) {
    this.#options = options
    this.#database = openDatabase(options.path, MIGRATIONS)
    const { sqlite } = this.#database
    this.#insert = sqlite.prepare(
      'INSERT INTO calls (call_id, function, path, content_type, headers, body, callback_url, attempt, queued_at_ms, next_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)',
    )
    this.#select = sqlite.prepare(
      'SELECT seq, call_id, function, path, content_type, headers, body, callback_url, attempt, queued_at_ms FROM calls WHERE seq = ?',
    )
    this.#delete = sqlite.prepare('DELETE FROM calls WHERE seq = ?')
    this.#postpone = sqlite.prepare('UPDATE calls SET attempt = attempt + 1, next_at_ms = ? WHERE seq = ?')
    const left = sqlite.prepare('SELECT seq, next_at_ms FROM calls ORDER BY seq').all() as {
      seq: number
      next_at_ms: number
    }[]
    this.#count = left.length
    const nowMs = options.clock.now()
    for (const { seq, next_at_ms: nextAtMs } of left) this.#schedule(seq, nextAtMs - nowMs)
  }

  /** Calls accepted and not finished. */
  get length(): number {
    return this.#count
  }

  /** Resolves once the call is durable. @throws HubError HUB_STATE_UNUSABLE when the queue is full or cannot be written */
  async enqueue(call: QueuedCall): Promise<void> {
    if (this.#count >= this.#options.callsMax)
      throw new HubError('HUB_STATE_UNUSABLE', `the queue is full (${this.#options.callsMax} calls)`, {
        canRetry: true,
      })
    this.#count += 1
    const nowMs = Math.round(this.#options.clock.now())
    try {
      const { lastInsertRowid } = await this.#database.commit(() =>
        this.#insert.run(
          call.callId,
          call.function,
          call.path,
          call.contentType ?? null,
          JSON.stringify(call.headers),
          call.body,
          call.callbackUrl ?? null,
          nowMs,
          nowMs,
        ),
      )
      this.#schedule(Number(lastInsertRowid), 0)
    } catch (error) {
      this.#count -= 1
      throw error
    }
  }

  /** Every due call, oldest first, until `signal` is aborted. */
  async *deliveries(signal: AbortSignal): AsyncGenerator<Delivery, void> {
    const wakeUp = (): void => this.#wake?.()
    signal.addEventListener('abort', wakeUp, { once: true })
    try {
      while (!signal.aborted) {
        const seq = this.#due.shift()
        if (seq === undefined) {
          await new Promise<void>((resolve) => (this.#wake = resolve))
          this.#wake = undefined
          continue
        }
        const row = this.#select.get(seq) as Row | undefined
        if (row !== undefined) yield this.#delivery(row)
      }
    } finally {
      signal.removeEventListener('abort', wakeUp)
    }
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#database.close()
  }

  #schedule(seq: number, delayMs: number): void {
    if (delayMs <= 0) {
      this.#due.push(seq)
      this.#wake?.()
      return
    }
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(seq)
      this.#due.push(seq)
      this.#wake?.()
    })
    this.#timers.set(seq, timer)
  }

  #delivery(row: Row): Delivery {
    const message: EventMessage = {
      id: row.call_id,
      source: 'queue',
      topic: row.function,
      target: row.function,
      body: row.body,
      headers: JSON.parse(row.headers) as Record<string, string>,
      attempt: row.attempt,
      timestampMs: row.queued_at_ms,
      ...(row.path === '' ? {} : { path: row.path }),
      ...(row.content_type === null ? {} : { contentType: row.content_type }),
    }
    let settled: Promise<SettleResult> | undefined
    return {
      message,
      responseBytesMax: row.callback_url === null ? 1 : this.#options.responseBytesMax,
      settle: (settlement, results = []) => (settled ??= this.#settle(row, settlement, results)),
    }
  }

  async #settle(row: Row, settlement: Settlement, results: readonly FunctionResult[]): Promise<SettleResult> {
    if (settlement.kind === 'retry') {
      const nextAtMs = Math.round(this.#options.clock.now() + settlement.delayMs)
      await this.#database.commit(() => this.#postpone.run(nextAtMs, row.seq))
      this.#schedule(row.seq, settlement.delayMs)
      return 'settled'
    }
    const [result] = results
    // Before the call is forgotten: after a crash in between, the function runs again and the callback comes late, not never.
    if (row.callback_url !== null && result !== undefined) await this.#callBack(row.callback_url, row, result)
    await this.#database.commit(() => this.#delete.run(row.seq))
    this.#count -= 1
    return 'settled'
  }

  /** Once, not followed anywhere, and its failure is only logged: so it is in OpenFaaS. Never rejects. */
  async #callBack(url: string, row: Row, result: FunctionResult): Promise<void> {
    const shownUrl = redactUrl(url)
    const { responseBytesMax, userAgent, log } = this.#options
    if (result.body.byteLength >= responseBytesMax)
      log(`The answer of ${row.function} is cut at ${formatSize(responseBytesMax)} for its callback`)
    try {
      const { statusCode, body } = await request(url, {
        method: 'POST',
        headers: [...callbackHeaders(row, result), 'User-Agent', userAgent],
        body: result.body,
        signal: AbortSignal.timeout(CALLBACK_TIMEOUT_MS),
      })
      await body.dump()
      log(`Posted result for ${row.function} to callback-url: ${shownUrl}, status: ${statusCode}`)
    } catch (error) {
      log(`Error posting result for ${row.function} to callback-url: ${shownUrl}: ${errorText(error)}`)
    }
  }
}

/** Set by the callback itself, or a matter of the connection that the answer came over. */
const NOT_COPIED = new Set([
  'connection', 'content-length', 'keep-alive', 'trailer', 'transfer-encoding', 'upgrade', 'user-agent', 'x-call-id',
  'x-duration-seconds', 'x-function-name', 'x-function-status', 'x-retry', 'x-retry-max',
]) // prettier-ignore

/** The function's own headers and the call's (OpenFaaS contract, callback). */
function callbackHeaders(row: Row, result: FunctionResult): string[] {
  const headers = Object.entries({
    'X-Call-Id': row.call_id,
    'X-Duration-Seconds': (result.durationMs / 1000).toFixed(6),
    'X-Function-Name': row.function,
    'X-Function-Status': String(result.status),
    'X-Retry': String(result.retries),
    'X-Retry-Max': String(result.retriesMax),
  }).flat()
  for (let index = 0; index < result.headers.length; index += 2) {
    const [name, value] = result.headers.slice(index, index + 2) as [string, string]
    if (!NOT_COPIED.has(name.toLowerCase())) headers.push(name, value)
  }
  return headers
}
