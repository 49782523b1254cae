// What `dev` shows: what is wired, each delivery with its outcome and duration, what functions print. Lines only, so that
// it can be piped, scrolled and searched.

import type { LedgerCounts, LedgerEntry } from '../delivery/ledger.ts'
import type { Wiring } from '../discovery/index.ts'
import { systemClock } from '../sdk/index.ts'
import type { Clock, Subscription } from '../sdk/index.ts'
import { DeliverySample } from './delivery-sample.ts'
import { clockText, deliveryLines } from './delivery-lines.ts'
import { counted, paint, printable, sentence } from './output.ts'
import type { Output, Style } from './output.ts'
import type { View } from './view.ts'

export class LiveView implements View {
  readonly #output: Output
  readonly #clock: Clock
  readonly #sample: DeliverySample

  constructor(output: Output, clock: Clock = systemClock) {
    this.#output = output
    this.#clock = clock
    this.#sample = new DeliverySample(
      (line, isCount) => output.write(`${isCount ? this.#paint('gray', line) : line}\n`),
      clock,
    )
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

  /** Publishing earlier is in vain where a broker keeps nothing for who is not there yet. */
  subscribed(connector: string, subscriptions: readonly Subscription[]): void {
    if (subscriptions.length === 0) return
    const what = subscriptions[0]?.kind === 'schedule' ? 'schedule' : 'topic'
    this.#line(`${this.#time()} ${connector} subscribed to ${counted(subscriptions.length, what)}`)
  }

  delivery(entry: LedgerEntry): void {
    this.#sample.add(deliveryLines(entry, this.#clock.now(), this.#output.color))
  }

  /** A line that a function printed. */
  functionOutput(name: string, text: string): void {
    this.#line(`${this.#time()} ${this.#paint('gray', `│ ${name}: ${text}`)}`)
  }

  /** Lines about calls. */
  requests(lines: readonly string[]): void {
    const at = this.#time()
    this.#output.write(lines.map((text) => `${at} ${printable(text)}\n`).join(''))
  }

  /** The books of every connector, at the end. */
  totals(rows: readonly (readonly [connector: string, counts: LedgerCounts])[]): void {
    this.#sample[Symbol.dispose]()
    for (const [connector, { received, acked, unmatched, filtered, deadLettered, returned, inFlight }] of rows) {
      this.#line(
        `${connector}: received ${received} = acked ${acked} + unmatched ${unmatched} + filtered ${filtered} + dead letters ${deadLettered} + returned ${returned} + in flight ${inFlight}`,
      )
    }
  }

  #time(): string {
    return clockText(this.#clock.now(), this.#output.color)
  }

  #paint(style: Style, text: string): string {
    return paint(this.#output.color, style, text)
  }

  #line(text: string): void {
    this.#output.write(`${printable(text, this.#output.color)}\n`)
  }
}
