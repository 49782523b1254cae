// One process per call over stdin and stdout, as the classic watchdog of OpenFaaS runs it.

import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

import { formatDuration } from '../../sdk/index.ts'
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

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/** Output is collected, because the status is known only at the exit. */
const OUTPUT_BYTES_MAX = 128 * 1024 * 1024
const METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])

export interface ProcessRuntimeOptions {
  readonly spec: FunctionSpec
  readonly runtime: Extract<RuntimeSpec, { kind: 'process' }>
  readonly reaper: Reaper
  readonly secretsDirectory?: string | undefined
  readonly log: InstanceLog
}

export class ProcessRuntime implements FunctionRuntime {
  readonly ready = true
  readonly #options: ProcessRuntimeOptions
  readonly #command: readonly string[]
  readonly #environment: Readonly<Record<string, string>>
  readonly #children = new Set<Child>()
  readonly #execTimeoutMs: number
  readonly #combineOutput: boolean

  constructor(options: ProcessRuntimeOptions) {
    const { spec, runtime } = options
    this.#options = options
    this.#command = runtime.command.split(' ').filter((part) => part !== '')
    this.#environment = functionEnvironment(spec, options.secretsDirectory)
    this.#execTimeoutMs = watchdogDurationMs(spec.envVars['exec_timeout'])
    const { combine_output: combine = 'true' } = spec.envVars
    this.#combineOutput = combine !== 'false' && combine !== '0'
  }

  get pids(): readonly number[] {
    return Array.from(this.#children, ({ pid }) => pid).filter((pid) => pid !== undefined)
  }

  async warm(): Promise<void> {}

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    if (!METHODS.has(request.method)) return { status: 405, headers: [], body: Buffer.alloc(0) }
    const child = this.#spawn(request)
    const { pid } = child
    if (pid !== undefined) this.#options.reaper.watch(pid)
    try {
      return await this.#run(child, request)
    } finally {
      this.#children.delete(child)
      killGroup(pid)
      if (pid !== undefined) this.#options.reaper.forget(pid)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) killGroup(child.pid)
  }

  #spawn(request: RuntimeRequest): Child {
    const [command = '', ...args] = this.#command
    const child = spawn(command, args, {
      cwd: this.#options.runtime.directory,
      env: { ...this.#environment, ...httpEnvironment(request) },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own, so that the timeout ends what the command starts, too.
      detached: true,
    })
    this.#children.add(child)
    return child
  }

  async #run(child: Child, request: RuntimeRequest): Promise<RuntimeAnswer> {
    const { log } = this.#options
    const startedAt = performance.now()
    const output = this.#collect(child)
    const execTimeoutFirst = this.#execTimeoutMs > 0 && this.#execTimeoutMs < request.timeoutMs
    const limitMs = execTimeoutFirst ? this.#execTimeoutMs : request.timeoutMs
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      log.lifecycle(`killed after ${formatDuration(limitMs)}`)
      killGroup(child.pid)
    }, limitMs)
    const leave = (): void => killGroup(child.pid)
    request.signal.addEventListener('abort', leave, { once: true })
    feed(child, request.body, leave)
    try {
      const end = await ended(child)
      if (timedOut && !execTimeoutFirst) throw new RuntimeFailure('timeout', 'no answer in time')
      if (timedOut) return textAnswer(408, startedAt, 'Killed process.\n')
      if (output.tooLong) throw new RuntimeFailure('unreachable', `more than ${OUTPUT_BYTES_MAX} bytes of output`)
      if (end !== 'exit status 0') return textAnswer(500, startedAt, `${end}\n`, output.chunks)
      const headers = [...this.#contentType(request), ...durationHeader(startedAt)]
      return { status: 200, headers, body: Buffer.concat(output.chunks) }
    } finally {
      clearTimeout(timer)
      request.signal.removeEventListener('abort', leave)
      request.body?.destroy()
    }
  }

  #collect(child: Child): { readonly chunks: Buffer[]; readonly tooLong: boolean } {
    const output = { chunks: [] as Buffer[], tooLong: false }
    let bytes = 0
    const collect = (chunk: Buffer): void => {
      bytes += chunk.byteLength
      if (bytes <= OUTPUT_BYTES_MAX) output.chunks.push(chunk)
      else if (!output.tooLong) {
        output.tooLong = true
        killGroup(child.pid)
      }
    }
    child.stdout.on('data', collect)
    const { log } = this.#options
    if (this.#combineOutput) child.stderr.on('data', collect)
    else onLines(child.stderr, (line) => log.output(line))
    return output
  }

  /** Configured, else that of the request, by the route. */
  #contentType({ headers }: RuntimeRequest): readonly string[] {
    const configured = this.#options.spec.envVars['content_type'] ?? header(headers, 'content-type')
    return configured === undefined || configured === '' ? [] : ['Content-Type', configured]
  }
}

function feed(child: Child, body: Readable | undefined, onBroken: () => void): void {
  // A process that does not read its stdin is fine.
  child.stdin.on('error', () => {})
  if (body === undefined) {
    child.stdin.end()
    return
  }
  body.once('error', onBroken)
  body.pipe(child.stdin)
}

/** Once it is gone and its output has ended: `exit status 0`, or what else became of it. @throws RuntimeFailure */
function ended(child: Child): Promise<string> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new RuntimeFailure('unreachable', error.message)))
    child.on('close', (code, signal) => resolve(signal === null ? `exit status ${code}` : `signal: ${signal}`))
  })
}

function textAnswer(status: number, startedAt: number, text: string, output: readonly Buffer[] = []): RuntimeAnswer {
  const headers = ['Content-Type', 'text/plain', ...durationHeader(startedAt)]
  return { status, headers, body: Buffer.concat([Buffer.from(text), ...output]) }
}

/** `Http_*` as the classic watchdog sets them: every header under its canonical name, `-` as `_`, first value only. */
function httpEnvironment({ method, path, headers, body }: RuntimeRequest): Record<string, string> {
  const environment: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2) {
    const canonical = (headers[index] as string)
      .toLowerCase()
      .replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
    environment[`Http_${canonical.replaceAll('-', '_')}`] ??= headers[index + 1] as string
  }
  const [pathOnly, query] = split(path)
  const isChunked = body !== undefined && header(headers, 'content-length') === undefined
  const length = isChunked ? '-1' : (header(headers, 'content-length') ?? '0')
  if (isChunked) environment['Http_Transfer_Encoding'] = 'chunked'
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
