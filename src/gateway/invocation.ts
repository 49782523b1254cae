// `/function/…`: hands a call to its function and the answer back, both streamed (OpenFaaS contract, synchronous
// invocation). Decides nothing about retries.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import type { Duplex, Readable } from 'node:stream'

import { errorText } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import type { DeployedFunction, Functions } from './functions.ts'
import type { GatewayLog } from './gateway-log.ts'
import { headerOf } from './headers.ts'
import { forwardable, fullName, functionPath, notFound, sendEmpty, sendText } from './http.ts'
import { identify } from './identity.ts'
import type { Identity } from './identity.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { RequestTarget } from './request-target.ts'
import { RuntimeFailure } from './runtime/runtime.ts'
import type { RuntimeAnswer } from './runtime/runtime.ts'
import { TunnelResponse } from './tunnel.ts'
import { probe } from './watchdog-probe.ts'

export interface InvocationOptions {
  readonly functions: Functions
  readonly metrics: GatewayMetrics
  /** Of names that have none. */
  readonly namespace: string
  /** A whole call, its answer included. */
  readonly upstreamTimeoutMs: number
  /** A whole call whose caller asks for a stream. */
  readonly writeTimeoutMs: number
  /** What is not there is a 404, as where somebody looks it up to scale it. */
  readonly scaleFromZero: boolean
  /** A log line for each call with where it is sent. */
  readonly writeRequestUri: boolean
  readonly clock: Clock
  readonly log: GatewayLog
}

/** What OpenFaaS's providers route; anything else is a 405. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** Ours, for the log and the metrics: nobody is left to answer. */
const CALLER_LEFT = 499
const SWITCHED = 101
const LEFT = new Error('the caller left')
const LOGGED_PATH_CHARS_MAX = 300
/** Which part of the platform answers instead of the function. */
const BY_PROXY = { 'X-OpenFaaS-Internal': 'proxy' }
const BY_MIDDLEWARE = { 'Content-Type': 'text/plain', 'X-OpenFaaS-Internal': 'faas-middleware' }

export async function invoke(
  request: IncomingMessage,
  response: ServerResponse,
  target: RequestTarget,
  options: InvocationOptions,
): Promise<void> {
  const { functions, metrics, log } = options
  const { name, rest } = functionPath(target.path, '/function/')
  if (name === undefined) return sendText(response, 400, 'Provide function name in the request path\n')
  if (name === null) return notFound(response)
  const { method = '' } = request
  if (!METHODS.has(method)) return sendEmpty(response, 405)
  const startedAt = performance.now()
  const identity = identify(request, options.clock, startedAt)
  const deployed = functions.find(name)
  if (deployed !== undefined) metrics.started(deployed.fullName)
  const path = `${rest || '/'}${target.query}`
  const status = await answer(request, response, { method, name, path, identity, deployed }, options)
  const seconds = (performance.now() - startedAt) / 1000
  // Names that nobody deployed are no label: a caller could make up any number of them.
  if (deployed !== undefined) metrics.finished(deployed.fullName, status, seconds)
  log.access?.(`Forwarded [${method}] to ${target.path}${target.query} - [${status}] - ${seconds.toFixed(4)}s`)
}

interface Call {
  readonly method: string
  readonly name: string
  readonly path: string
  readonly identity: Identity
  readonly deployed: DeployedFunction | undefined
}

/** Resolves with the status once the answer has been sent. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  call: Call,
  options: InvocationOptions,
): Promise<number> {
  const { method, name, path, identity, deployed } = call
  const fail = (status: number, text: string, by: Readonly<Record<string, string>> = BY_PROXY): number => {
    // The body that it waits to be asked for would be taken for its next request.
    if (request.headers.expect !== undefined) response.shouldKeepAlive = false
    sendText(response, status, text, { ...identity.answered, ...by })
    return status
  }
  if (deployed === undefined) return unknown(name, fail, options)
  const probed = path.startsWith('/_/') ? probe(deployed, method, path) : undefined
  if (typeof probed === 'object') return reply(request, response, identity, probed)
  if (!deployed.tryEnter()) {
    const text = `Concurrent request limit exceeded. Max concurrent requests: ${deployed.inFlightMax}\n`
    return fail(429, text, BY_MIDDLEWARE)
  }
  if (options.writeRequestUri) options.log.access?.(`forwardRequest: ${deployed.fullName} ${path}`)
  const left = new AbortController()
  const leave = (): void => left.abort(LEFT)
  response.once('close', leave)
  let replica = deployed.acquire()
  try {
    replica ??= await deployed.acquireFromZero(left.signal)
    if (replica === undefined) {
      deployed.failed(failure(call, 'no replica could be started'), undefined)
      return fail(503, `No endpoints available for: ${name}.\n`)
    }
    const answered = await replica.runtime.call({
      method,
      path: probed ?? path,
      isProbe: probed !== undefined,
      headers: identity.forwarded,
      body: hasBody(request) ? await bodyOf(request, response) : undefined,
      upgrade: response instanceof TunnelResponse ? request.headers.upgrade : undefined,
      timeoutMs: wantsStream(request) ? options.writeTimeoutMs : options.upstreamTimeoutMs,
      signal: left.signal,
    })
    return await reply(request, response, identity, answered, (reason) =>
      deployed.failed(failure(call, `the answer broke off: ${reason}`), replica),
    )
  } catch (error) {
    if (left.signal.aborted && (error === LEFT || error instanceof RuntimeFailure)) return CALLER_LEFT
    deployed.failed(failure(call, errorText(error)), replica)
    if (!(error instanceof RuntimeFailure)) throw error
    if (error.kind === 'unready') return fail(503, `No endpoints available for: ${name}.\n`)
    if (error.kind === 'unreachable') return fail(500, `Can't reach service for: ${name}.\n`)
    sendEmpty(response, 502, identity.answered)
    return 502
  } finally {
    response.off('close', leave)
    replica?.release()
    deployed.leave()
  }
}

/** As the watchdogs write about a call. */
function failure({ method, path, identity }: Call, reason: string): string {
  return `${method} ${path.slice(0, LOGGED_PATH_CHARS_MAX)} - failed: ${reason} [${identity.callId}]`
}

