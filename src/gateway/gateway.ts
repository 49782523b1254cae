// The bundled OpenFaaS-compatible gateway: functions run as local processes behind the same routes, headers and statuses.
// For development and tests. Reads no stack file; whoever starts it deploys.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { HubError, errorText, listenAt, systemClock } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import { enqueue } from './async-route.ts'
import type { FunctionSpec } from './function-spec.ts'
import { Functions } from './functions.ts'
import type { GatewayLog } from './gateway-log.ts'
import { notFound, sendEmpty, sendText } from './http.ts'
import type { Credentials } from './http.ts'
import { invoke } from './invocation.ts'
import { GatewayMetrics } from './metrics.ts'
import { AsyncQueue } from './queue.ts'
import { startQueueWorker } from './queue-worker.ts'
import type { QueueWorker } from './queue-worker.ts'
import { Reaper } from './runtime/reaper.ts'
import { startReloading } from './runtime/reloading-runtime.ts'
import type { FunctionRuntime } from './runtime/runtime.ts'
import { startRuntime } from './runtime/start.ts'
import { system } from './system-routes.ts'

export type { FunctionSpec } from './function-spec.ts'
export type { GatewayLog } from './gateway-log.ts'

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
  /** A whole call: default 60 s. */
  readonly upstreamTimeoutMs?: number
  /** For a client to send its request line and headers: default 20 s. */
  readonly headersTimeoutMs?: number
  /** A function's changed code is loaded and takes over, without a deployment; running calls are not cut. Default: no. */
  readonly hotReload?: boolean
  readonly log: GatewayLog
  readonly clock?: Clock
}

export interface Gateway extends AsyncDisposable {
  /** e.g. `http://127.0.0.1:8080`. */
  readonly address: string
  /** Adds or replaces; replacing by an equal one does nothing. A replaced function's running calls are not cut. */
  deploy(spec: FunctionSpec): Promise<void>
  /** `name` with or without its namespace. Running calls are not cut. False when there is no such function. */
  remove(name: string): Promise<boolean>
  functions(): readonly FunctionSpec[]
  /** Starts the function's process ahead of its first call. */
  warm(name: string): Promise<void>
  /** Async calls accepted and not finished. */
  readonly queueLength: number
  /** Stops listening, lets running calls end shortly, ends every function. Queued calls stay. Idempotent. */
  close(): Promise<void>
}

const UPSTREAM_TIMEOUT_MS = 60_000
const ASYNC_BODY_BYTES_MAX = 1024 * 1024
/** Answers wait in memory for their callback, as many as calls run at once. */
const CALLBACK_BYTES_MAX = 8 * 1024 * 1024
const CALLS_QUEUED_MAX = 1_000_000
const CALLS_QUEUED_BYTES_MAX = 16 * 1024 ** 3
const QUEUE_IN_FLIGHT_MAX = 50
const HEADER_BYTES_MAX = 64 * 1024
const HEADERS_TIMEOUT_MS = 20_000
const CLOSE_MS = 5000

/** @throws HubError HUB_GATEWAY_LISTEN, HUB_STATE_UNUSABLE */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new LocalGateway(options)
  try {
    await gateway.listen()
  } catch (error) {
    await gateway.close()
    throw error
  }
  return gateway
}

