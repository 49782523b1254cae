// `/async-function/…`: accepts a call with 202 once it is durable, and cancels one by its id (OpenFaaS contract, asynchronous
// invocation). Whether the function exists is not asked unless the settings say so; the worker finds out.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { errorText, percentDecoded, readBody } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { fullName, functionPath, notFound, sendEmpty, sendText } from './http.ts'
import type { Functions } from './functions.ts'
import type { GatewayLog } from './gateway-log.ts'
import { headerOf } from './headers.ts'
import { identify } from './identity.ts'
import type { AsyncCalls } from './queue/async-calls.ts'
import { callHeaders } from './queue/call.ts'

export interface AsyncRouteOptions {
  readonly calls: Pick<AsyncCalls, 'enqueue' | 'cancel'>
  readonly functions: Pick<Functions, 'find'>
  /** Of functions that name none. */
  readonly namespace: string
  readonly bodyBytesMax: number
  /** A call of a function that is not deployed is a 404. */
  readonly checksFunctions: boolean
  readonly clock: Clock
  readonly log: GatewayLog
}

const ROUTE = '/async-function/'
/** A kibibyte less than a request may have: the later call has headers of its own. */
const HEAD_BYTES_MAX = 63 * 1024

export async function asyncFunction(
  request: IncomingMessage,
  response: ServerResponse,
  url: { readonly path: string; readonly query: string },
  options: AsyncRouteOptions,
): Promise<void> {
  if (request.method === 'DELETE') return await cancel(response, url.path, options)
  const { name, rest } = functionPath(url.path, ROUTE)
  if (name === undefined || name === null) return notFound(response)
  if (request.method !== 'POST') return sendEmpty(response, 405)
  // An empty one asks for none, as in OpenFaaS.
  const callbackUrl = headerOf(request.rawHeaders, 'x-callback-url') || undefined
  if (callbackUrl !== undefined && !isCallbackUrl(callbackUrl))
    return sendText(response, 400, 'the X-Callback-Url header is not a URL\n')
  const { checksFunctions, functions, namespace } = options
  if (checksFunctions && functions.find(name) === undefined)
    return sendText(response, 404, `error finding function ${fullName(name, namespace)}: it is not deployed\n`)
  await enqueue(request, response, { name, path: rest + url.query, callbackUrl }, options)
}

async function enqueue(
  request: IncomingMessage,
  response: ServerResponse,
  {
    name,
    path,
    callbackUrl,
  }: { readonly name: string; readonly path: string; readonly callbackUrl: string | undefined },
  { calls, bodyBytesMax, clock, log }: AsyncRouteOptions,
): Promise<void> {
  let body: Buffer | undefined
  try {
    body = await readBody(request, bodyBytesMax)
  } catch (error) {
    return sendText(response, 400, `Error reading the body: ${errorText(error)}\n`)
  }
  if (body === undefined) return sendText(response, 413, `the body is larger than ${bodyBytesMax} bytes\n`)
  const { callId, answered, forwarded } = identify(request, clock)
  if (headBytes(path, forwarded) > HEAD_BYTES_MAX) return sendEmpty(response, 431)
  const { host = '' } = request.headers
  try {
    const result = await calls.enqueue({
      callId,
      function: name,
      path,
      host,
      ...callHeaders(forwarded),
      body,
      callbackUrl,
    })
    if (result === 'too-large')
      return sendText(response, 413, 'the call is larger than a message of the queue may be\n')
  } catch (error) {
    return sendText(response, 500, `Error queuing request: ${errorText(error)}\n`)
  }
  log.request(`[${callId}] Queueing (${body.byteLength}) bytes for: ${name}.`)
  sendEmpty(response, 202, answered)
}

async function cancel(response: ServerResponse, path: string, { calls, log }: AsyncRouteOptions): Promise<void> {
  // An id is the caller's own and may hold anything; one that is not encoded rightly is none.
  const callId = percentDecoded(path.slice(ROUTE.length)) ?? ''
  if (callId === '') return notFound(response)
  if (!(await calls.cancel(callId))) return sendText(response, 404, `no call ${callId} is queued or running\n`)
  log.request(`[${callId}] Cancelled.`)
  sendEmpty(response, 202)
}

/** As they are sent: `name: value`, and the end of the line. */
function headBytes(path: string, headers: readonly string[]): number {
  return headers.reduce((sum, part) => sum + part.length + 2, path.length)
}

/** Relative ones pass, as in OpenFaaS; what no URL parser takes does not. */
function isCallbackUrl(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text) || /%(?![0-9A-Fa-f]{2})/.test(text) || text.startsWith(':')) return false
  return text.includes('://') ? URL.canParse(text) : URL.canParse(text, 'http://gateway')
}
