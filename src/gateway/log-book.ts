// What functions printed lately, in memory and bounded: by function, and all together. Followers read by position, so that a
// slow one holds nothing but its place. Fed by the gateway, read by the logs route.

import type { Clock, ClockTimer } from '../sdk/index.ts'

export interface LogLine {
  readonly instance: string
  readonly text: string
  /** Unix time; with `nanos` never equal for two lines of a function, and growing. */
  readonly atMs: number
  /** Within the millisecond. */
  readonly nanos: number
}

export interface LogBookOptions {
  readonly clock: Clock
  /** Of one function; default 10,000. */
  readonly linesMax?: number
  /** Of one function; default 4 MiB. */
  readonly bytesMax?: number
  /** Of all functions; default 64 MiB. */
  readonly totalBytesMax?: number
}

/** How long the lines of a removed function can still be read. */
export const REMOVED_KEPT_MS = 10 * 60_000
const LINE_CHARS_MAX = 16_384
/** What a line takes beside its text. */
const LINE_BYTES = 100
/** So many gone lines stand before the others before they are moved. */
const SLACK = 4096

/** The lines of one function. */
class Book {
  readonly #lines: LogLine[] = []
  #gone = 0
  /** Position of the first line that is there. */
  first = 0
  bytes = 0
  readonly wakers = new Set<() => void>()
  expiry: ClockTimer | undefined
  /** Its function is gone, and its lines too; only who follows keeps it. */
  isForgotten = false

  get length(): number {
    return this.#lines.length - this.#gone
  }

  get end(): number {
    return this.first + this.length
  }

  get last(): LogLine | undefined {
    return this.length === 0 ? undefined : this.#lines.at(-1)
  }

  at(position: number): LogLine {
    return this.#lines[this.#gone + position - this.first] as LogLine
  }

  push(line: LogLine): void {
    this.#lines.push(line)
    this.bytes += bytesOf(line)
  }

  dropOldest(): void {
    this.bytes -= bytesOf(this.at(this.first))
    this.#gone += 1
    this.first += 1
    if (this.#gone < SLACK && this.length > 0) return
    this.#lines.splice(0, this.#gone)
    this.#gone = 0
  }
}

export interface LogPage {
  readonly lines: readonly LogLine[]
  /** Where the next page begins. */
  readonly next: number
  /** Lines between the asked position and the first that is still there. */
  readonly missed: number
}

export class LogBook implements Disposable {
  readonly #clock: Clock
  readonly #linesMax: number
  readonly #bytesMax: number
  readonly #totalBytesMax: number
  readonly #books = new Map<string, Book>()
  #totalBytes = 0
  #closed = false

  constructor({ clock, linesMax = 10_000, bytesMax = 4 * 1024 ** 2, totalBytesMax = 64 * 1024 ** 2 }: LogBookOptions) {
    this.#clock = clock
    this.#linesMax = linesMax
    this.#bytesMax = bytesMax
    this.#totalBytesMax = totalBytesMax
  }

  /** Whether anything can be read of it. */
  has(fullName: string): boolean {
    return this.#books.has(fullName)
  }

