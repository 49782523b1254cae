// Structured logging on pino: JSON lines for machines, the same records as aligned lines for people. Only
// `events.ts` and the command line write through it.

import { styleText } from 'node:util'

import { pino } from 'pino'

import { formatDuration } from '../sdk/index.ts'
import type { LogFields } from '../sdk/index.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Logger {
  /** `event` is a stable dotted name, `text` the sentence a person reads. */
  log(level: LogLevel, event: string, text: string, fields?: LogFields): void
  /** False when a line of this level would be dropped: skip building its fields. */
  enabled(level: LogLevel): boolean
}

export interface LoggerOptions {
  readonly level: LogLevel
  /** `json`: one object a line. `console`: for people. OpenFaaS calls it `log_encoding`. */
  readonly format: 'json' | 'console'
  readonly color: boolean
  /** Names of fields that are never printed; built from the secret fields of the manifests. */
  readonly secretNames: readonly string[]
  readonly write: (line: string) => void
}

export function createLogger(options: LoggerOptions): Logger {
  const { write } = options
  const print =
    options.format === 'json'
      ? write
      : (line: string) => write(renderLine(JSON.parse(line) as LogRecord, options.color))
  const sink = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: options.secretNames.map((name) => `["${name}"]`), censor: '[redacted]' },
    },
    { write: print },
  )
  return {
    log: (level, event, text, fields) => sink[level]({ event, ...fields }, text),
    enabled: (level) => sink.isLevelEnabled(level),
  }
}

type LogRecord = Readonly<Record<string, unknown>> & {
  readonly level: LogLevel
  readonly time: string
  readonly event: string
  readonly msg: string
}

const LEVEL_STYLE = { debug: 'gray', info: 'cyan', warn: 'yellow', error: 'red' } as const

/** `01:43:07.123 warn  Retrying orders in 2s  topic=a/b attempt=2` */
function renderLine(record: LogRecord, color: boolean): string {
  const { level, time, event, msg, ...fields } = record
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    color ? styleText(style, text, { validateStream: false }) : text
  const rest = Object.entries(fields).map(
    ([name, value]) => `${name}=${name === 'durationMs' ? formatDuration(Number(value)) : scalar(value)}`,
  )
  const clock = time.slice(11, 23)
  return `${paint('gray', clock)} ${paint(LEVEL_STYLE[level], level.padEnd(5))} ${oneLine(msg)}  ${paint('gray', [event, ...rest].join(' '))}\n`
}

/** Topics and names come from outside: they neither drive the terminal nor begin lines of their own. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (control) => (control === '\t' ? control : '\uFFFD'))
}

/** Quoted where a space or a control character would make the line ambiguous. */
function scalar(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text)
}
