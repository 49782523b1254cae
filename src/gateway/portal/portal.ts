// `/ui/`: the portal, a page of hand-written files served as they are. What it shows and does it asks of `/system/` and
// `/function/` like any other client. Called by the gateway's router.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { authorize, notFound, redirect, sendEmpty } from '../http.ts'
import type { Credentials } from '../http.ts'
import { portalAsset } from './assets.ts'

const ROUTE = '/ui/'

/**
 * Nothing but the page's own files is loaded or run, nothing of them inline, and no text becomes markup. `blob:` is an image
 * that a function answered.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  // Asked again each time and mostly answered with 304: a new version of the gateway has its own page at once.
  'Cache-Control': 'no-cache',
  Vary: 'Accept-Encoding',
}

/** True for what `portal` answers. */
export function isPortalPath(path: string): boolean {
  return path === '/ui' || path.startsWith(ROUTE)
}

/** An unknown path is a 404 before it is a 401, as below `/system/`. */
export function portal(
  request: IncomingMessage,
  response: ServerResponse,
  { path, query }: { readonly path: string; readonly query: string },
  auth: Credentials | undefined,
): void {
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (!path.startsWith(ROUTE)) {
    if (!isRead) return sendEmpty(response, 405, { Allow: 'GET, HEAD' })
    return redirect(response, 301, ROUTE + query)
  }
  const asset = portalAsset(path.slice(ROUTE.length))
  if (asset === undefined) return notFound(response)
  if (!authorize(request, response, auth)) return
  if (!isRead) return sendEmpty(response, 405, { Allow: 'GET, HEAD' })
  const { etag, encoding, bytes } = asset.as(request.headers['accept-encoding'])
  if (matches(request.headers['if-none-match'], etag)) {
    response.writeHead(304, { ...HEADERS, ETag: etag }).end()
    return
  }
  response.writeHead(200, {
    ...HEADERS,
    ETag: etag,
    'Content-Type': asset.type,
    'Content-Length': bytes.byteLength,
    ...(encoding === undefined ? {} : { 'Content-Encoding': encoding }),
  })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

/** RFC 9110 §13.1.2: weak comparison. */
function matches(header: string | undefined, etag: string): boolean {
  return header?.split(',').some((one) => ['*', etag, `W/${etag}`].includes(one.trim())) ?? false
}
