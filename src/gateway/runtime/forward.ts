// A call handed on over HTTP, both bodies streamed: to a function's own process, or to one that runs elsewhere. Knows time
// limits and nothing about processes; never follows a redirect, never retries.

import { STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'

import type { Dispatcher } from 'undici'

import { Exchange } from './exchange.ts'
import { RuntimeFailure } from './runtime.ts'
import type { RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import { durationHeader, firstLimit, humanSize } from './watchdog.ts'
import type { Expiry, Limits } from './watchdog.ts'

export interface ForwardOptions {
  readonly dispatcher: Dispatcher
  /** With the query. */
  readonly path: string
  /** Flat name, value list. */
  readonly headers: readonly string[]
  /** Replaces the body of the request. */
  readonly body?: Uint8Array | undefined
  readonly limits: Limits
  /** A limit has passed, and the call has been ended. */
  readonly onExpiry?: (what: Expiry) => void
  /** What to answer, or throw, when there was no answer and no limit passed; a `LateBody` is the caller's fault. */
  readonly onBroken: (error: unknown) => Promise<RuntimeAnswer>
}

/** What the body of a request is destroyed with that is not there in time. */
export class LateBody extends Error {
  constructor() {
    super('the body did not arrive within its read_timeout')
  }
}

/** @throws RuntimeFailure */
export async function forward(request: RuntimeRequest, options: ForwardOptions): Promise<RuntimeAnswer> {
  const { dispatcher, path, headers, limits, onExpiry, onBroken } = options
  const startedAt = performance.now()
  const limit = firstLimit(limits, request)
  let isExpired = false
  const timer = setTimeout(() => {
    isExpired = true
    exchange.abort(new Error('no complete answer in time'))
    onExpiry?.(limit.what)
  }, limit.ms)
  const leave = (): void => exchange.abort(new Error('the caller left'))
  const stopReading = limitReading(request, limits.readMs)
  const over = (): void => {
    clearTimeout(timer)
    stopReading()
    request.signal.removeEventListener('abort', leave)
  }
  // The limits cover the body of the answer, too.
  const exchange = new Exchange(
    dispatcher,
    { method: request.method, path, headers, body: options.body ?? request.body, upgrade: request.upgrade },
    over,
  )
  request.signal.addEventListener('abort', leave, { once: true })
  if (request.signal.aborted) leave()
  try {
    return await exchange.answer
  } catch (error) {
    over()
    if (isExpired) return expired(limit.what, limit.ms, startedAt)
    if (request.signal.aborted) throw new RuntimeFailure('unreachable', 'the caller left')
    return onBroken(error)
  }
}

/** Ends a body that is not there in time; whoever reads it hears that. @returns lifts the limit */
export function limitReading({ body }: RuntimeRequest, readMs: number): () => void {
  if (!(body instanceof Readable) || readMs === 0) return () => {}
  const timer = setTimeout(() => body.destroy(new LateBody()), readMs)
  const stop = (): void => clearTimeout(timer)
  body.once('end', stop)
  body.once('close', stop)
  return stop
}

function expired(what: Expiry, ms: number, startedAt: number): RuntimeAnswer {
  if (what === 'exec') return watchdogError(504, startedAt)
  // As with a watchdog whose server has closed the connection.
  if (what === 'write') throw new RuntimeFailure('unreachable', `no answer within its write_timeout of ${ms} ms`)
  throw new RuntimeFailure('timeout', `no answer within the gateway's ${ms} ms`)
}

/** As of-watchdog answers in the place of a function. */
export function watchdogError(status: 500 | 504, startedAt: number): RuntimeAnswer {
  const headers = ['X-OpenFaaS-Internal', 'of-watchdog', ...durationHeader(startedAt)]
  return { status, headers, body: Buffer.alloc(0) }
}

/** The answer with the duration as of-watchdog measured it, and the line it writes about the call. */
export function stamped(
  answer: RuntimeAnswer,
  request: RuntimeRequest,
  startedAt: number,
): { readonly answer: RuntimeAnswer; readonly line: string } {
  const headers: string[] = []
  let length = -1
  for (let index = 0; index < answer.headers.length; index += 2) {
    const name = answer.headers[index] as string
    const value = answer.headers[index + 1] as string
    const isShort = name.length === 14 || name.length === 18
    const lowerCase = isShort ? name.toLowerCase() : ''
    if (lowerCase === 'x-duration-seconds') continue
    if (lowerCase === 'content-length') length = Number(value)
    headers.push(name, value)
  }
  const duration = durationHeader(startedAt)
  headers.push(...duration)
  const status = `${answer.status} ${STATUS_CODES[answer.status] ?? ''}`.trimEnd()
  const took = Number(duration[1]).toFixed(4)
  const line = `${request.method} ${request.path} - ${status} - ContentLength: ${humanSize(length)} (${took}s)`
  return { answer: { ...answer, headers }, line }
}
