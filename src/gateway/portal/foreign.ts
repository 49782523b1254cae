// Keeps pages of other sites from changing anything: a browser sends a user's basic-auth credentials with their requests too,
// and where auth is off it needs none. Called by the gateway's router before any route of `/system/`.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { sendText } from '../http.ts'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])
/** `none`: the user's own doing, such as an address typed in. */
const OWN_SITE = new Set(['same-origin', 'none'])

/** True when it was refused with 403. Clients that are no browsers send none of these headers and are never refused. */
export function refuseForeign(request: IncomingMessage, response: ServerResponse): boolean {
  if (!isForeign(request)) return false
  sendText(response, 403, 'a page of another site may not do this\n')
  return true
}

/**
 * Whether a page of another origin asks for a change (W3C Fetch Metadata, RFC 6454 §7). Browsers leave `Sec-Fetch-Site` out on
 * plain HTTP to other machines; then `Origin` tells, held against the host that was asked for.
 */
export function isForeign({ method, headers }: Pick<IncomingMessage, 'method' | 'headers'>): boolean {
  if (SAFE.has(method ?? '')) return false
  const site = headers['sec-fetch-site']
  if (typeof site === 'string') return !OWN_SITE.has(site)
  const { origin } = headers
  if (origin === undefined) return false
  const forwarded = headers['x-forwarded-host']
  // A page cannot set the second without being asked about it first, and that question is answered with no.
  const hosts = [headers.host, ...(typeof forwarded === 'string' ? [forwarded] : [])]
  return !URL.canParse(origin) || !hosts.includes(new URL(origin).host)
}
