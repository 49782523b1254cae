// Who is calling and when, as both sides of a call are told: headers that are kept where the caller states them and made
// where not (OpenFaaS contract, headers added on the request). Asked by the sync and the async route.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import { headerOf, withoutHeaders } from './headers.ts'
import { forwardable } from './http.ts'

export interface Identity {
  readonly callId: string
  /** Of the answer, unless the function sets them itself. */
  readonly answered: Readonly<Record<string, string>>
  /** Of the request, as the function sees it: flat name, value list. */
  readonly forwarded: readonly string[]
}

const CALL_ID = new Set(['x-call-id'])
const SERVED_BY = `connector-hub/${VERSION}`
const USER_AGENT = `connector-hub-gateway/${VERSION}`

/** @param at now, in monotonic milliseconds; what the clock does not resolve is filled from it */
export function identify(request: IncomingMessage, clock: Clock, at = performance.now()): Identity {
  const { headers, socket } = request
  const given = headerOf(request.rawHeaders, 'x-call-id') ?? ''
  const isGiven = given !== ''
  const callId = isGiven ? given : randomUUID()
  const startTime = unixNanos(clock.now(), at)
  let forwarded = forwardable(request.rawHeaders)
  // Replaced, where it is there and empty.
  if (!isGiven && headers['x-call-id'] !== undefined) forwarded = withoutHeaders(forwarded, CALL_ID)
  if (!isGiven) forwarded.push('X-Call-Id', callId)
  forwarded.push('X-Start-Time', startTime)
  if (headers['x-forwarded-host'] === undefined && headers.host !== undefined)
    forwarded.push('X-Forwarded-Host', headers.host)
  if (headers['x-forwarded-for'] === undefined) {
    const { remoteAddress = '', remotePort = 0, remoteFamily } = socket
    forwarded.push('X-Forwarded-For', `${remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`)
  }
  if (headers['user-agent'] === undefined) forwarded.push('User-Agent', USER_AGENT)
  const answered: Record<string, string> = { 'X-Start-Time': startTime, 'X-Served-By': SERVED_BY }
  // The caller knows its own.
  if (!isGiven) answered['X-Call-Id'] = callId
  return { callId, answered, forwarded }
}

/** Decimal. @param nowMs since 1970 */
function unixNanos(nowMs: number, monotonicMs: number): string {
  const nanos = Math.trunc((monotonicMs * 1e6) % 1e6)
  return `${Math.trunc(nowMs)}${String(nanos).padStart(6, '0')}`
}
