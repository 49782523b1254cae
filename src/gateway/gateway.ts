// The bundled OpenFaaS-compatible gateway: functions run as local processes behind the same routes, headers and statuses.
// For development and tests. Reads no stack file; whoever starts it deploys.

import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { isDeepStrictEqual } from 'node:util'

import { HubError, errorText, systemClock } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import { authorize, forwardable, fullName, functionPath, sendEmpty, sendJson, sendText } from './http.ts'
import type { Credentials } from './http.ts'
import { GatewayMetrics } from './metrics.ts'
import { AsyncQueue } from './queue.ts'
import { startQueueWorker } from './queue-worker.ts'
import type { QueueWorker } from './queue-worker.ts'
import { NodeRuntime } from './runtime/node-runtime.ts'
import { ProcessRuntime } from './runtime/process-runtime.ts'
import { RuntimeFailure } from './runtime/runtime.ts'
import type { FunctionRuntime, FunctionSpec, GatewayLog, RuntimeAnswer } from './runtime/runtime.ts'

export type { FunctionSpec, GatewayLog } from './runtime/runtime.ts'

export interface GatewayOptions {
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
  /** Without: everything is open. */
  readonly auth?: Credentials
  /** Directory of the async queue. */
  readonly stateDir: string
  /** Namespace of functions that name none. */
  readonly namespace: string
  readonly upstreamTimeoutMs?: number
  readonly log: GatewayLog
  readonly clock?: Clock
}

