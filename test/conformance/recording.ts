// What a source is given in the suite: a log that is recorded, state in a file, a clock that counts its timers.
// Used by the harness and, in the child process, by crash-child.ts.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'

import { Inboxes } from '../../src/hub/inboxes.ts'
import type { Clock, ClockTimer, LogFields, SourceContext, SourceLog, StateStore } from '../../src/sdk/index.ts'

/** Everything a source said, one JSON text per line. */
export class LogRecord implements SourceLog {
  readonly lines: string[] = []

  debug(event: string, text: string, fields?: LogFields): void {
    this.#add('debug', event, text, fields)
  }

  info(event: string, text: string, fields?: LogFields): void {
    this.#add('info', event, text, fields)
  }

  warn(event: string, text: string, fields?: LogFields): void {
    this.#add('warn', event, text, fields)
  }

  error(event: string, text: string, fields?: LogFields): void {
    this.#add('error', event, text, fields)
  }

  #add(level: string, event: string, text: string, fields: LogFields = {}): void {
    this.lines.push(JSON.stringify({ level, event, text, ...fields }))
  }
}

/** State in one JSON file, so that a child process that is killed leaves it to the next instance. */
class FileState implements StateStore {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  get(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#read()[key])
  }

  set(key: string, value: string): Promise<void> {
    writeFileSync(this.#path, JSON.stringify({ ...this.#read(), [key]: value }), { flush: true })
    return Promise.resolve()
  }

  keys(): Promise<readonly string[]> {
    return Promise.resolve(Object.keys(this.#read()))
  }

  delete(key: string): Promise<void> {
    const { [key]: _gone, ...rest } = this.#read()
    writeFileSync(this.#path, JSON.stringify(rest), { flush: true })
    return Promise.resolve()
  }

  #read(): Record<string, string> {
    return existsSync(this.#path) ? (JSON.parse(readFileSync(this.#path, 'utf8')) as Record<string, string>) : {}
  }
}

/** Passes through to another clock and knows which of its timers are still armed. */
export class CountingClock implements Clock {
  readonly #clock: Clock
  readonly #armed = new Set<object>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get armed(): number {
    return this.#armed.size
  }

  now(): number {
    return this.#clock.now()
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  after(delayMs: number, callback: () => void): ClockTimer {
    const token = {}
    this.#armed.add(token)
    const timer = this.#clock.after(delayMs, () => {
      this.#armed.delete(token)
      callback()
    })
    return {
      cancel: () => {
        this.#armed.delete(token)
        timer.cancel()
      },
    }
  }
}

const INBOX_BYTES_MAX = 64 * 1024 * 1024

/** A context whose metrics go nowhere: what they count is checked at the level of the hub. */
export function contextOf(
  parts: Omit<SourceContext, 'counter' | 'gauge' | 'inbox' | 'state'> & { readonly stateFile: string },
): SourceContext & Disposable {
  const { stateFile, instance, clock, unsettledMax } = parts
  const inboxes = new Inboxes({ path: `${stateFile}.inbox.db`, clock, bytesMax: INBOX_BYTES_MAX })
  return {
    ...parts,
    state: new FileState(stateFile),
    inbox: () => inboxes.of(instance, unsettledMax),
    counter: () => ({ add: () => undefined }),
    gauge: () => undefined,
    [Symbol.dispose]: () => inboxes[Symbol.dispose](),
  }
}
