// The bundled OpenFaaS-compatible gateway: functions run as local processes behind the same routes, headers and statuses.
// For development and tests. Reads no stack file; whoever starts it deploys.

import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { HubError, errorText, listenAt, systemClock } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { asyncFunction } from './async-route.ts'
import type { AsyncRouteOptions } from './async-route.ts'
import { DeploymentStore } from './deployment-store.ts'
import { Deployments } from './deployments.ts'
import { fullNameOf } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'
import { Functions } from './functions.ts'
import type { Gateway, GatewayOptions, ProvidedSecret } from './gateway-api.ts'
import { notFound, redirect, sendEmpty, sendText } from './http.ts'
import { Images } from './images.ts'
import { invoke } from './invocation.ts'
import type { InvocationOptions } from './invocation.ts'
import { createListener } from './listener.ts'
import { LogBook } from './log-book.ts'
import { GatewayMetrics } from './metrics.ts'
import { sendMetrics, startMetricsServer } from './metrics-server.ts'
import type { MetricsServer } from './metrics-server.ts'
import { refuseForeign } from './portal/foreign.ts'
import { isPortalPath, portal } from './portal/portal.ts'
import { AsyncCalls } from './queue/async-calls.ts'
import { registerQueueMetrics } from './queue/queue-metrics.ts'
import { QUEUE_DEFAULTS } from './queue/settings.ts'
import type { RequestTarget } from './request-target.ts'
import { probesOf } from './probes.ts'
import { ProbedRuntime } from './runtime/probed-runtime.ts'
import { Reaper } from './runtime/reaper.ts'
import { startReloading } from './runtime/reloading-runtime.ts'
import type { FunctionRuntime, InstanceLog } from './runtime/runtime.ts'
import { startRuntime } from './runtime/start.ts'
import { WatchedRuntime } from './runtime/watched-runtime.ts'
import { SecretMounts } from './secret-mounts.ts'
import { SecretStore, makeFolder } from './secret-store.ts'
import { BEYOND_UPSTREAM_MS, UPSTREAM_TIMEOUT_MS } from './settings.ts'
import type { SystemParts } from './system/call.ts'
import { system } from './system/routes.ts'
import { UsageMeter } from './system/usage.ts'

export type { FunctionSpec } from './function-spec.ts'
export type { Gateway, GatewayOptions } from './gateway-api.ts'
export type { GatewayLog } from './gateway-log.ts'

/** For a function to be started before its call. */
const COLD_START_MS = 100_000
const HEADERS_TIMEOUT_MS = 20_000
const CLOSE_MS = 5000
const SWEEP_MS = 50
const SHARED_SECRETS_DIRECTORY = '/var/openfaas/secrets'

