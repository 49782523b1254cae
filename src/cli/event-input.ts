// An event as a person types it: topic, headers, key and body from the command line, a file or standard input.

import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import type { Readable } from 'node:stream'

import { HubError, errorText } from '../sdk/index.ts'

/** `name=value` pairs, in order; a value may contain `=`. @throws HubError HUB_USAGE */
export function headersOf(pairs: readonly string[] = []): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new HubError('HUB_USAGE', `--header ${pair}: not name=value`, { hint: 'Write --header name=value, once for each.' }) // prettier-ignore
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

/** The text itself, `@file` for the bytes of a file, `-` for those of standard input; nothing without it. @throws HubError HUB_USAGE */
export async function bodyOf(data: string | undefined, input: Readable = process.stdin): Promise<Buffer> {
  if (data === undefined) return Buffer.alloc(0)
  if (data === '-') return Buffer.from(await text(input))
  if (!data.startsWith('@')) return Buffer.from(data)
  try {
    return readFileSync(data.slice(1))
  } catch (error) {
    throw new HubError('HUB_USAGE', `--data ${data}: ${errorText(error)}`, { cause: error, hint: 'Name a readable file after the @.' }) // prettier-ignore
  }
}

/** An event as commands write it with `--json`. */
export interface EventFile {
  readonly connector: string | undefined
  readonly topic: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly orderingKey: string | undefined
  readonly contentType: string | undefined
  readonly body: Buffer
}

/** A JSON object with topic, and connector, headers, orderingKey, contentType, body (base64) as far as it has them. @throws HubError HUB_USAGE */
export async function readEvent(path: string, input: Readable = process.stdin): Promise<EventFile> {
  const fail = (what: string, cause?: unknown): HubError => new HubError('HUB_USAGE', `--from ${path}: ${what}`, { cause, hint: 'Give one event as dry-run --json or dead-letters show --json writes it: {"topic": "orders", "headers": {}, "body": "<base64>"}.' }) // prettier-ignore
  let document: unknown
  try {
    document = JSON.parse(path === '-' ? await text(input) : readFileSync(path, 'utf8'))
  } catch (error) {
    throw fail(errorText(error), error)
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw fail('it is no JSON object')
  const facts = document as Readonly<Record<string, unknown>>
  const textOf = (name: string): string | undefined => {
    const value = facts[name] ?? undefined
    if (value !== undefined && typeof value !== 'string') throw fail(`${name} is no text`)
    return value
  }
  const headers = facts['headers'] ?? {}
  if (typeof headers !== 'object' || Object.values(headers).some((value) => typeof value !== 'string')) throw fail('headers is no mapping of texts') // prettier-ignore
  return {
    connector: textOf('connector'),
    topic: textOf('topic'),
    headers: headers as Readonly<Record<string, string>>,
    orderingKey: textOf('orderingKey'),
    contentType: textOf('contentType'),
    body: Buffer.from(textOf('body') ?? '', 'base64'),
  }
}
