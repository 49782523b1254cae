// Credentials of an HTTP request, and comparing them without telling by the time it takes how much was right.

import { createHash, timingSafeEqual } from 'node:crypto'

/** Hashed first, so that lengths do not show either. */
export function sameSecret(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

/** The token of `Authorization: Bearer <token>` (RFC 6750 §2.1); undefined when it is not one. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
}

/** Of `Authorization: Basic <base64>` (RFC 7617 §2): UTF-8, split at the first colon; undefined when it is not one. */
export function basicCredentials(
  authorization: string | undefined,
): { readonly username: string; readonly password: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const at = text.indexOf(':')
  return at === -1 ? undefined : { username: text.slice(0, at), password: text.slice(at + 1) }
}
