// How every command prints: tables for people, JSON for machines, errors with their fix on standard error.

import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

import { HubError, asHubError } from '../sdk/index.ts'

/** Exit codes of every command. */
export const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3, interrupted: 130 } as const

/** Where a command writes; a test hands in its own. */
export interface Output {
  /** Standard output. */
  write(text: string): void
  /** Standard error. */
  warn(text: string): void
  readonly color: boolean
  /** Colour of standard error. */
  readonly warnColor: boolean
  /** Standard error is a terminal, on which a line can be drawn again. */
  readonly isInteractive: boolean
  /** Resolves once standard output takes more; false: nobody reads it any more. Absent: it takes everything at once. */
  drained?(): Promise<boolean>
}

export const processOutput: Output = {
  write: (text) => void process.stdout.write(text),
  warn: (text) => void process.stderr.write(text),
  color: process.stdout.isTTY && process.stdout.hasColors() && process.env['NO_COLOR'] === undefined,
  warnColor: process.stderr.isTTY && process.stderr.hasColors() && process.env['NO_COLOR'] === undefined,
  isInteractive: process.stderr.isTTY,
  drained: () => drained(process.stdout),
}

async function drained(stream: Writable): Promise<boolean> {
  if (stream.destroyed || !stream.writable) return false
  if (!stream.writableNeedDrain) return true
  const taken = Promise.withResolvers<boolean>()
  const open = (): void => taken.resolve(true)
  const closed = (): void => taken.resolve(false)
  stream.once('drain', open).once('close', closed)
  try {
    return await taken.promise
  } finally {
    stream.off('drain', open).off('close', closed)
  }
}

export type Style = Parameters<typeof styleText>[0]

export function paint(color: boolean, style: Style, text: string): string {
  return color ? styleText(style, text, { validateStream: false }) : text
}

/** Of a terminal: what is drawn next takes the place of the line. */
export const CLEAR_LINE = '\r\u001B[K'

const ESCAPE = String.fromCharCode(27)

/**
 * One line or cell in which nothing drives the terminal: names, topics and what functions print come from outside. Our own
 * colours stay where there are any.
 */
export function printable(text: string, color = false): string {
  return text.replaceAll(/\p{Cc}/gu, (control, at: number) => {
    const isOurs = control === ESCAPE && color && /^\[\d+m/.test(text.slice(at + 1, at + 6))
    return control === '\t' || isOurs ? control : '\uFFFD'
  })
}

/** Left-aligned columns, two spaces between them; the header is bold on a terminal. */
export function table(header: readonly string[], cells: readonly (readonly string[])[], color: boolean): string {
  const rows = cells.map((row) => row.map((cell) => printable(cell)))
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] as number))).join('  ').trimEnd() // prettier-ignore
  return `${[paint(color, 'bold', line(header)), ...rows.map(line)].join('\n')}\n`
}

/** `CODE: what happened. How to fix it.` */
export function errorLine(error: unknown, color: boolean): string {
  const { code, message, hint } = asHubError(error)
  return `${paint(color, 'red', `${code}:`)} ${printable(`${sentence(message)} ${hint}`)}\n`
}

/** With a full stop, unless it ends in a mark of its own. */
export function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

/** `1 trigger`, `2 triggers`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** The exit code that fits an error. */
export function exitCode(error: unknown): number {
  if (!(error instanceof HubError) || error.code === 'HUB_EMIT_FAILED') return EXIT.problems
  const unreachable = [
    'HUB_DISCOVERY_FAILED',
    'HUB_DISCOVERY_UNAUTHORIZED',
    'HUB_KUBERNETES_UNREACHABLE',
    'HUB_KUBERNETES_UNAUTHORIZED',
    'HUB_KUBERNETES_FORBIDDEN',
    'HUB_KUBERNETES_FAILED',
    'HUB_GATEWAY_UNREACHABLE',
    'HUB_SOURCE_UNREACHABLE',
    'HUB_SOURCE_AUTH',
    'HUB_SOURCE_TLS',
  ]
  return unreachable.includes(error.code) ? EXIT.unreachable : EXIT.usage
}
