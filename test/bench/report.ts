// The benchmark's result as Markdown, and into the README.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { BenchResult } from './bench.ts'
import type { Calls } from './gateway-cost.ts'

const README = join(import.meta.dirname, '../../README.md')
const BEGIN = '<!-- bench:begin -->'
const END = '<!-- bench:end -->'

export function benchMarkdown({
  date,
  machine,
  bodyBytes,
  concurrency,
  rounds,
  throughput,
  gateway,
  memory,
  routing,
}: BenchResult): string {
  const parts: string[] = []
  if (throughput.length > 0) {
    const rows = throughput.map(({ title, events, hub, bare, ratio }) => [
      title,
      whole(events),
      whole(hub.eventsPerSecond),
      whole(bare.eventsPerSecond),
      ratio.toFixed(2),
      `${micros(hub.cpuMicrosPerEvent)} / ${micros(bare.cpuMicrosPerEvent)}`,
    ])
    parts.push(
      table(
        [
          'source',
          'events',
          'hub, events/s',
          'bare loop, events/s',
          'ratio',
          'processor time an event, hub / bare loop',
        ],
        rows,
      ),
      `Median of ${rounds} runs, events of ${bodyBytes} bytes, ${concurrency} invocations at a time, in turns.`,
    )
  }
  if (gateway !== undefined)
    parts.push(
      table(
        ['calls of a function', 'calls/s', 'p50', 'p99', 'ratio', 'added to a call', 'processor time of the gateway'],
        [
          ['direct', ...callCells(gateway.direct), '', '', ''],
          [
            'through the bundled gateway',
            ...callCells(gateway.gateway),
            gateway.ratio.toFixed(2),
            micros(gateway.addedMicrosPerCall),
            micros(gateway.cpuMicrosPerCall),
          ],
        ],
      ),
      `Median of ${rounds} rounds of ${whole(gateway.calls)} calls, POST with ${bodyBytes} bytes on kept connections, ${concurrency} at a time, in turns; the function is one that runs elsewhere and answers at once, the gateway writes no access log.`,
    )
  if (memory.length > 0)
    parts.push(
      table(
        ['functions', 'resident memory', 'live heap'],
        memory.map(({ functions, rss, heapUsed }) => [whole(functions), mebibytes(rss), mebibytes(heapUsed)]),
      ),
    )
  if (routing.length > 0)
    parts.push(
      table(
        ['functions', 'route an event, exact topics', 'with wildcards', 'wire all', 'wire again, unchanged'],
        routing.map(({ functions, exactNanos, wildcardNanos, buildMillis, rebuildMillis }) => [
          whole(functions),
          `${Math.round(exactNanos)} ns`,
          `${Math.round(wildcardNanos)} ns`,
          `${buildMillis.toFixed(1)} ms`,
          `${rebuildMillis.toFixed(1)} ms`,
        ]),
      ),
    )
  parts.push(`Measured on ${date}: ${machine}.`)
  return parts.join('\n\n')
}

/** @throws Error when the README has no place for it */
export function writeReadme(result: BenchResult): void {
  const text = readFileSync(README, 'utf8')
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`README.md has no ${BEGIN} … ${END}`)
  writeFileSync(README, `${text.slice(0, begin + BEGIN.length)}\n\n${benchMarkdown(result)}\n\n${text.slice(end)}`)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

function callCells({ callsPerSecond, p50Micros, p99Micros }: Calls): readonly string[] {
  return [whole(callsPerSecond), `${(p50Micros / 1000).toFixed(2)} ms`, `${(p99Micros / 1000).toFixed(2)} ms`]
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function micros(value: number | undefined): string {
  return value === undefined ? '?' : `${Math.round(value)} µs`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}
