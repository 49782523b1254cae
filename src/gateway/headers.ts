// Headers as flat name, value lists, the form in which they pass through the gateway: looking one up, names as Go writes them,
// credentials of a URL. Used by the routes and by every kind of runtime.

import { percentDecoded } from '../sdk/index.ts'

/** The first value, as Go's Header.Get. @param name in lower case */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    const found = headers[index] as string
    if (found.length === name.length && found.toLowerCase() === name) return headers[index + 1]
  }
  return undefined
}

/** @param names in lower case */
export function withoutHeaders(headers: readonly string[], names: ReadonlySet<string>): string[] {
  const left: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string
    if (!names.has(name.toLowerCase())) left.push(name, headers[index + 1] as string)
  }
  return left
}

/** As Go writes header names, and looks them up: `X-My-Header`. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (first) => first.toUpperCase())
}

/** The value of `Authorization` for a URL with a user or a password; undefined for one with neither. */
export function basicAuthorization(url: URL): string | undefined {
  const { username, password } = credentialsOf(url)
  if (username === '' && password === '') return undefined
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** Percent-decoded; as it is written where it cannot be, as a password with a `%` of its own. */
export function credentialsOf({ username, password }: Pick<URL, 'username' | 'password'>): {
  readonly username: string
  readonly password: string
} {
  return { username: percentDecoded(username) ?? username, password: percentDecoded(password) ?? password }
}