class LocalGateway implements Gateway {
  readonly #options: GatewayOptions
  readonly #clock: Clock
  readonly #upstreamTimeoutMs: number
  readonly #functions: Functions
  readonly #metrics: GatewayMetrics
  readonly #reaper: Reaper
  readonly #server: Server
  readonly #socketDirectory: string
  readonly #queue: AsyncQueue
  #worker: QueueWorker | undefined
  #address = ''
  #closed: Promise<void> | undefined

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#upstreamTimeoutMs = options.upstreamTimeoutMs ?? UPSTREAM_TIMEOUT_MS
    this.#queue = this.#openQueue()
    this.#socketDirectory = mkdtempSync(join(tmpdir(), 'chub-'))
    this.#reaper = new Reaper(this.#socketDirectory)
    this.#functions = new Functions({
      namespace: options.namespace,
      clock: this.#clock,
      start: (spec) => this.#start(spec),
    })
    this.#metrics = new GatewayMetrics(() =>
      Array.from(this.#functions.all, ({ fullName, replicas }) => [fullName, replicas.replicas] as const),
    )
    this.#server = this.#createServer()
  }

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port, stateDir, log } = this.#options
    const bound = await listenAt(this.#server, host, port).catch((error: unknown) => {
      throw new HubError('HUB_GATEWAY_LISTEN', `${host}:${port}: ${errorText(error)}`, { cause: error })
    })
    this.#address = `http://${bound}`
    this.#worker = startQueueWorker({
      queue: this.#queue,
      stateDir,
      gatewayUrl: this.#address,
      // The gateway's own timeout comes first, so that the answer is its 502.
      timeoutMs: this.#upstreamTimeoutMs + 1000,
      inFlightMax: QUEUE_IN_FLIGHT_MAX,
      clock: this.#clock,
      find: (name) => this.#functions.find(name),
      log: (line) => log.request(line),
    })
  }

  get address(): string {
    return this.#address
  }

  get queueLength(): number {
    return this.#queue.length
  }

  async deploy(spec: FunctionSpec): Promise<void> {
    this.#functions.deploy(spec)
  }

  async remove(name: string): Promise<boolean> {
    return this.#functions.remove(name)
  }

  functions(): readonly FunctionSpec[] {
    return Array.from(this.#functions.all, ({ spec }) => spec)
  }

  async warm(name: string): Promise<void> {
    await this.#functions.find(name)?.replicas.warm()
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
    await this.#functions[Symbol.asyncDispose]()
    this.#reaper[Symbol.dispose]()
    this.#queue[Symbol.dispose]()
    rmSync(this.#socketDirectory, { recursive: true, force: true })
  }

  #openQueue(): AsyncQueue {
    const { stateDir, log } = this.#options
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new HubError('HUB_STATE_UNUSABLE', `${stateDir}: ${errorText(error)}`, { cause: error })
    }
    return new AsyncQueue({
      path: join(stateDir, 'calls.db'),
      clock: this.#clock,
      callsMax: CALLS_QUEUED_MAX,
      bytesMax: CALLS_QUEUED_BYTES_MAX,
      responseBytesMax: CALLBACK_BYTES_MAX,
      userAgent: `connector-hub-queue/${VERSION}`,
      log: (line) => log.request(line),
    })
  }

  #start(spec: FunctionSpec): FunctionRuntime {
    const { log, hotReload } = this.#options
    const start = hotReload === true ? startReloading : startRuntime
    return start({
      spec,
      clock: this.#clock,
      socketDirectory: this.#socketDirectory,
      reaper: this.#reaper,
      log: {
        output: (line) => log.functionOutput(spec.name, line),
        lifecycle: (line) => log.lifecycle(spec.name, line),
        watchdog: (line) => log.request(line),
      },
    })
  }

  #createServer(): Server {
    const { headersTimeoutMs = HEADERS_TIMEOUT_MS } = this.#options
    const server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: headersTimeoutMs,
        // A whole request takes no longer than the whole call may.
        requestTimeout: headersTimeoutMs + this.#upstreamTimeoutMs,
        connectionsCheckingInterval: Math.min(5000, headersTimeoutMs),
      },
      (request, response) => void this.#serve(request, response),
    )
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      response.writeContinue()
      void this.#serve(request, response)
    })
    return server
  }

  /** Never rejects. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/'
    const mark = url.indexOf('?')
    const path = mark === -1 ? url : url.slice(0, mark)
    // A caller that goes away is seen where its body is read or its answer written.
    response.on('error', () => {})
    try {
      await this.#route(request, response, { path, query: mark === -1 ? '' : url.slice(mark) })
    } catch (error) {
      this.#options.log.request(`${request.method} ${path}: ${errorText(error)}`)
      if (response.headersSent) response.destroy()
      else sendText(response, 500, `${errorText(error)}\n`)
    }
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    url: { readonly path: string; readonly query: string },
  ): Promise<void> {
    const { path, query } = url
    const shared = { functions: this.#functions, metrics: this.#metrics, clock: this.#clock, log: this.#options.log }
    if (path.includes('//')) return sendEmpty(response, 301, { Location: path.replaceAll(/\/+/g, '/') + query })
    if (path.startsWith('/function/'))
      return invoke(request, response, url, { ...shared, upstreamTimeoutMs: this.#upstreamTimeoutMs })
    if (path.startsWith('/async-function/'))
      return enqueue(request, response, url, { ...shared, queue: this.#queue, bodyBytesMax: ASYNC_BODY_BYTES_MAX })
    if (path.startsWith('/system/')) {
      const { auth, namespace } = this.#options
      return system(request, response, url, { ...shared, auth, namespace })
    }
    if (path !== '/healthz' && path !== '/metrics') return notFound(response)
    if (request.method !== 'GET') return sendEmpty(response, 405)
    if (path === '/healthz') return sendText(response, 200, 'OK')
    const { registry } = this.#metrics
    response.writeHead(200, { 'Content-Type': registry.contentType }).end(await registry.metrics())
  }
}