/** @throws HubError HUB_GATEWAY_LISTEN, HUB_STATE_UNUSABLE; HUB_SOURCE_* where async calls are kept at NATS */
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
  readonly #logBook: LogBook
  readonly #mounts: SecretMounts
  readonly #deploymentStore: DeploymentStore
  readonly #system: SystemParts
  readonly #metrics: GatewayMetrics
  readonly #reaper: Reaper
  readonly #server: Server
  readonly #invocation: InvocationOptions
  readonly #socketDirectory: string
  #calls: AsyncCalls | undefined
  #metricsServer: MetricsServer | undefined
  #address = ''
  #closed: Promise<void> | undefined

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#upstreamTimeoutMs = options.upstreamTimeoutMs ?? UPSTREAM_TIMEOUT_MS
    makeFolder(options.stateDir)
    this.#deploymentStore = new DeploymentStore(join(options.stateDir, 'deployments.db'))
    this.#socketDirectory = mkdtempSync(join(tmpdir(), 'chub-'))
    this.#mounts = new SecretMounts({
      store: new SecretStore(join(options.stateDir, 'secrets')),
      directory: join(this.#socketDirectory, 'secrets'),
      sharedDirectory: options.sharedSecretsDirectory ?? SHARED_SECRETS_DIRECTORY,
    })
    this.#reaper = new Reaper(this.#socketDirectory)
    this.#logBook = new LogBook({ clock: this.#clock })
    this.#metrics = new GatewayMetrics(() => this.#functions.all)
    this.#functions = new Functions({
      namespace: options.namespace,
      clock: this.#clock,
      // After that the listener closes the connection of a call.
      drainMs: options.writeTimeoutMs ?? this.#upstreamTimeoutMs + BEYOND_UPSTREAM_MS,
      start: (spec, instance) => this.#start(spec, instance),
      log: (spec, line, instance = spec.name) => this.#lifecycle(spec, instance, line),
      listener: this.#metrics,
      onEnded: (spec) => this.#mounts.unmount(spec),
    })
    this.#invocation = this.#invocationOptions()
    this.#system = this.#systemParts()
    this.#server = this.#createServer()
  }

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port, metricsPort } = this.#options
    this.#calls = await this.#openCalls()
    registerQueueMetrics(this.#metrics.registry, this.#calls)
    const bound = await listenAt(this.#server, host, port).catch((error: unknown) => {
      throw new HubError('HUB_GATEWAY_LISTEN', `${host}:${port}: ${errorText(error)}`, { cause: error })
    })
    this.#address = `http://${bound}`
    if (metricsPort !== undefined)
      this.#metricsServer = await startMetricsServer(this.#metrics.registry, host, metricsPort)
    if (this.#options.holdsQueue !== true) this.startQueue()
  }

  get address(): string {
    return this.#address
  }

  get metricsAddress(): string | undefined {
    return this.#metricsServer?.address
  }

  get queueLength(): number {
    return this.#calls?.length ?? 0
  }

  startQueue(): void {
    this.#calls?.start(this.#address)
  }

  async deploy(spec: FunctionSpec): Promise<void> {
    await this.#system.deployments.deployUnstored(spec)
    await this.#functions.serving(fullNameOf(spec))
  }

  async remove(name: string): Promise<boolean> {
    return await this.#system.deployments.removeUnstored(name)
  }

  functions(): readonly FunctionSpec[] {
    return Array.from(this.#functions.all, ({ spec }) => spec)
  }

  async provideNamespace(name: string): Promise<void> {
    await this.#system.deployments.provideNamespace(name)
  }

  async provideSecret(
    namespace: string,
    name: string,
    value: Uint8Array,
    before?: Uint8Array,
  ): Promise<ProvidedSecret> {
    return await this.#system.deployments.provideSecret(namespace, name, value, before)
  }

  hasSecret(namespace: string, name: string): boolean {
    return this.#system.deployments.hasSecret(namespace, name)
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
    const { drainMs = CLOSE_MS } = this.#options
    const until = this.#clock.monotonic() + drainMs
    // First, because its calls come in through the server. One time for all: those of clients go on meanwhile.
    await this.#calls?.close(drainMs)
    // Who follows the logs would not end by itself.
    this.#logBook[Symbol.dispose]()
    await this.#closeServer(until - this.#clock.monotonic())
    await this.#metricsServer?.[Symbol.asyncDispose]()
    await this.#functions[Symbol.asyncDispose]()
    this.#deploymentStore[Symbol.dispose]()
    this.#mounts[Symbol.dispose]()
    this.#reaper[Symbol.dispose]()
    rmSync(this.#socketDirectory, { recursive: true, force: true })
  }

  /** Listens no more; calls that run have so long. */
  async #closeServer(drainMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    // A connection whose last call has ended waits for another one that nobody should make.
    const sweep = setInterval(() => this.#server.closeIdleConnections(), SWEEP_MS)
    if (drainMs <= 0) this.#server.closeAllConnections()
    const deadline = this.#clock.after(drainMs, () => this.#server.closeAllConnections())
    await closed
    deadline.cancel()
    clearInterval(sweep)
  }

  #openCalls(): Promise<AsyncCalls> {
    const { stateDir, namespace, queue, scaleFromZero, log } = this.#options
    return AsyncCalls.open({
      settings: { ...QUEUE_DEFAULTS, ...queue },
      stateDir,
      namespace,
      // The gateway's own timeout comes first, so that the answer is its 502.
      timeoutMs: this.#upstreamTimeoutMs + 1000 + (scaleFromZero === true ? COLD_START_MS : 0),
      clock: this.#clock,
      find: (name) => this.#functions.find(name),
      log: (line) => log.request(line),
    })
  }

  #systemParts(): SystemParts {
    const { namespace, auth, images, log } = this.#options
    const shared = { functions: this.#functions, logBook: this.#logBook, namespace, clock: this.#clock }
    const deployments = new Deployments({
      ...shared,
      store: this.#deploymentStore,
      mounts: this.#mounts,
      images: images ?? new Images({ directory: process.cwd() }),
      log,
    })
    return {
      ...shared,
      deployments,
      metrics: this.#metrics,
      usage: new UsageMeter(),
      auth,
      writeTimeoutMs: this.#invocation.writeTimeoutMs,
    }
  }

  #start(spec: FunctionSpec, instance: string): FunctionRuntime {
    const start = this.#options.hotReload === true ? startReloading : startRuntime
    const log = this.#instanceLog(spec, instance)
    const clock = this.#clock
    const runtime = start({
      spec,
      clock,
      socketDirectory: this.#socketDirectory,
      reaper: this.#reaper,
      secretsDirectory: this.#mounts.directoryOf(spec),
      log,
    })
    const { liveness, readiness, problems } = probesOf(spec)
    for (const problem of problems) log.lifecycle(problem)
    const watched = liveness === undefined ? runtime : new WatchedRuntime({ runtime, liveness, clock, log })
    return readiness === undefined ? watched : new ProbedRuntime({ runtime: watched, readiness, clock, log })
  }

  #instanceLog(spec: FunctionSpec, instance: string): InstanceLog {
    const { log } = this.#options
    const fullName = fullNameOf(spec)
    return {
      output: (line) => {
        this.#logBook.append(fullName, instance, line)
        log.functionOutput(spec.name, line)
      },
      lifecycle: (line) => this.#lifecycle(spec, instance, line),
      watchdog: (line) => {
        this.#logBook.append(fullName, instance, line)
        log.request(line)
      },
    }
  }

  #lifecycle(spec: FunctionSpec, instance: string, line: string): void {
    this.#logBook.append(fullNameOf(spec), instance, line)
    this.#options.log.lifecycle(spec.name, line)
  }

  #invocationOptions(): InvocationOptions {
    const { namespace, log, writeTimeoutMs, scaleFromZero = false, writeRequestUri = false } = this.#options
    return {
      functions: this.#functions,
      metrics: this.#metrics,
      namespace,
      upstreamTimeoutMs: this.#upstreamTimeoutMs,
      writeTimeoutMs: writeTimeoutMs ?? this.#upstreamTimeoutMs + BEYOND_UPSTREAM_MS,
      scaleFromZero,
      writeRequestUri,
      clock: this.#clock,
      log,
    }
  }

  #asyncOptions(): AsyncRouteOptions {
    const { namespace, queue, log } = this.#options
    const { bodyBytesMax, checksFunctions } = { ...QUEUE_DEFAULTS, ...queue }
    // There before anything is listened to.
    const calls = this.#calls as AsyncCalls
    return { calls, functions: this.#functions, namespace, bodyBytesMax, checksFunctions, clock: this.#clock, log }
  }

  #createServer(): Server {
    const { headersTimeoutMs = HEADERS_TIMEOUT_MS, readTimeoutMs, connectionsMax, log } = this.#options
    return createListener({
      headersTimeoutMs,
      readTimeoutMs: readTimeoutMs ?? this.#upstreamTimeoutMs + BEYOND_UPSTREAM_MS,
      writeTimeoutMs: this.#invocation.writeTimeoutMs,
      connectionsMax,
      onFull: (most) => log.request(`${most} connections are open: new ones are closed until some of them end`),
      serve: (request, response, target) => this.#serve(request, response, target),
    })
  }

  /** Never rejects. */
  async #serve(request: IncomingMessage, response: ServerResponse, target: RequestTarget): Promise<void> {
    try {
      await this.#route(request, response, target)
    } catch (error) {
      this.#options.log.request(`${request.method} ${target.path}: ${errorText(error)}`)
      if (response.headersSent) response.destroy()
      else sendText(response, 500, `${errorText(error)}\n`)
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: RequestTarget): Promise<void> {
    const { path } = url
    if (path.startsWith('/function/')) return invoke(request, response, url, this.#invocation)
    if (path.startsWith('/async-function/')) return asyncFunction(request, response, url, this.#asyncOptions())
    if (isPortalPath(path)) return portal(request, response, url, this.#options.auth)
    if (path.startsWith('/system/')) {
      if (refuseForeign(request, response)) return
      return system(request, response, url, this.#system)
    }
    if (path !== '/healthz' && path !== '/metrics' && path !== '/') return notFound(response)
    if (request.method !== 'GET') return sendEmpty(response, 405)
    if (path === '/') return redirect(response, 307, '/ui/')
    if (path === '/healthz') return sendText(response, 200, 'OK')
    return sendMetrics(response, this.#metrics.registry)
  }
}
