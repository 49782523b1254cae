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