function unknown(
  name: string,
  fail: (status: number, text: string, by?: Readonly<Record<string, string>>) => number,
  { namespace, scaleFromZero }: InvocationOptions,
): number {
  if (!scaleFromZero) return fail(503, `No endpoints available for: ${name}.\n`)
  return fail(404, `error finding function ${fullName(name, namespace)}: no such function\n`, {})
}

/** Resolves with the status once all of it is sent, or nobody is left to send it to. */
async function reply(
  request: IncomingMessage,
  response: ServerResponse,
  { answered }: Identity,
  { status, headers, body, socket }: RuntimeAnswer,
  onBroken: (reason: string) => void = () => {},
): Promise<number> {
  const sent = forwardable(headers)
  for (const name in answered)
    if (headerOf(headers, name.toLowerCase()) === undefined) sent.push(name, answered[name] as string)
  if (socket !== undefined) return joined(response, sent, socket, request.headers.upgrade)
  if (headerOf(headers, 'content-type') === undefined)
    sent.push('Content-Type', request.headers['content-type'] ?? 'text/plain')
  const isSized = headerOf(headers, 'content-length') !== undefined
  if (body instanceof Uint8Array) {
    // Of what has no body by its nature the length says nothing.
    if (!isSized && request.method !== 'HEAD' && status !== 204 && status !== 304)
      sent.push('Content-Length', String(body.byteLength))
    response.writeHead(status, sent).end(body)
    return status
  }
  response.writeHead(status, sent)
  // Of a stream the head goes ahead, however late its first event is.
  if (!isSized) response.flushHeaders()
  return (await send(body, response, onBroken)) ? status : CALLER_LEFT
}

/** Resolves when either side has had enough. */
async function joined(
  response: ServerResponse,
  headers: readonly string[],
  socket: Duplex,
  protocol = '',
): Promise<number> {
  if (response instanceof TunnelResponse && !response.destroyed) await response.join(headers, protocol, socket)
  else socket.destroy()
  return SWITCHED
}

/**
 * False when the caller left first. A function that dies in the middle: the caller sees a broken body, never a complete one.
 * @param onBroken told why, once
 */
function send(body: Readable, response: ServerResponse, onBroken: (reason: string) => void): Promise<boolean> {
  if (response.destroyed) {
    body.destroy()
    return Promise.resolve(false)
  }
  return new Promise((resolve) => {
    let isBroken = false
    // Also when it ends without an error before its end.
    const broken = (error?: Error): void => {
      if (isBroken || body.readableEnded || response.destroyed) return
      isBroken = true
      onBroken(error === undefined ? 'it ended too early' : errorText(error))
      response.destroy()
    }
    body.once('error', broken).once('close', broken)
    response.once('close', () => {
      body.destroy()
      resolve(response.writableFinished || isBroken)
    })
    body.pipe(response)
  })
}

/** Server-sent events and lines of JSON, by what the caller asks for: no total timeout is theirs. */
function wantsStream({ headers }: IncomingMessage): boolean {
  const { accept } = headers
  return accept !== undefined && (accept.startsWith('text/event-stream') || accept.startsWith('application/x-ndjson'))
}

const NOTHING = Buffer.alloc(0)

function turnOfLoop(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * The body as the function reads it: in one piece where it is there already, else as it comes. Not the request itself: a runtime that stops reading destroys what it was given, and
 * with the request the connection would go that the answer is still to be sent on.
 */
async function bodyOf(request: IncomingMessage, response: ServerResponse): Promise<Readable | Uint8Array> {
  if (request.headers.expect !== undefined) response.writeContinue()
  // By then the parser has handed over what came together with the head.
  else await turnOfLoop()
  if (request.complete) return (request.read() as Buffer | null) ?? NOTHING
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
