// A function whose process lives on and speaks HTTP: started by the first call or at once, restarted with back-off when it
// dies, killed when it is blocked. What kind of process that is, its launcher knows; whatever a function does to itself, the
// gateway keeps running.

import { setTimeout as wait } from 'node:timers/promises'
import type { ChildProcess } from 'node:child_process'

import type { Dispatcher } from 'undici'

import { backoffMs, errorText, killGroup } from '../../sdk/index.ts'
import { headerOf } from '../headers.ts'
import type { FunctionSpec } from '../function-spec.ts'
import { LateBody, forward, stamped, watchdogError } from './forward.ts'
import { endGroup, onLines } from './process-group.ts'
import { RuntimeFailure, wholeOf } from './runtime.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import { execLimitOf, isOn, limitsOf } from './watchdog.ts'
import type { Expiry, Limits } from './watchdog.ts'

/** A process that does not answer a ping this long after a call timed out is blocked, and killed. */
const PING_TIMEOUT_MS = 2500
const CRASH_BACKOFF = { minWaitMs: 100, maxWaitMs: 10_000, jitter: 'none' } as const
/** One that lived this long did not crash at its start. */
const STABLE_MS = 10_000
/** For a function to end by itself when it is asked to. */
const END_GRACE_MS = 2000
const BUFFERED_BODY_BYTES_MAX = 128 * 1024 * 1024

/** One start of the process. */
export interface Launch {
  readonly child: ChildProcess
  /** Resolves when it serves; rejects with a reason when it will not. Its exit need not be heard here. */
  readonly serving: Promise<void>
  readonly dispatcher: Dispatcher
  /** Path and query as this process is to see them. */
  readonly pathOf: (path: string) => string
  /** False when the process can do nothing any more. Undefined: it cannot be asked. */
  readonly ping?: (timeoutMs: number) => Promise<boolean>
  /** Why a spawn failed, for a person. */
  readonly problem: (error: Error) => string
  /** Called once, after the process has ended. */
  readonly cleanUp: () => void
}

export interface HttpFunctionOptions {
  readonly spec: FunctionSpec
  readonly log: InstanceLog
  /** Those of the function's watchdog where the function states none. */
  readonly limits: Limits
  /** What `prefix_logs` is where the function does not say. */
  readonly prefixLogs: boolean
  /** Starts with the runtime, and again by itself; otherwise a call starts it. */
  readonly isEager: boolean
  /** From a broken connection to the exit of the process that broke it, where that is why. */
  readonly exitWaitMs: number
  /** @throws RuntimeFailure when it cannot even be tried */
  readonly launch: () => Promise<Launch>
}

interface Running extends Launch {
  /** Settles when the process has ended. */
  readonly gone: Promise<unknown>
  isGone: boolean
  /** A connection broke: the process is most likely ending, and new calls wait to know. */
  suspect: Promise<void> | undefined
  isAsked: boolean
}

