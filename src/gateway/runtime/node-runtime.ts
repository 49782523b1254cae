// A Node handler in a process of its own, spoken to over a private socket: whatever the function does to its event loop or
// its heap, the gateway keeps running. Started by the first call, restarted with back-off when it dies.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Pool } from 'undici'

import { backoffMs, errorText } from '../../sdk/index.ts'
import type { Reaper } from './reaper.ts'
import {
  RuntimeFailure,
  durationHeader,
  functionEnvironment,
  killGroup,
  onLines,
  watchdogDurationMs,
} from './runtime.ts'
import type { FunctionSpec, RuntimeSpec } from '../function-spec.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'

const RUNNER = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './node-runner.ts' : './node-runner.js', import.meta.url),
)
const START_TIMEOUT_MS = 15_000
/** A process that does not answer a ping this long after a call timed out is blocked, and killed. */
const PING_TIMEOUT_MS = 1000
const CRASH_BACKOFF = { minWaitMs: 100, maxWaitMs: 10_000, jitter: 'none' } as const
/** One that lived this long did not crash at its start. */
const STABLE_MS = 10_000
/** From the first broken connection to the exit of the process. */
const EXIT_WAIT_MS = 2000
const CONNECTIONS_MAX = 256
const HEADER_BYTES_MAX = 64 * 1024

interface Running {
  readonly child: ChildProcess
  readonly pool: Pool
  /** Settles when the process has ended. */
  readonly gone: Promise<unknown>
  /** A connection broke: the process is most likely ending, and new calls wait to know. */
  suspect: boolean
  pinging: boolean
}

export interface NodeRuntimeOptions {
  readonly spec: FunctionSpec
  readonly runtime: Extract<RuntimeSpec, { kind: 'node' }>
  /** Private, on a short path: a socket's path has at most about 100 bytes. */
  readonly socketDirectory: string
  readonly reaper: Reaper
  readonly secretsDirectory?: string | undefined
  readonly log: InstanceLog
}

export class NodeRuntime implements FunctionRuntime {
  readonly #options: NodeRuntimeOptions
  readonly #execTimeoutMs: number
  #running: Promise<Running> | undefined
  #crashes = 0
  #notBefore = 0
  #closed = false
  #pid: number | undefined

  constructor(options: NodeRuntimeOptions) {
    this.#options = options
    this.#execTimeoutMs = watchdogDurationMs(options.spec.envVars['exec_timeout'])
  }

  get ready(): boolean {
    return !this.#closed && performance.now() >= this.#notBefore
  }

  get pids(): readonly number[] {
    return this.#pid === undefined ? [] : [this.#pid]
  }

  async warm(): Promise<void> {
    await this.#process().catch(() => undefined)
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const running = await this.#process()
    const startedAt = performance.now()
    const execTimeoutFirst = this.#execTimeoutMs > 0 && this.#execTimeoutMs < request.timeoutMs
    const timeout = new AbortController()
    const timer = setTimeout(
      () => {
        timeout.abort(new Error('no complete answer in time'))
        this.#killIfBlocked(running)
      },
      execTimeoutFirst ? this.#execTimeoutMs : request.timeoutMs,
    )
    try {
      const answer = await running.pool.request({
        method: request.method,
        path: request.path,
        headers: [...request.headers],
        body: request.body ?? null,
        signal: AbortSignal.any([request.signal, timeout.signal]),
        responseHeaders: 'raw',
      })
      // The timeout covers the body too.
      answer.body.once('close', () => clearTimeout(timer))
      // With 'raw' the headers are the flat list as received.
      return { status: answer.statusCode, headers: answer.headers as unknown as string[], body: answer.body }
    } catch (error) {
      clearTimeout(timer)
      if (!timeout.signal.aborted) {
        if (!request.signal.aborted) await this.#awaitEnd(running)
        throw new RuntimeFailure('unreachable', errorText(error))
      }
      if (!execTimeoutFirst) throw new RuntimeFailure('timeout', 'no answer in time')
      // As of-watchdog answers for a function that takes too long.
      const headers = ['X-OpenFaaS-Internal', 'of-watchdog', ...durationHeader(startedAt)]
      return { status: 504, headers, body: Buffer.alloc(0) }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const running = await this.#running?.catch(() => undefined)
    if (running === undefined) return
    killGroup(running.child.pid)
    await running.pool.destroy()
  }

  async #process(): Promise<Running> {
    const before = await this.#running
    if (before?.suspect === true) await this.#awaitEnd(before)
    if (this.#closed) throw new RuntimeFailure('unreachable', 'removed')
    if (this.#running === undefined) {
      const waitMs = this.#notBefore - performance.now()
      if (waitMs > 0)
        throw new RuntimeFailure('unreachable', `it keeps crashing; next start in ${Math.ceil(waitMs)} ms`)
      this.#running = this.#start()
    }
    return this.#running
  }

  /** A broken connection is heard of before the exit that broke it. */
  async #awaitEnd(running: Running): Promise<void> {
    running.suspect = true
    let timer: NodeJS.Timeout | undefined
    await Promise.race([running.gone, new Promise((resolve) => (timer = setTimeout(resolve, EXIT_WAIT_MS)))])
    clearTimeout(timer)
    running.suspect = false
  }

