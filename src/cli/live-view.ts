// What `dev` shows: what is wired, each delivery with its outcome and duration, what functions print. Lines only, so that
// it can be piped, scrolled and searched.

import type { LedgerCall, LedgerCounts, LedgerEntry } from '../delivery/ledger.ts'
import type { Wiring } from '../discovery/index.ts'
import { formatDuration } from '../sdk/index.ts'
import { counted, paint, printable, sentence } from './output.ts'
import type { Output, Style } from './output.ts'
import type { View } from './view.ts'

const END: Readonly<Record<LedgerEntry['end'], readonly [string, Style]>> = {
  acked: ['✓', 'green'],
  unmatched: ['·', 'gray'],
  filtered: ['·', 'gray'],
  deadLettered: ['✗', 'red'],
  returned: ['↺', 'yellow'],
}
/** Lines of deliveries a second that a person can follow; the rest is counted. */
const LINES_A_SECOND = 50

export class LiveView implements View {
  readonly #output: Output
  readonly #now: () => number
  #second = 0
  #lines = 0
  #leftOut = 0

  constructor(output: Output, now: () => number = Date.now) {
    this.#output = output
    this.#now = now
  }

  /** One line per address a person may want to use. */
  started(addresses: readonly (readonly [what: string, address: string])[]): void {
    const width = Math.max(...addresses.map(([what]) => what.length))
    this.#line(this.#paint('bold', 'connector-hub') + this.#paint('gray', '  Ctrl-C stops it'))
    for (const [what, address] of addresses) this.#line(`  ${what.padEnd(width)}  ${this.#paint('cyan', address)}`)
  }

  wired(wiring: Wiring): void {
    const rows = wiring.instances.flatMap(({ name, triggers }) =>
      triggers.map(({ pattern, function: to, settings }) => [
        name,
        pattern,
        to,
        settings.mode === 'async' ? ' (async)' : '',
      ]),
    )
    const width = (column: number): number => Math.max(0, ...rows.map((row) => (row[column] as string).length))
    this.#line('')
    this.#line(
      this.#paint('bold', `Wired ${counted(rows.length, 'trigger')} of ${counted(wiring.functions, 'function')}`),
    )
    for (const [name, pattern, to, mode] of rows as [string, string, string, string][])
      this.#line(`  ${name.padEnd(width(0))}  ${pattern.padEnd(width(1))}  → ${to}${mode}`)
    for (const { function: name, reason } of wiring.idle)
      this.#line(this.#paint('gray', `  ${name} is called by no event: ${reason}`))
    for (const { level, message, hint, position } of wiring.findings) {
      const at = position === undefined ? '' : `${position.file}:${position.line}:${position.column} `
      this.#line(`  ${this.#paint(level === 'error' ? 'red' : 'yellow', level)} ${at}${sentence(message)} ${hint}`)
    }
    this.#line('')
  }

  delivery(entry: LedgerEntry): void {
    if (!this.#mayPrint()) return
    const head = (end: LedgerEntry['end']): string =>
      `${this.#clock()} ${this.#paint(END[end][1], END[end][0])} ${entry.source} ${this.#paint('bold', entry.topic)}`
    if (entry.calls.length === 0) this.#line(`${head(entry.end)} ${this.#paint('gray', '→ no function')}`)
    for (const call of entry.calls)
      this.#line(`${head(call.result)} → ${call.function}  ${this.#paint(callStyle(call), callText(call))}`)
  }

  /** A line that a function printed. */
  functionOutput(name: string, text: string): void {
    this.#line(`${this.#clock()} ${this.#paint('gray', `│ ${name}: ${text}`)}`)
  }

  /** The books of every connector, at the end. */
  totals(rows: readonly (readonly [connector: string, counts: LedgerCounts])[]): void {
    this.#flushLeftOut()
    for (const [connector, { received, acked, unmatched, filtered, deadLettered, returned, inFlight }] of rows) {
      this.#line(
        `${connector}: received ${received} = acked ${acked} + unmatched ${unmatched} + filtered ${filtered} + dead letters ${deadLettered} + returned ${returned} + in flight ${inFlight}`,
      )
    }
  }

  #mayPrint(): boolean {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#flushLeftOut()
      this.#second = second
      this.#lines = 0
    }
    this.#lines += 1
    if (this.#lines <= LINES_A_SECOND) return true
    this.#leftOut += 1
    return false
  }

  #flushLeftOut(): void {
    if (this.#leftOut > 0) this.#line(this.#paint('gray', `… and ${this.#leftOut} more deliveries`))
    this.#leftOut = 0
  }

  #clock(): string {
    return this.#paint('gray', new Date(this.#now()).toISOString().slice(11, 19))
  }

  #paint(style: Style, text: string): string {
    return paint(this.#output.color, style, text)
  }

  #line(text: string): void {
    this.#output.write(`${printable(text, this.#output.color)}\n`)
  }
}

function callText({ result, invocations, status, reason, durationMs }: LedgerCall): string {
  if (result === 'filtered') return 'filtered out'
  if (result === 'deadLettered') return `dead letter: ${reason}`
  if (result === 'returned') return reason
  const tries = invocations > 1 ? `, ${invocations} attempts` : ''
  return `${status === 0 ? 'no answer' : status} in ${formatDuration(durationMs)}${tries}`
}

function callStyle({ result }: LedgerCall): Style {
  return result === 'acked' ? 'gray' : END[result][1]
}