  append(fullName: string, instance: string, text: string): void {
    if (this.#closed) return
    const book = this.#bookOf(fullName)
    const before = book.bytes
    book.push({ instance, text: text.slice(0, LINE_CHARS_MAX), ...this.#timeAfter(book.last) })
    while (book.length > this.#linesMax || (book.bytes > this.#bytesMax && book.length > 1)) book.dropOldest()
    this.#totalBytes += book.bytes - before
    if (this.#totalBytes > this.#totalBytesMax) this.#shrinkLargest()
    for (const wake of book.wakers) wake()
  }

  /** At most `linesMax` lines from a position on. */
  read(fullName: string, from: number, linesMax: number): LogPage {
    const book = this.#books.get(fullName)
    if (book === undefined) return { lines: [], next: from, missed: 0 }
    const start = Math.min(Math.max(from, book.first), book.end)
    const lines: LogLine[] = []
    for (let position = start; position < book.end && lines.length < linesMax; position++) lines.push(book.at(position))
    return { lines, next: start + lines.length, missed: Math.max(0, start - from) }
  }

  /**
   * The position to read from.
   * @param sinceMs of the first line wanted; undefined: all
   * @param tail of the lines that `matches`, at most so many; undefined: all
   */
  startOf(
    fullName: string,
    sinceMs: number | undefined,
    tail: number | undefined,
    matches: (line: LogLine) => boolean,
  ): number {
    const book = this.#books.get(fullName)
    if (book === undefined) return 0
    let position = book.end
    for (let found = 0; position > book.first; position--) {
      const line = book.at(position - 1)
      if ((sinceMs !== undefined && line.atMs < sinceMs) || found === tail) break
      if (matches(line)) found += 1
    }
    return position
  }

  /** Calls `wake` after each new line, and when the book is closed, until the result is called. */
  follow(fullName: string, wake: () => void): () => void {
    const book = this.#bookOf(fullName)
    book.wakers.add(wake)
    return () => {
      book.wakers.delete(wake)
      if (book.isForgotten && book.wakers.size === 0) this.#books.delete(fullName)
    }
  }

  /** No more lines come; followers end. */
  get isClosed(): boolean {
    return this.#closed
  }

  /** The function is gone: its lines go after a while, unless it comes back. */
  expire(fullName: string): void {
    const book = this.#books.get(fullName)
    if (book === undefined || book.expiry !== undefined) return
    book.expiry = this.#clock.after(REMOVED_KEPT_MS, () => this.#forget(fullName, book))
  }

  /** The function is there again. */
  keep(fullName: string): void {
    const book = this.#books.get(fullName)
    if (book === undefined) return
    book.expiry?.cancel()
    book.expiry = undefined
    book.isForgotten = false
  }

  [Symbol.dispose](): void {
    this.#closed = true
    for (const book of this.#books.values()) {
      book.expiry?.cancel()
      for (const wake of book.wakers) wake()
    }
    this.#books.clear()
  }

  #bookOf(fullName: string): Book {
    let book = this.#books.get(fullName)
    if (book === undefined) this.#books.set(fullName, (book = new Book()))
    return book
  }

  #forget(fullName: string, book: Book): void {
    this.#totalBytes -= book.bytes
    while (book.length > 0) book.dropOldest()
    book.expiry = undefined
    book.isForgotten = true
    if (book.wakers.size === 0) this.#books.delete(fullName)
  }

  /** The one that prints most pays, a quarter of its lines at a time. */
  #shrinkLargest(): void {
    const largest = this.#books.values().reduce((most, book) => (book.bytes > most.bytes ? book : most))
    const before = largest.bytes
    for (let left = Math.ceil(largest.length / 4); left > 0; left--) largest.dropOldest()
    this.#totalBytes += largest.bytes - before
  }

  /** Unix nanoseconds; what the clock does not resolve is filled from the monotonic one. */
  #timeAfter(last: LogLine | undefined): { readonly atMs: number; readonly nanos: number } {
    const atMs = Math.trunc(this.#clock.now())
    const nanos = Number(process.hrtime.bigint() % 1_000_000n)
    if (last === undefined || atMs > last.atMs || (atMs === last.atMs && nanos > last.nanos)) return { atMs, nanos }
    return last.nanos === 999_999 ? { atMs: last.atMs + 1, nanos: 0 } : { atMs: last.atMs, nanos: last.nanos + 1 }
  }
}

/** RFC 3339 with nanoseconds. */
export function timestampOf({ atMs, nanos }: Pick<LogLine, 'atMs' | 'nanos'>): string {
  return `${new Date(atMs).toISOString().slice(0, -1)}${String(nanos).padStart(6, '0')}Z`
}

function bytesOf({ text, instance }: LogLine): number {
  return LINE_BYTES + 2 * (text.length + instance.length)
}
