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

/**
 * The URL without user and password, for logs and errors. What is no URL with a host, and a URL with an `@` that does not
 * end its credentials (a password with `/` in it), loses everything before its last `@`.
 */
export function redactUrl(url: string): string {
  // `user:password@host` parses, too: as a URL of the scheme `user:` without a host.
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed !== undefined && parsed.host !== '') {
    const hasCredentials = parsed.username !== '' || parsed.password !== ''
    parsed.username = ''
    parsed.password = ''
    if (!parsed.href.includes('@')) return hasCredentials ? parsed.href : url
  }
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1')
}