export interface Gateway extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:8080`. */
  readonly address: string
  /** Adds or replaces; replacing by an equal one does nothing. A replaced function's running calls are not cut. */
  deploy(spec: FunctionSpec): Promise<void>
  /** False when there is no such function. */
  remove(name: string): Promise<boolean>
  functions(): readonly FunctionSpec[]
  /** Starts the function's process ahead of its first call. */
  warm(name: string): Promise<void>
  readonly queueLength: number
  /** Stops listening, lets running calls end shortly, ends every function. Queued calls stay. Idempotent. */
  close(): Promise<void>
}

interface Deployed {
  readonly spec: FunctionSpec
  readonly runtime: FunctionRuntime
  readonly createdAt: string
}

const ASYNC_BODY_BYTES_MAX = 1024 * 1024
const CALLS_QUEUED_MAX = 1_000_000
const QUEUE_IN_FLIGHT_MAX = 50
const CLOSE_MS = 5000

/** @throws HubError HUB_GATEWAY_LISTEN, HUB_STATE_UNUSABLE */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new LocalGateway(options)
  await gateway.listen()
  return gateway
}

class LocalGateway implements Gateway {
  readonly #options: GatewayOptions
  readonly #clock: Clock
  readonly #upstreamTimeoutMs: number
  readonly #functions = new Map<string, Deployed>()
  readonly #metrics = new GatewayMetrics(() => [...this.#functions.keys()].map((name) => [name, 1] as const))
  readonly #server: Server
  readonly #socketDirectory: string
  readonly #queue: AsyncQueue
  #worker: QueueWorker | undefined
  #address = ''
  #closed: Promise<void> | undefined

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#upstreamTimeoutMs = options.upstreamTimeoutMs ?? 60_000
    mkdirSync(options.stateDir, { recursive: true, mode: 0o700 })
    this.#queue = new AsyncQueue({
      path: join(options.stateDir, 'queue.db'),
      clock: this.#clock,
      callsMax: CALLS_QUEUED_MAX,
      responseBytesMax: ASYNC_BODY_BYTES_MAX,
      userAgent: `connector-hub-queue/${VERSION}`,
      log: (line) => options.log.request(line),
    })
    this.#socketDirectory = mkdtempSync(join(tmpdir(), 'chub-'))
    this.#server = createServer(
      { maxHeaderSize: 64 * 1024, requestTimeout: 0, headersTimeout: 20_000 },
      (request, response) => void this.#serve(request, response),
    )
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      response.writeContinue()
      void this.#serve(request, response)
    })
  }

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        this.#queue[Symbol.dispose]()
        reject(new HubError('HUB_GATEWAY_LISTEN', `${host}:${port}: ${errorText(error)}`, { cause: error }))
      })
      this.#server.listen(port, host, resolve)
    })
    const { address, family, port: bound } = this.#server.address() as AddressInfo
    this.#address = `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`
    this.#worker = startQueueWorker({
      queue: this.#queue,
      stateDir: this.#options.stateDir,
      gatewayUrl: this.#address,
      timeoutMs: this.#upstreamTimeoutMs + 1000,
      inFlightMax: QUEUE_IN_FLIGHT_MAX,
      clock: this.#clock,
      annotations: (name) => this.#find(name)?.spec.annotations ?? {},
      log: (line) => this.#options.log.request(line),
    })
  }

  get address(): string {
    return this.#address
  }

  get queueLength(): number {
    return this.#queue.length
  }

  async deploy(spec: FunctionSpec): Promise<void> {
    const name = `${spec.name}.${spec.namespace}`
    const before = this.#functions.get(name)
    if (before !== undefined && isDeepStrictEqual(before.spec, spec)) return
    const { runtime } = spec
    const { log } = this.#options
    const started =
      runtime.kind === 'node'
        ? new NodeRuntime(spec, runtime, this.#socketDirectory, log)
        : new ProcessRuntime(spec, runtime, log)
    this.#functions.set(name, { spec, runtime: started, createdAt: new Date(this.#clock.now()).toISOString() })
    await before?.runtime[Symbol.asyncDispose]()
  }

  async remove(name: string): Promise<boolean> {
    const full = fullName(name, this.#options.namespace)
    const deployed = this.#functions.get(full)
    this.#functions.delete(full)
    await deployed?.runtime[Symbol.asyncDispose]()
    return deployed !== undefined
  }

  functions(): readonly FunctionSpec[] {
    return [...this.#functions.values()].map(({ spec }) => spec)
  }

  async warm(name: string): Promise<void> {
    await this.#find(name)?.runtime.warm()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    // The worker first: its calls come in through the server.
    await this.#worker?.[Symbol.asyncDispose]()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const deadline = setTimeout(() => this.#server.closeAllConnections(), CLOSE_MS)
    await closed
    clearTimeout(deadline)
    await Promise.all([...this.#functions.values()].map(({ runtime }) => runtime[Symbol.asyncDispose]()))
    this.#queue[Symbol.dispose]()
    rmSync(this.#socketDirectory, { recursive: true, force: true })
  }

  #find(name: string): Deployed | undefined {
    return this.#functions.get(fullName(name, this.#options.namespace))
  }

  // ── routes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/'
    const mark = url.indexOf('?')
    const path = mark === -1 ? url : url.slice(0, mark)
    const query = mark === -1 ? '' : url.slice(mark)
    response.on('error', () => {})
    try {
      if (path.includes('//')) sendEmpty(response, 301, { Location: path.replaceAll(/\/+/g, '/') + query })
      else if (path.startsWith('/function/')) await this.#invoke(request, response, path, query)
      else if (path.startsWith('/async-function/')) await this.#enqueue(request, response, path, query)
      else if (path.startsWith('/system/')) this.#system(request, response, path, new URLSearchParams(query))
      else if (path === '/healthz') sendText(response, 200, 'OK')
      else if (path === '/metrics')
        response
          .writeHead(200, { 'Content-Type': this.#metrics.registry.contentType })
          .end(await this.#metrics.registry.metrics())
      else sendText(response, 404, '404 page not found\n')
    } catch (error) {
      this.#options.log.request(`${request.method} ${path}: ${errorText(error)}`)
      if (response.headersSent) response.destroy()
      else sendText(response, 500, `${errorText(error)}\n`)
    }
  }

  #system(request: IncomingMessage, response: ServerResponse, path: string, query: URLSearchParams): void {
    const known =
      path === '/system/functions' ||
      path === '/system/namespaces' ||
      path === '/system/info' ||
      path.startsWith('/system/function/')
    if (!known) return sendText(response, 404, '404 page not found\n')
    if (!authorize(request, response, this.#options.auth)) return
    if (request.method !== 'GET') return sendEmpty(response, 405)
    const namespace = query.get('namespace') ?? this.#options.namespace
    if (path === '/system/namespaces')
      return sendJson(response, 200, [
        ...new Set([this.#options.namespace, ...this.functions().map((spec) => spec.namespace)]),
      ])
    if (path === '/system/info') {
      const version = { sha: 'local', release: VERSION }
      return sendJson(response, 200, {
        arch: process.arch === 'x64' ? 'x86_64' : process.arch,
        provider: { provider: 'connector-hub', orchestration: 'process', version },
        version,
      })
    }
    if (path === '/system/functions')
      return sendJson(
        response,
        200,
        [...this.#functions.values()]
          .filter(({ spec }) => spec.namespace === namespace)
          .map((deployed) => this.#status(deployed, true)),
      )
    const name = path.slice('/system/function/'.length)
    const found = this.#functions.get(name.includes('.') ? name : `${name}.${namespace}`)
    if (found === undefined) return sendEmpty(response, 404)
    return sendJson(response, 200, this.#status(found, false))
  }

  #status({ spec, createdAt }: Deployed, counted: boolean): Record<string, unknown> {
    const { name, namespace, image, envProcess, envVars, labels, annotations } = spec
    const invocationCount = this.#metrics.invocations(`${name}.${namespace}`)
    return {
      name,
      namespace,
      image,
      ...(envProcess === '' ? {} : { envProcess }),
      ...(Object.keys(envVars).length === 0 ? {} : { envVars }),
      labels,
      annotations,
      ...(counted && invocationCount > 0 ? { invocationCount } : {}),
      replicas: 1,
      availableReplicas: 1,
      createdAt,
    }
  }

  // ── invocation ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Headers of the answer, and of the request as the function sees it. */
  #identify(request: IncomingMessage): {
    readonly callId: string
    readonly added: Record<string, string>
    readonly forwarded: string[]
  } {
    const given = request.headers['x-call-id']
    const callId = typeof given === 'string' && given !== '' ? given : randomUUID()
    const startTime = String(BigInt(this.#clock.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n))
    const forwarded = forwardable(request.rawHeaders)
    if (callId !== given) forwarded.push('X-Call-Id', callId)
    forwarded.push('X-Start-Time', startTime)
    if (request.headers['x-forwarded-host'] === undefined && request.headers.host !== undefined)
      forwarded.push('X-Forwarded-Host', request.headers.host)
    if (request.headers['x-forwarded-for'] === undefined)
      forwarded.push('X-Forwarded-For', `${request.socket.remoteAddress}:${request.socket.remotePort}`)
    if (request.headers['user-agent'] === undefined) forwarded.push('User-Agent', `connector-hub-gateway/${VERSION}`)
    const added = {
      'X-Start-Time': startTime,
      'X-Served-By': `connector-hub/${VERSION}`,
      ...(callId === given ? {} : { 'X-Call-Id': callId }),
    }
    return { callId, added, forwarded }
  }

  async #invoke(request: IncomingMessage, response: ServerResponse, path: string, query: string): Promise<void> {
    const { name, rest } = functionPath(path, '/function/')
    if (name === undefined) return sendText(response, 400, 'Provide function name in the request path\n')
    if (name === null) return sendText(response, 404, '404 page not found\n')
    const { added, forwarded } = this.#identify(request)
    const startedAt = performance.now()
    const label = fullName(name, this.#options.namespace)
    const deployed = this.#functions.get(label)
    const finish = (status: number): void => {
      const seconds = (performance.now() - startedAt) / 1000
      if (deployed !== undefined) this.#metrics.finished(label, status, seconds)
      this.#options.log.request(`Forwarded [${request.method}] to ${path} - [${status}] - ${seconds.toFixed(4)}s`)
    }
    const internal = { ...added, 'X-OpenFaaS-Internal': 'proxy' }
    if (deployed === undefined) {
      request.resume()
      sendText(response, 503, `No endpoints available for: ${name}.`, internal)
      return finish(503)
    }
    this.#metrics.started(label)
    const left = new AbortController()
    response.once('close', () => left.abort(new Error('the caller left')))
    let answer: RuntimeAnswer
    try {
      answer = await deployed.runtime.call({
        method: request.method ?? 'POST',
        path: `${rest === '' ? '/' : rest}${query}`,
        headers: forwarded,
        body: request,
        timeoutMs: this.#upstreamTimeoutMs,
        signal: left.signal,
      })
    } catch (error) {
      if (!(error instanceof RuntimeFailure)) throw error
      request.resume()
      if (left.signal.aborted) return finish(499)
      if (error.kind === 'timeout') sendEmpty(response, 502, added)
      else sendText(response, 500, `Can't reach service for: ${name}.`, internal)
      return finish(error.kind === 'timeout' ? 502 : 500)
    }
    await this.#reply(request, response, added, answer)
    finish(answer.status)
  }

  async #reply(
    request: IncomingMessage,
    response: ServerResponse,
    added: Readonly<Record<string, string>>,
    { status, headers, body }: RuntimeAnswer,
  ): Promise<void> {
    const answered = forwardable(headers)
    const names = new Set(answered.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()))
    for (const [name, value] of Object.entries(added)) if (!names.has(name.toLowerCase())) answered.push(name, value)
    if (!names.has('content-type')) answered.push('Content-Type', request.headers['content-type'] ?? 'text/plain')
    if (body instanceof Uint8Array) answered.push('Content-Length', String(body.byteLength))
    response.writeHead(status, answered)
    if (body instanceof Uint8Array) {
      response.end(body)
      return
    }
    // A function that dies in the middle of its answer: the caller sees a broken body, never a complete one.
    await pipeline(body, response).catch(() => response.destroy())
  }

  async #enqueue(request: IncomingMessage, response: ServerResponse, path: string, query: string): Promise<void> {
    const { name, rest } = functionPath(path, '/async-function/')
    if (name === undefined || name === null) return sendText(response, 404, '404 page not found\n')
    if (request.method !== 'POST') return sendEmpty(response, 405)
    const callback = request.headers['x-callback-url']
    const callbackUrl = Array.isArray(callback) ? callback[0] : callback
    if (callbackUrl !== undefined && !isCallbackUrl(callbackUrl))
      return sendText(response, 400, 'the X-Callback-Url header is not a URL\n')
    const body = await readAll(request, ASYNC_BODY_BYTES_MAX)
    if (body === undefined) return sendText(response, 413, `the body is larger than ${ASYNC_BODY_BYTES_MAX} bytes\n`)
    const { callId, added, forwarded } = this.#identify(request)
    try {
      await this.#queue.enqueue({
        callId,
        function: name,
        path: rest + query,
        contentType: request.headers['content-type'],
        headers: queuedHeaders(forwarded),
        body,
        callbackUrl,
      })
    } catch (error) {
      return sendText(response, 500, `Error queuing request: ${errorText(error)}\n`)
    }
    this.#options.log.request(`[${callId}] Queueing (${body.byteLength}) bytes for: ${name}.`)
    sendEmpty(response, 202, added)
  }
}

/** Relative ones pass, as in OpenFaaS; what no URL parser takes does not. */
function isCallbackUrl(text: string): boolean {
  return !/[\s\p{Cc}]/u.test(text) && (text.includes('://') ? URL.canParse(text) : URL.canParse(text, 'http://gateway'))
}

/** Undefined when there is more than that. */
async function readAll(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length <= bytesMax) chunks.push(chunk)
  }
  return length > bytesMax ? undefined : Buffer.concat(chunks)
}

/** What the later call sets by itself is left out; several values of a name are one list. */
function queuedHeaders(flat: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index] as string
    if (['host', 'content-length', 'content-type', 'user-agent', 'x-callback-url'].includes(name.toLowerCase()))
      continue
    const before = headers[name]
    headers[name] = before === undefined ? (flat[index + 1] as string) : `${before}, ${flat[index + 1]}`
  }
  return headers
}
