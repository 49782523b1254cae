// A secret that cannot be printed by accident.

import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/** Holds a secret value; every way of printing it says `[redacted]`. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself, for the one call that needs it. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

/** The URL without user and password, for logs and errors. Text that is not a URL comes back without anything before an `@`. */
export function redactUrl(url: string): string {
  try {
    const parsed = new URL(url)
    if (parsed.username === '' && parsed.password === '') return url
    parsed.username = ''
    parsed.password = ''
    return parsed.toString()
  } catch {
    return url.replace(/[^\s/]*@/, '')
  }
}
