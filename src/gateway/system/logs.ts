// `/system/logs`: a function's lines as NDJSON, those that are there and, for who follows, those to come (OpenFaaS contract,
// logs). A reader that is too slow is told how many lines it missed.

import type { ServerResponse } from 'node:http'

import { fullNameOf } from '../function-spec.ts'
import { timestampOf } from '../log-book.ts'
import type { LogBook, LogLine } from '../log-book.ts'
import { fullNameAsked } from './call.ts'
import type { SystemCall } from './call.ts'
import { Refused } from './refused.ts'

interface LogQuery {
  readonly name: string
  readonly namespace: string
  readonly instance: string
  /** Undefined: all. */
  readonly tail: number | undefined
  readonly sinceMs: number | undefined
  readonly follow: boolean
}

/** Where neither `tail` nor `since` is given. */
const LOOK_BACK_MS = 5 * 60_000
/** Written at a time; a reader has at most so many on their way to it. */
const PAGE_LINES = 256
/** Who follows is sent a proper end before the connection is cut: so long before, or at half the time where that is later. */
const END_BEFORE_CUT_MS = 1000
/** As Go reads a boolean. */
const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** Resolves when the last line is sent, the reader is gone, or the time of an answer is over. */
export async function logs(call: SystemCall): Promise<void> {
  const { response, logBook, functions, clock, writeTimeoutMs } = call
  const query = readQuery(call)
  const fullName = fullNameOf(query)
  if (!logBook.has(fullName) && functions.find(fullName) === undefined)
    throw new Refused(500, 'function log request failed')
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
  response.flushHeaders()
  const writer = new LogWriter(response, logBook, query)
  const end = clock.after(Math.max(writeTimeoutMs - END_BEFORE_CUT_MS, writeTimeoutMs / 2), () => writer.end())
  await writer.run()
  end.cancel()
  response.end()
}

/** @throws Refused (422) */
function readQuery(call: SystemCall): LogQuery {
  const last = (name: string): string => call.query.getAll(name).at(-1) ?? ''
  const [tailText, sinceText] = [last('tail'), last('since')]
  const fullName = fullNameAsked(
    { ...call, query: new URLSearchParams({ namespace: last('namespace') }) },
    last('name'),
  )
  const dot = fullName.lastIndexOf('.')
  const tail = tailText === '' ? 0 : /^[+-]?\d{1,9}$/.test(tailText) ? Number(tailText) : undefined
  const sinceMs = sinceText === '' ? undefined : RFC3339.test(sinceText) ? Date.parse(sinceText) : NaN
  if (dot < 1 || tail === undefined || Number.isNaN(sinceMs)) throw new Refused(422, 'could not parse the log request')
  return {
    name: fullName.slice(0, dot),
    namespace: fullName.slice(dot + 1),
    instance: last('instance'),
    tail: tail > 0 ? tail : undefined,
    sinceMs: sinceMs ?? (tail === 0 ? call.clock.now() - LOOK_BACK_MS : undefined),
    follow: TRUE.has(last('follow')),
  }
}

class LogWriter {
  readonly #response: ServerResponse
  readonly #book: LogBook
  readonly #query: LogQuery
  readonly #fullName: string
  #isOver = false
  #wake: () => void = () => {}

  constructor(response: ServerResponse, book: LogBook, query: LogQuery) {
    this.#response = response
    this.#book = book
    this.#query = query
    this.#fullName = fullNameOf(query)
  }

  /** Lets `run` resolve with what it is about to send. */
  end(): void {
    this.#isOver = true
    this.#wake()
  }

  async run(): Promise<void> {
    const wake = (): void => this.#wake()
    const leave = (): void => this.end()
    // Before the first look, so that no line is between the two.
    const unfollow = this.#query.follow ? this.#book.follow(this.#fullName, wake) : undefined
    this.#response.once('close', leave).on('drain', wake)
    try {
      await this.#copy()
    } finally {
      unfollow?.()
      this.#response.off('close', leave).off('drain', wake)
    }
  }

  async #copy(): Promise<void> {
    const { sinceMs, tail, follow } = this.#query
    let position = this.#book.startOf(this.#fullName, sinceMs, tail, (line) => this.#isAsked(line))
    while (!this.#isOver && !this.#book.isClosed) {
      const { lines, next, missed } = this.#book.read(this.#fullName, position, PAGE_LINES)
      position = next
      if (lines.length === 0 && missed === 0) {
        if (!follow) return
        await this.#woken()
        continue
      }
      const shown = lines.filter((line) => this.#isAsked(line)).map((line) => this.#entry(line))
      if (missed > 0) shown.unshift(this.#left(missed, lines[0]))
      if (shown.length > 0) this.#response.write(shown.join(''))
      while (this.#response.writableNeedDrain && !this.#isOver) await this.#woken()
    }
  }

  #isAsked({ instance }: LogLine): boolean {
    return this.#query.instance === '' || this.#query.instance === instance
  }

  #entry(line: LogLine): string {
    const { name, namespace } = this.#query
    const { instance, text } = line
    return `${JSON.stringify({ name, namespace, instance, timestamp: timestampOf(line), text })}\n`
  }

  #left(count: number, before: LogLine | undefined): string {
    const { atMs = Date.now(), nanos = 0 } = before ?? {}
    const text = `${count} lines are left out: they were read too slowly`
    return this.#entry({ instance: this.#query.instance, text, atMs, nanos })
  }

  /** Resolves with the next new line, drained buffer or end. */
  #woken(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }
}
