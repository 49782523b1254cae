// `/async-function/…`: accepts a call with 202 once it is durable (OpenFaaS contract, enqueue). Whether the function exists
// is not asked; the worker finds out.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { errorText, readBody } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { functionPath, notFound, sendEmpty, sendText } from './http.ts'
import { identify } from './identity.ts'
import type { AsyncQueue } from './queue.ts'
import type { GatewayLog } from './gateway-log.ts'

export interface AsyncRouteOptions {
  readonly queue: AsyncQueue
  readonly bodyBytesMax: number
  readonly clock: Clock
  readonly log: GatewayLog
}

export async function enqueue(
  request: IncomingMessage,
  response: ServerResponse,
  url: { readonly path: string; readonly query: string },
  { queue, bodyBytesMax, clock, log }: AsyncRouteOptions,
): Promise<void> {
  const { name, rest } = functionPath(url.path, '/async-function/')
  if (name === undefined || name === null) return notFound(response)
  if (request.method !== 'POST') return sendEmpty(response, 405)
  const callback = request.headers['x-callback-url']
  const callbackUrl = Array.isArray(callback) ? callback[0] : callback
  if (callbackUrl !== undefined && !isCallbackUrl(callbackUrl))
    return sendText(response, 400, 'the X-Callback-Url header is not a URL\n')
  const body = await readBody(request, bodyBytesMax)
  if (body === undefined) return sendText(response, 413, `the body is larger than ${bodyBytesMax} bytes\n`)
  const { callId, answered, forwarded } = identify(request, clock)
  try {
    await queue.enqueue({
      callId,
      function: name,
      path: rest + url.query,
      contentType: request.headers['content-type'],
      headers: queuedHeaders(forwarded),
      body,
      callbackUrl,
    })
  } catch (error) {
    return sendText(response, 500, `Error queuing request: ${errorText(error)}\n`)
  }
  log.request(`[${callId}] Queueing (${body.byteLength}) bytes for: ${name}.`)
  sendEmpty(response, 202, answered)
}

/** Relative ones pass, as in OpenFaaS; what no URL parser takes does not. */
function isCallbackUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text) || /%(?![0-9A-Fa-f]{2})/.test(text) || text.startsWith(':')) return false
  return text.includes('://') ? URL.canParse(text) : URL.canParse(text, 'http://gateway')
}

/** Set by the later call itself. */
const REPLACED = new Set(['host', 'content-length', 'content-type', 'user-agent'])

/** Several values of a name are one list. */
function queuedHeaders(flat: readonly string[]): Record<string, string> {
  const headers = new Map<string, { readonly name: string; value: string }>()
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index] as string
    const value = flat[index + 1] as string
    const key = name.toLowerCase()
    if (REPLACED.has(key)) continue
    const before = headers.get(key)
    if (before === undefined) headers.set(key, { name, value })
    else before.value += `${key === 'cookie' ? '; ' : ', '}${value}`
  }
  return Object.fromEntries([...headers.values()].map(({ name, value }) => [name, value]))
}
