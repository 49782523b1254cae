// Headers of an event as one column of text, and back. Used by everything of the embedded store that keeps events.

import type { EventMessage } from '../sdk/index.ts'

type Headers = Pick<EventMessage, 'headers' | 'moreHeaders'>

/** A JSON object; a header with several values has a list of them. */
export function headersText({ headers, moreHeaders }: Headers): string {
  if (moreHeaders === undefined) return JSON.stringify(headers)
  // Not an object literal: `__proto__` is a legal header name.
  const values = new Map<string, string | string[]>(Object.entries(headers))
  for (let index = 0; index < moreHeaders.length; index += 2) {
    const [name, value] = moreHeaders.slice(index, index + 2) as [string, string]
    values.set(name, [...[values.get(name) ?? []].flat(), value])
  }
  return JSON.stringify(Object.fromEntries(values))
}

export function headersFrom(text: string): Headers {
  const parsed = JSON.parse(text) as Record<string, string | readonly string[]>
  const headers: [string, string][] = []
  const more: string[] = []
  for (const [name, values] of Object.entries(parsed)) {
    const [first = '', ...others] = typeof values === 'string' ? [values] : values
    headers.push([name, first])
    for (const value of others) more.push(name, value)
  }
  return { headers: Object.fromEntries(headers), ...(more.length === 0 ? {} : { moreHeaders: more }) }
}
