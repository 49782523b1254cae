// `/function/…`: hands a call to its function and the answer back, both streamed (OpenFaaS contract, synchronous
// invocation). Decides nothing about retries.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { errorText } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import type { DeployedFunction, Functions } from './functions.ts'
import type { GatewayLog } from './gateway-log.ts'
import { forwardable, functionPath, notFound, sendEmpty, sendText } from './http.ts'
import type { GatewayMetrics } from './metrics.ts'
import { RuntimeFailure } from './runtime/runtime.ts'
import type { RuntimeAnswer } from './runtime/runtime.ts'

export interface InvocationOptions {
  readonly functions: Functions
  readonly metrics: GatewayMetrics
  readonly upstreamTimeoutMs: number
  readonly clock: Clock
  readonly log: GatewayLog
}

/** Who is calling, as both sides are told. */
export interface Identity {
  readonly callId: string
  /** Of the answer, unless the function sets them itself. */
  readonly answered: Readonly<Record<string, string>>
  /** Of the request, as the function sees it: flat name, value list. */
  readonly forwarded: readonly string[]
}

/** What OpenFaaS's providers route; anything else is a 405. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** Ours, for the log and the metrics: nobody is left to answer. */
const CALLER_LEFT = 499

export async function invoke(
  request: IncomingMessage,
  response: ServerResponse,
  url: { readonly path: string; readonly query: string },
  options: InvocationOptions,
): Promise<void> {
  const { functions, metrics, log } = options
  const { name, rest } = functionPath(url.path, '/function/')
  if (name === undefined) return sendText(response, 400, 'Provide function name in the request path\n')
  if (name === null) return notFound(response)
  if (!METHODS.has(request.method ?? '')) return sendEmpty(response, 405)
  const identity = identify(request, options.clock)
  const startedAt = performance.now()
  const deployed = functions.find(name)
  if (deployed !== undefined) metrics.started(deployed.fullName)
  const status = await answer(
    request,
    response,
    { name, path: `${rest || '/'}${url.query}`, identity, deployed },
    options,
  )
  const seconds = (performance.now() - startedAt) / 1000
  // Names that nobody deployed are no label: a caller could make up any number of them.
  if (deployed !== undefined) metrics.finished(deployed.fullName, status, seconds)
  log.request(`Forwarded [${request.method}] to ${url.path}${url.query} - [${status}] - ${seconds.toFixed(4)}s`)
}

interface Call {
  readonly name: string
  readonly path: string
  readonly identity: Identity
  readonly deployed: DeployedFunction | undefined
}

/** Resolves with the status once the answer has been sent. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { name, path, identity, deployed }: Call,
  { upstreamTimeoutMs, log }: InvocationOptions,
): Promise<number> {
  const fail = (status: number, text: string, origin = 'proxy'): number => {
    sendText(response, status, text, { ...identity.answered, 'X-OpenFaaS-Internal': origin })
    return status
  }
  if (deployed === undefined) return fail(503, `No endpoints available for: ${name}.\n`)
  if (!deployed.tryEnter()) {
    const text = `Concurrent request limit exceeded. Max concurrent requests: ${deployed.inFlightMax}\n`
    return fail(429, text, 'faas-middleware')
  }
  const left = new AbortController()
  response.once('close', () => left.abort(new Error('the caller left')))
  try {
    const answered = await deployed.replicas.call({
      method: request.method ?? 'POST',
      path,
      headers: identity.forwarded,
      body: hasBody(request) ? bodyOf(request) : undefined,
      timeoutMs: upstreamTimeoutMs,
      signal: left.signal,
    })
    await reply(request, response, identity, answered)
    return answered.status
  } catch (error) {
    if (!(error instanceof RuntimeFailure)) throw error
    if (left.signal.aborted) return CALLER_LEFT
    log.lifecycle(deployed.spec.name, errorText(error))
    if (error.kind === 'unreachable') return fail(500, `Can't reach service for: ${name}.\n`)
    sendEmpty(response, 502, identity.answered)
    return 502
  } finally {
    deployed.leave()
  }
}

async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  identity: Identity,
  { status, headers, body }: RuntimeAnswer,
): Promise<void> {
  const sent = forwardable(headers)
  const names = new Set(sent.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()))
  for (const [name, value] of Object.entries(identity.answered))
    if (!names.has(name.toLowerCase())) sent.push(name, value)
  if (!names.has('content-type')) sent.push('Content-Type', request.headers['content-type'] ?? 'text/plain')
  if (body instanceof Uint8Array) {
    response.writeHead(status, [...sent, 'Content-Length', String(body.byteLength)]).end(body)
    return
  }
  response.writeHead(status, sent)
  // A function that dies in the middle of its answer: the caller sees a broken body, never a complete one.
  await pipeline(body, response).catch(() => response.destroy())
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * The body as the function reads it. Not the request itself: a runtime that stops reading destroys what it was given, and
 * with the request the connection would go that the answer is still to be sent on.
 */
function bodyOf(request: IncomingMessage): Readable {
  const body = new PassThrough()
  request.once('error', (error) => body.destroy(error))
  body.once('close', () => {
    request.unpipe(body)
    // A client that sends everything before it reads the answer must be able to.
    request.resume()
  })
  // Destroyed with an error when the caller leaves; whoever reads it hears that.
  body.on('error', () => {})
  return request.pipe(body)
}

/** The call's id, start time and origin: kept where the caller states them, made where not. */
export function identify(request: IncomingMessage, clock: Clock): Identity {
  const { headers, socket } = request
  const given = headers['x-call-id']
  const callId = typeof given === 'string' && given !== '' ? given : randomUUID()
  // Unix nanoseconds; what the clock does not resolve is filled from the monotonic one.
  const startTime = String(BigInt(Math.trunc(clock.now())) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n))
  const forwarded = forwardable(request.rawHeaders)
  if (callId !== given) forwarded.push('X-Call-Id', callId)
  forwarded.push('X-Start-Time', startTime)
  if (headers['x-forwarded-host'] === undefined && headers.host !== undefined)
    forwarded.push('X-Forwarded-Host', headers.host)
  if (headers['x-forwarded-for'] === undefined) {
    const { remoteAddress = '', remotePort = 0, remoteFamily } = socket
    forwarded.push('X-Forwarded-For', `${remoteFamily === 'IPv6' ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`)
  }
  if (headers['user-agent'] === undefined) forwarded.push('User-Agent', `connector-hub-gateway/${VERSION}`)
  const answered = {
    'X-Start-Time': startTime,
    'X-Served-By': `connector-hub/${VERSION}`,
    ...(callId === given ? {} : { 'X-Call-Id': callId }),
  }
  return { callId, answered, forwarded }
}