export class HttpFunction implements FunctionRuntime {
  readonly #options: HttpFunctionOptions
  readonly #limits: Limits
  readonly #buffersBody: boolean
  readonly #logsCallId: boolean
  #running: Promise<Running> | undefined
  #child: ChildProcess | undefined
  #isServing = false
  #crashes = 0
  #notBefore = 0
  #restart: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: HttpFunctionOptions) {
    this.#options = options
    const { envVars } = options.spec
    this.#limits = limitsOf(envVars, options.limits)
    this.#buffersBody = isOn(envVars, 'http_buffer_req_body', false) || isOn(envVars, 'buffer_http', false)
    this.#logsCallId = isOn(envVars, 'log_callid', false)
    if (options.isEager) void this.warm()
  }

  get ready(): boolean {
    if (this.#isClosed) return false
    return this.#options.isEager ? this.#isServing : performance.now() >= this.#notBefore
  }

  get pids(): readonly number[] {
    const pid = this.#child?.pid
    return pid === undefined ? [] : [pid]
  }

  async warm(): Promise<boolean> {
    return await this.#process().then(
      () => true,
      () => false,
    )
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const running = await this.#process()
    const body = this.#buffersBody ? await bufferOf(request) : undefined
    const startedAt = performance.now()
    const limits = { ...this.#limits, execMs: execLimitOf(request, this.#limits.execMs) }
    const received = await forward(request, {
      dispatcher: running.dispatcher,
      path: running.pathOf(request.path),
      headers: request.headers,
      body,
      limits,
      onExpiry: (what) => this.#expired(what, limits, running),
      onBroken: async (error) => {
        const reason = errorText(error)
        if (!(error instanceof LateBody)) await awaitEnd(running, this.#options.exitWaitMs)
        if (running.isGone) throw new RuntimeFailure('unreachable', reason)
        this.#options.log.lifecycle(`did not answer: ${reason}`)
        return watchdogError(500, startedAt)
      },
    })
    const { answer, line } = stamped(received, request, startedAt)
    const callId = this.#logsCallId ? ` [${headerOf(request.headers, 'x-call-id') ?? 'none'}]` : ''
    if (request.isProbe !== true) this.#options.log.watchdog(`${line}${callId}`)
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#restart)
    if (this.#child !== undefined) await endGroup(this.#child, END_GRACE_MS)
    const running = await this.#running?.catch(() => undefined)
    await running?.dispatcher.destroy()
  }

  async #process(): Promise<Running> {
    const before = await this.#running
    if (before?.suspect !== undefined) await before.suspect
    if (this.#isClosed) throw new RuntimeFailure('unreachable', 'removed')
    if (this.#running === undefined) {
      const waitMs = this.#notBefore - performance.now()
      if (waitMs > 0)
        throw new RuntimeFailure('unreachable', `it keeps crashing; next start in ${Math.ceil(waitMs)} ms`)
      this.#running = this.#start()
    }
    return this.#running
  }

  async #start(): Promise<Running> {
    const { log, launch } = this.#options
    const startedAt = performance.now()
    const launched = await launch().catch((error: unknown) => {
      this.#ended(error instanceof Error ? error.message : String(error), startedAt)
      throw error
    })
    const { child } = launched
    this.#child = child
    this.#logLines(child)
    const running: Running = { ...launched, gone: once(child), isGone: false, suspect: undefined, isAsked: false }
    const failed = this.#watch(running, startedAt)
    // Removed while it looked for a port.
    if (this.#isClosed) killGroup(child.pid)
    try {
      await Promise.race([launched.serving, failed])
    } catch (error) {
      if (!running.isGone) {
        log.lifecycle(`killed: ${error instanceof Error ? error.message : String(error)}`)
        killGroup(child.pid)
      }
      throw error
    }
    if (this.#isClosed) {
      await endGroup(child, END_GRACE_MS)
      throw new RuntimeFailure('unreachable', 'removed')
    }
    this.#isServing = true
    log.lifecycle(`started, process ${child.pid}`)
    return running
  }

  #logLines(child: ChildProcess): void {
    const { spec, log, prefixLogs } = this.#options
    const isPrefixed = isOn(spec.envVars, 'prefix_logs', prefixLogs)
    const bufferSize = spec.envVars['log_buffer_size']
    onLines(child.stdout, (line) => log.output(isPrefixed ? `stdout: ${line}` : line), { bufferSize })
    onLines(child.stderr, (line) => log.output(isPrefixed ? `stderr: ${line}` : line), { bufferSize })
  }

  /** Rejects when the process ends; nobody need listen. */
  #watch(running: Running, startedAt: number): Promise<never> {
    const { child, problem, cleanUp } = running
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => undefined)
    const end = (what: string): void => {
      running.isGone = true
      this.#child = undefined
      this.#isServing = false
      cleanUp()
      void running.dispatcher.destroy()
      this.#ended(what, startedAt)
      reject(new RuntimeFailure('unreachable', what))
    }
    child.once('exit', (code, signal) => end(`exited with ${signal ?? `status ${code}`}`))
    // A process that could not be started has no exit.
    child.on('error', (error) => {
      if (child.pid === undefined) end(problem(error))
    })
    return promise
  }

  #ended(what: string, startedAt: number): void {
    this.#running = undefined
    if (this.#isClosed) return
    this.#crashes = performance.now() - startedAt > STABLE_MS ? 1 : this.#crashes + 1
    // The first crash restarts at once; a loop waits longer and longer.
    const waitMs = this.#crashes === 1 ? 0 : backoffMs(this.#crashes - 1, CRASH_BACKOFF)
    this.#notBefore = performance.now() + waitMs
    const { isEager, log } = this.#options
    const rest = waitMs > 0 ? `, not before ${waitMs} ms` : ''
    log.lifecycle(`${what}; ${isEager ? 'it is started again' : 'the next call starts it again'}${rest}`)
    if (!isEager) return
    this.#restart = setTimeout(() => void this.warm(), Math.ceil(waitMs) + 1)
    this.#restart.unref()
  }

  #expired(what: Expiry, limits: Limits, running: Running): void {
    if (what === 'exec')
      this.#options.log.watchdog(`Upstream HTTP killed due to exec_timeout: ${limits.execMs / 1000}s`)
    void this.#killIfBlocked(running)
  }

  /** A slow call is its own affair; a blocked process is that of every call in it. */
  async #killIfBlocked(running: Running): Promise<void> {
    if (running.ping === undefined || running.isAsked || running.isGone) return
    running.isAsked = true
    const isAlive = await running.ping(PING_TIMEOUT_MS)
    running.isAsked = false
    if (isAlive || running.isGone) return
    this.#options.log.lifecycle('killed: it is blocked')
    killGroup(running.child.pid)
  }
}

function once(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once('exit', resolve))
}

/** A broken connection is heard of before the exit that broke it. */
async function awaitEnd(running: Running, waitMs: number): Promise<void> {
  running.suspect ??= Promise.race([running.gone.then(() => {}), wait(waitMs, undefined, { ref: false })])
  await running.suspect
  running.suspect = undefined
}

/** @throws RuntimeFailure when it is too long, or the caller leaves */
async function bufferOf({ body }: RuntimeRequest): Promise<Uint8Array | undefined> {
  if (body === undefined) return undefined
  try {
    return await wholeOf(body, BUFFERED_BODY_BYTES_MAX)
  } catch (error) {
    throw new RuntimeFailure('unreachable', `the body could not be buffered: ${String(error)}`)
  }
}
