// One process per call over stdin and stdout, as the classic watchdog of OpenFaaS runs it.

import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

import { formatDuration, parseDuration } from '../../sdk/index.ts'
import { RuntimeFailure, functionEnvironment, onLines } from './runtime.ts'
import type {
  FunctionRuntime,
  FunctionSpec,
  GatewayLog,
  RuntimeAnswer,
  RuntimeRequest,
  RuntimeSpec,
} from './runtime.ts'

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** Output is collected, because the status is known only at the exit. */
const OUTPUT_BYTES_MAX = 128 * 1024 * 1024
const METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])

export class ProcessRuntime implements FunctionRuntime {
  readonly #spec: FunctionSpec
  readonly #command: readonly string[]
  readonly #directory: string
  readonly #environment: Readonly<Record<string, string>>
  readonly #log: GatewayLog
  readonly #children = new Set<Child>()
  readonly #inFlightMax: number
  readonly #execTimeoutMs: number
  readonly #combineOutput: boolean

  constructor(spec: FunctionSpec, runtime: Extract<RuntimeSpec, { kind: 'process' }>, log: GatewayLog) {
    this.#spec = spec
    this.#command = runtime.command.split(' ').filter((part) => part !== '')
    this.#directory = runtime.directory
    this.#environment = functionEnvironment(spec)
    this.#log = log
    const {
      max_inflight: inFlightMax = '0',
      exec_timeout: execTimeout = '0',
      combine_output: combine = 'true',
    } = spec.envVars
    this.#inFlightMax = Number.parseInt(inFlightMax, 10) || 0
    this.#execTimeoutMs = parseDuration(/^\d+$/.test(execTimeout) ? `${execTimeout}s` : execTimeout) ?? 0
    this.#combineOutput = combine !== 'false' && combine !== '0'
  }

  async warm(): Promise<void> {}

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    if (!METHODS.has(request.method)) return { status: 405, headers: [], body: Buffer.alloc(0) }
    if (this.#inFlightMax > 0 && this.#children.size >= this.#inFlightMax) {
      const text = `Concurrent request limit exceeded. Max concurrent requests: ${this.#inFlightMax}\n`
      return {
        status: 429,
        headers: ['Content-Type', 'text/plain', 'X-OpenFaaS-Internal', 'faas-middleware'],
        body: Buffer.from(text),
      }
    }
    const child = this.#spawn(request)
    try {
      return await this.#run(child, request)
    } finally {
      this.#children.delete(child)
      kill(child)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) kill(child)
  }

  #spawn(request: RuntimeRequest): Child {
    const [command = '', ...args] = this.#command
    const child = spawn(command, args, {
      cwd: this.#directory,
      env: { ...this.#environment, ...httpEnvironment(request) },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    this.#children.add(child)
    return child
  }

  #run(child: Child, request: RuntimeRequest): Promise<RuntimeAnswer> {
    const startedAt = performance.now()
    return new Promise((resolve, reject) => {
      const output: Buffer[] = []
      let outputBytes = 0
      let timedOut = false
      const collect = (chunk: Buffer): void => {
        outputBytes += chunk.byteLength
        if (outputBytes > OUTPUT_BYTES_MAX) kill(child)
        else output.push(chunk)
      }
      const limitMs = this.#execTimeoutMs > 0 ? Math.min(this.#execTimeoutMs, request.timeoutMs) : request.timeoutMs
      const timer = setTimeout(() => {
        timedOut = true
        this.#log.lifecycle(this.#spec.name, `killed after ${formatDuration(limitMs)}`)
        kill(child)
      }, limitMs)
      const leave = (): void => kill(child)
      request.signal.addEventListener('abort', leave, { once: true })
      child.stdout.on('data', collect)
      if (this.#combineOutput) child.stderr.on('data', collect)
      else onLines(child.stderr, (line) => this.#log.functionOutput(this.#spec.name, line))
      // A process that does not read its stdin is fine.
      child.stdin.on('error', () => {})
      request.body.on('error', leave)
      request.body.pipe(child.stdin)
      const done = (): void => {
        clearTimeout(timer)
        request.signal.removeEventListener('abort', leave)
        request.body.unpipe(child.stdin)
      }
      child.on('error', (error) => {
        done()
        reject(new RuntimeFailure('unreachable', `${this.#spec.name}: ${this.#command.join(' ')}: ${error.message}`))
      })
      child.on('close', (code, signal) => {
        done()
        const seconds = ((performance.now() - startedAt) / 1000).toFixed(6)
        const duration = ['X-Duration-Seconds', seconds]
        if (timedOut && this.#execTimeoutMs === 0) reject(new RuntimeFailure('timeout', 'no answer in time'))
        else if (timedOut)
          resolve({
            status: 408,
            headers: ['Content-Type', 'text/plain', ...duration],
            body: Buffer.from('Killed process.\n'),
          })
        else if (outputBytes > OUTPUT_BYTES_MAX)
          reject(new RuntimeFailure('unreachable', `more than ${OUTPUT_BYTES_MAX} bytes of output`))
        else if (code === 0)
          resolve({ status: 200, headers: [...this.#contentType(request), ...duration], body: Buffer.concat(output) })
        else
          resolve({
            status: 500,
            headers: ['Content-Type', 'text/plain', ...duration],
            body: Buffer.concat([
              Buffer.from(signal === null ? `exit status ${code}\n` : `signal: ${signal}\n`),
              ...output,
            ]),
          })
      })
    })
  }

  /** Configured, else that of the request. */
  #contentType({ headers }: RuntimeRequest): readonly string[] {
    const configured = this.#spec.envVars['content_type'] ?? header(headers, 'content-type')
    return configured === undefined || configured === '' ? [] : ['Content-Type', configured]
  }
}

/** `Http_*` as the classic watchdog sets them: every header under its canonical name, `-` as `_`, first value only. */
function httpEnvironment({ method, path, headers }: RuntimeRequest): Record<string, string> {
  const environment: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2) {
    const canonical = (headers[index] as string)
      .toLowerCase()
      .replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
    environment[`Http_${canonical.replaceAll('-', '_')}`] ??= headers[index + 1] as string
  }
  const [pathOnly, query] = split(path)
  const length = header(headers, 'content-length') ?? '0'
  environment['Http_Method'] = method
  environment['Http_ContentLength'] = length
  environment['Http_Content_Length'] = length
  environment['Http_Path'] = pathOnly
  environment['Http_Host'] = header(headers, 'host') ?? ''
  if (query !== undefined) environment['Http_Query'] = query
  return environment
}

function split(path: string): [string, string | undefined] {
  const at = path.indexOf('?')
  return at === -1 ? [path, undefined] : [path.slice(0, at), path.slice(at + 1)]
}

function header(headers: readonly string[], name: string): string | undefined {
  for (let index = 0; index < headers.length; index += 2)
    if ((headers[index] as string).toLowerCase() === name) return headers[index + 1]
  return undefined
}

/** The whole group: a shell's children too. */
function kill(child: Child): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
}