  async #start(): Promise<Running> {
    const { spec, runtime, socketDirectory, reaper, log, secretsDirectory } = this.#options
    const socketPath = join(socketDirectory, `${randomUUID().slice(0, 13)}.sock`)
    const startedAt = performance.now()
    const child = fork(RUNNER, [], {
      cwd: runtime.handler,
      env: { ...functionEnvironment(spec, secretsDirectory), HUB_SOCKET: socketPath, HUB_HANDLER: runtime.handler },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
      // A group of its own, so that what the function starts ends with it.
      detached: true,
    })
    const { pid } = child
    this.#pid = pid
    if (pid !== undefined) reaper.watch(pid)
    for (const stream of [child.stdout, child.stderr]) if (stream !== null) onLines(stream, (line) => log.output(line))
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.once('exit', (code, signal) => {
      this.#pid = undefined
      if (pid !== undefined) {
        killGroup(pid)
        reaper.forget(pid)
      }
      rmSync(socketPath, { force: true })
      this.#ended(`exited with ${signal ?? `status ${code}`}`, startedAt)
    })
    // A process that could not be started (no such folder) has no exit.
    child.on('error', (error) => {
      if (pid === undefined) this.#ended(`could not be started in ${runtime.handler}: ${error.message}`, startedAt)
    })
    await started(child)
    log.lifecycle(`started, process ${pid}`)
    const pool = new Pool('http://function', {
      socketPath,
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: HEADER_BYTES_MAX,
    })
    return { child, pool, gone, suspect: false, pinging: false }
  }

  #ended(what: string, startedAt: number): void {
    const before = this.#running
    this.#running = undefined
    void before?.then(({ pool }) => pool.destroy()).catch(() => undefined)
    if (this.#closed) return
    this.#crashes = performance.now() - startedAt > STABLE_MS ? 1 : this.#crashes + 1
    // The first crash restarts at once with the next call; a loop waits longer and longer.
    const waitMs = this.#crashes === 1 ? 0 : backoffMs(this.#crashes - 1, CRASH_BACKOFF)
    this.#notBefore = performance.now() + waitMs
    const rest = waitMs > 0 ? `, not before ${waitMs} ms` : ''
    this.#options.log.lifecycle(`${what}; the next call starts it again${rest}`)
  }

  /** A slow call is its own affair; a blocked event loop is that of every call in the process. */
  #killIfBlocked(running: Running): void {
    const { child } = running
    if (running.pinging || !child.connected) return
    running.pinging = true
    const stop = (): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      running.pinging = false
    }
    const onMessage = (message: unknown): void => {
      if (message === 'hub:pong') stop()
    }
    const timer = setTimeout(() => {
      stop()
      this.#options.log.lifecycle('killed: its event loop is blocked')
      killGroup(child.pid)
    }, PING_TIMEOUT_MS)
    child.on('message', onMessage)
    child.once('exit', stop)
    // It may go away while we ask; then its exit says so.
    child.send('hub:ping', () => {})
  }
}

/** @throws RuntimeFailure when the handler cannot be loaded, or not in time */
function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      killGroup(child.pid)
      fail('the handler did not load in time')
    }, START_TIMEOUT_MS)
    const fail = (reason: string): void => {
      clearTimeout(timer)
      reject(new RuntimeFailure('unreachable', reason))
    }
    // The handler may use the channel itself while it loads.
    child.on('message', (message) => {
      if (message !== 'hub:ready') return
      clearTimeout(timer)
      resolve()
    })
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code, signal) => fail(`the process ended at its start with ${signal ?? `status ${code}`}`))
  })
}
