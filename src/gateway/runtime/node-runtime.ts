// A Node handler in a process of its own, spoken to over a private socket: whatever the function does to its event loop or
// its heap, the gateway keeps running. Started by the first call, restarted with back-off when it dies.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Pool } from 'undici'

import { backoffMs, errorText, parseDuration } from '../../sdk/index.ts'
import { RuntimeFailure, functionEnvironment, onLines } from './runtime.ts'
import type {
  FunctionRuntime,
  FunctionSpec,
  GatewayLog,
  RuntimeAnswer,
  RuntimeRequest,
  RuntimeSpec,
} from './runtime.ts'

const RUNNER = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './node-runner.ts' : './node-runner.js', import.meta.url),
)
const START_TIMEOUT_MS = 15_000
/** A process that does not answer a ping this long after a call timed out is blocked, and killed. */
const PING_TIMEOUT_MS = 1000
const CRASH_BACKOFF = { minWaitMs: 100, maxWaitMs: 10_000, jitter: 'none' } as const
/** One that lived this long did not crash at its start. */
const STABLE_MS = 10_000
const CONNECTIONS_MAX = 256

interface Running {
  readonly child: ChildProcess
  readonly pool: Pool
  readonly startedAt: number
  pinging: boolean
}

export class NodeRuntime implements FunctionRuntime {
  readonly #spec: FunctionSpec
  readonly #handler: string
  readonly #socketDirectory: string
  readonly #log: GatewayLog
  readonly #execTimeoutMs: number | undefined
  #running: Promise<Running> | undefined
  #crashes = 0
  #notBefore = 0
  #closed = false

  /** @param socketDirectory private, on a short path: a socket's path has at most about 100 bytes */
  constructor(
    spec: FunctionSpec,
    runtime: Extract<RuntimeSpec, { kind: 'node' }>,
    socketDirectory: string,
    log: GatewayLog,
  ) {
    this.#spec = spec
    this.#handler = runtime.handler
    this.#socketDirectory = socketDirectory
    this.#log = log
    const { exec_timeout: text } = spec.envVars
    this.#execTimeoutMs = text === undefined ? undefined : parseDuration(/^\d+$/.test(text) ? `${text}s` : text)
  }

  async warm(): Promise<void> {
    await this.#process().catch(() => undefined)
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const running = await this.#process()
    const timeout = AbortSignal.timeout(Math.min(request.timeoutMs, this.#execTimeoutMs ?? Infinity))
    try {
      const hasBody = request.method !== 'GET' && request.method !== 'HEAD'
      const answer = await running.pool.request({
        method: request.method,
        path: request.path,
        headers: [...request.headers],
        body: hasBody ? request.body : null,
        signal: AbortSignal.any([request.signal, timeout]),
        responseHeaders: 'raw',
      })
      // With 'raw' the headers are the flat list as received.
      return { status: answer.statusCode, headers: answer.headers as unknown as string[], body: answer.body }
    } catch (error) {
      if (!timeout.aborted) throw new RuntimeFailure('unreachable', errorText(error))
      this.#killIfBlocked(running)
      throw new RuntimeFailure('timeout', 'no answer in time')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const running = await this.#running?.catch(() => undefined)
    if (running === undefined) return
    running.child.kill('SIGKILL')
    await running.pool.destroy()
  }

  #process(): Promise<Running> {
    if (this.#closed) return Promise.reject(new RuntimeFailure('unreachable', 'removed'))
    if (this.#running === undefined) {
      const waitMs = this.#notBefore - performance.now()
      if (waitMs > 0)
        return Promise.reject(
          new RuntimeFailure('unreachable', `it keeps crashing; next start in ${Math.ceil(waitMs)} ms`),
        )
      this.#running = this.#start()
    }
    return this.#running
  }

  async #start(): Promise<Running> {
    const socketPath = join(this.#socketDirectory, `${randomUUID().slice(0, 13)}.sock`)
    const child = fork(RUNNER, [], {
      cwd: this.#handler,
      env: { ...functionEnvironment(this.#spec), HUB_SOCKET: socketPath, HUB_HANDLER: this.#handler },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
    })
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null) onLines(stream, (line) => this.#log.functionOutput(this.#spec.name, line))
    const startedAt = performance.now()
    child.once('exit', (code, signal) => this.#exited(code, signal, startedAt, socketPath))
    await started(child)
    this.#log.lifecycle(this.#spec.name, `started, process ${child.pid}`)
    const pool = new Pool('http://function', {
      socketPath,
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    return { child, pool, startedAt, pinging: false }
  }

  #exited(code: number | null, signal: string | null, startedAt: number, socketPath: string): void {
    this.#running = undefined
    rmSync(socketPath, { force: true })
    if (this.#closed) return
    this.#crashes = performance.now() - startedAt > STABLE_MS ? 1 : this.#crashes + 1
    // The first crash restarts at once with the next call; a loop waits longer and longer.
    const waitMs = this.#crashes === 1 ? 0 : backoffMs(this.#crashes - 1, CRASH_BACKOFF)
    this.#notBefore = performance.now() + waitMs
    this.#log.lifecycle(
      this.#spec.name,
      `exited with ${signal ?? `status ${code}`}; the next call starts it again${waitMs > 0 ? `, not before ${waitMs} ms` : ''}`,
    )
  }

  /** A slow call is its own affair; a blocked event loop is that of every call in the process. */
  #killIfBlocked(running: Running): void {
    if (running.pinging || !running.child.connected) return
    running.pinging = true
    const timer = setTimeout(() => {
      this.#log.lifecycle(this.#spec.name, 'killed: its event loop is blocked')
      running.child.kill('SIGKILL')
    }, PING_TIMEOUT_MS)
    running.child.once('message', () => {
      running.pinging = false
      clearTimeout(timer)
    })
    running.child.once('exit', () => clearTimeout(timer))
    running.child.send('ping')
  }
}

/** @throws RuntimeFailure when the handler cannot be loaded, or not in time */
function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new RuntimeFailure('unreachable', 'the handler did not load in time'))
    }, START_TIMEOUT_MS)
    const settle = (error?: string): void => {
      clearTimeout(timer)
      if (error === undefined) resolve()
      else reject(new RuntimeFailure('unreachable', error))
    }
    child.once('message', (message) => settle(message === 'ready' ? undefined : 'unexpected message'))
    child.once('error', (error) => settle(error.message))
    child.once('exit', (code, signal) => settle(`the process ended at its start with ${signal ?? `status ${code}`}`))
  })
}
