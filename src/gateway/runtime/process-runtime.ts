// One process per call over stdin and stdout, as OpenFaaS's watchdogs run it: the classic one, and of-watchdog's modes
// serializing (both collected) and streaming (both piped live).

import type { ChildProcess } from 'node:child_process'
import { Readable } from 'node:stream'
import type { Writable } from 'node:stream'

import { formatDuration } from '../../sdk/index.ts'
import type { FunctionSpec } from '../function-spec.ts'
import { limitReading } from './forward.ts'
import { canonical, classicEnvironment, httpEnvironment, marshalled } from './http-environment.ts'
import { endOf } from './process-end.ts'
import { killGroup, onLines, spawnGroup, spawnProblem } from './process-group.ts'
import type { Reaper } from './reaper.ts'
import { RuntimeFailure } from './runtime.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import {
  CLASSIC_LIMITS,
  OF_WATCHDOG_LIMITS,
  durationHeader,
  firstLimit,
  headerOf,
  humanSize,
  isOn,
  limitsOf,
  secondsSince,
} from './watchdog.ts'
import type { Expiry, Limits } from './watchdog.ts'

/** Collected, because the status is known only at the exit. */
const OUTPUT_BYTES_MAX = 128 * 1024 * 1024
const CLASSIC_METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])

export interface ProcessRuntimeOptions {
  readonly spec: FunctionSpec
  readonly command: readonly string[]
  readonly directory: string
  readonly mode: 'classic' | 'streaming' | 'serializing'
  readonly env: Readonly<Record<string, string>>
  readonly reaper: Reaper
  readonly log: InstanceLog
}

/** One call's process, and what ended it. */
interface Call {
  readonly child: ChildProcess
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly request: RuntimeRequest
  readonly startedAt: number
  /** The limit that passed. */
  expired: Expiry | undefined
  tooLong: boolean
  /** The body of the request did not arrive. */
  isCut: boolean
  /** `exit status 0`, or what else became of it, once its output has ended. Rejects when it was not started. */
  readonly ended: Promise<string>
}

export class ProcessRuntime implements FunctionRuntime {
  readonly ready = true
  readonly #options: ProcessRuntimeOptions
  readonly #limits: Limits
  readonly #children = new Set<ChildProcess>()

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options
    this.#limits = limitsOf(options.spec.envVars, options.mode === 'classic' ? CLASSIC_LIMITS : OF_WATCHDOG_LIMITS)
  }

  get pids(): readonly number[] {
    return Array.from(this.#children, ({ pid }) => pid).filter((pid) => pid !== undefined)
  }

  async warm(): Promise<boolean> {
    return true
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const { mode } = this.#options
    if (mode === 'classic' && !CLASSIC_METHODS.has(request.method))
      return { status: 405, headers: [], body: Buffer.alloc(0) }
    const call = this.#start(request)
    if (mode === 'streaming') return this.#stream(call)
    return mode === 'classic' ? this.#classic(call) : this.#serialize(call)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) killGroup(child.pid)
  }

  #start(request: RuntimeRequest): Call {
    const { command, directory, mode, env, reaper, log } = this.#options
    const describe = mode === 'classic' ? classicEnvironment : httpEnvironment
    const http = this.#isOn('cgi_headers', true) ? describe(request) : {}
    if (mode === 'classic' && this.#isOn('debug_headers', false)) this.#debugHeaders('in', request.headers)
    const startedAt = performance.now()
    log.watchdog(mode === 'classic' ? 'Forking fprocess.' : `Running ${command[0] ?? ''}`)
    const child = spawnGroup({
      command,
      directory,
      env: { ...env, ...http },
      stdio: ['pipe', 'pipe', 'pipe'],
      reaper,
      until: 'close',
    })
    this.#children.add(child)
    const ended = endOf(child, (error) => spawnProblem(error, command, directory))
    const { stdin, stdout, stderr } = child as ChildProcess & { stdin: Writable; stdout: Readable; stderr: Readable }
    const call: Call = {
      child,
      stdin,
      stdout,
      stderr,
      request,
      startedAt,
      ended,
      expired: undefined,
      tooLong: false,
      isCut: false,
    }
    this.#limit(call)
    this.#feed(call)
    return call
  }

  /** Ends the process at the first limit, and when the caller leaves. */
  #limit(call: Call): void {
    const { child, request } = call
    const limit = firstLimit(this.#limits, request)
    const timer = setTimeout(() => {
      call.expired = limit.what
      this.#options.log.lifecycle(`killed after ${formatDuration(limit.ms)}`)
      killGroup(child.pid)
    }, limit.ms)
    const leave = (): void => killGroup(child.pid)
    request.signal.addEventListener('abort', leave, { once: true })
    if (request.signal.aborted) leave()
    const over = (): void => {
      clearTimeout(timer)
      this.#children.delete(child)
      request.signal.removeEventListener('abort', leave)
      if (request.body instanceof Readable) request.body.destroy()
    }
    call.ended.then(over, over)
  }

  #feed(call: Call): void {
    const { stdin, child, request } = call
    const { body } = request
    // A process that does not read its stdin is fine.
    stdin.on('error', () => {})
    // What is sent too slowly, or not to its end, is not what the function should work on.
    if (body instanceof Readable)
      body.once('error', () => {
        call.isCut = true
        killGroup(child.pid)
      })
    limitReading(request, this.#limits.readMs)
    const isMarshalled = this.#options.mode === 'classic' && this.#isOn('marshal_request', false)
    if (isMarshalled)
      void collect(body).then(
        (bytes) => stdin.end(marshalled(request, bytes)),
        () => killGroup(child.pid),
      )
    else if (body === undefined || body instanceof Uint8Array) stdin.end(body)
    else body.pipe(stdin)
  }

  async #classic(call: Call): Promise<RuntimeAnswer> {
    const { spec, log, command } = this.#options
    const output = this.#collect(call, this.#isOn('combine_output', true))
    const end = await this.#end(call)
    if (call.expired === 'exec') {
      log.watchdog(`Killing process: ${spec.envProcess || command.join(' ')}`)
      return textAnswer(408, call.startedAt, 'Killed process.\n')
    }
    if (call.isCut) return textAnswer(400, call.startedAt, 'the body of the request did not arrive\n')
    const bytes = Buffer.concat(output)
    if (end !== 'exit status 0') return textAnswer(500, call.startedAt, `${end}\n`, bytes)
    const duration = secondsSince(call.startedAt)
    if (this.#isOn('write_debug', false)) {
      for (const line of bytes.toString('utf8').split('\n')) log.output(line)
      log.watchdog(`Duration: ${duration}s`)
    } else log.watchdog(`Wrote ${bytes.byteLength} Bytes - Duration: ${duration}s`)
    const contentType = spec.envVars['content_type'] || headerOf(call.request.headers, 'content-type')
    const type = contentType === undefined || contentType === '' ? [] : ['Content-Type', contentType]
    const headers = [...type, 'X-Duration-Seconds', duration]
    if (this.#isOn('debug_headers', false)) this.#debugHeaders('out', headers)
    return { status: 200, headers, body: bytes }
  }

  async #serialize(call: Call): Promise<RuntimeAnswer> {
    const output = this.#collect(call, false)
    const end = await this.#end(call)
    const headers = ['Content-Type', this.#contentType, ...durationHeader(call.startedAt)]
    this.#options.log.watchdog(`Took ${secondsSince(call.startedAt)} secs`)
    if (end !== 'exit status 0') return { status: 500, headers, body: Buffer.from(end) }
    return { status: 200, headers, body: Buffer.concat(output) }
  }

  /** The status is out with the first byte; what happens later can only break the body. */
  async #stream(call: Call): Promise<RuntimeAnswer> {
    const { stdout } = call
    this.#logStderr(call)
    const chunks = stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    const first = await chunks.next()
    if (first.done === true) {
      await this.#end(call)
      this.#accessLine(call, 0)
      return { status: 200, headers: ['Content-Type', this.#contentType], body: Buffer.alloc(0) }
    }
    const body = Readable.from(this.#rest(call, first.value, chunks), { objectMode: false, highWaterMark: 64 * 1024 })
    body.once('close', () => killGroup(call.child.pid))
    return { status: 200, headers: ['Content-Type', this.#contentType], body }
  }

  async *#rest(call: Call, first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
    let bytes = 0
    for (let chunk = first; ;) {
      bytes += chunk.byteLength
      yield chunk
      const next = await chunks.next()
      if (next.done === true) break
      chunk = next.value
    }
    const end = await this.#end(call)
    this.#accessLine(call, bytes)
    // An exit is the function's own word that it is done, whatever its status; a signal is not.
    if (end.startsWith('signal')) throw new Error(`the process ended with ${end}`)
  }

  #accessLine({ request, startedAt }: Call, bytes: number): void {
    const took = Number(secondsSince(startedAt)).toFixed(4)
    this.#options.log.watchdog(
      `${request.method} ${request.path} - 200 - ContentLength: ${humanSize(bytes)} (${took}s)`,
    )
  }

  /** @throws RuntimeFailure where there is nothing to answer */
  async #end(call: Call): Promise<string> {
    const end = await call.ended
    if (call.tooLong) throw new RuntimeFailure('unreachable', `more than ${OUTPUT_BYTES_MAX} bytes of output`)
    if (call.expired === 'gateway') throw new RuntimeFailure('timeout', 'no answer in time')
    if (call.expired === 'write') throw new RuntimeFailure('unreachable', 'no answer within its write_timeout')
    return end
  }

  #collect(call: Call, combined: boolean): Buffer[] {
    const chunks: Buffer[] = []
    let bytes = 0
    const keep = (chunk: Buffer): void => {
      bytes += chunk.byteLength
      if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk)
      else if (!call.tooLong) {
        call.tooLong = true
        killGroup(call.child.pid)
      }
    }
    call.stdout.on('data', keep)
    if (combined) call.stderr.on('data', keep)
    else this.#logStderr(call)
    return chunks
  }

  #logStderr({ stderr }: Call): void {
    const { spec, mode, log } = this.#options
    const prefix = mode !== 'classic' && this.#isOn('prefix_logs', true) ? 'stderr: ' : ''
    onLines(stderr, (line) => log.output(`${prefix}${line}`), { bufferSize: spec.envVars['log_buffer_size'] })
  }

  #isOn(name: string, fallback: boolean): boolean {
    return isOn(this.#options.spec.envVars, name, fallback)
  }

  /** Only where the function asks for it: they may hold what is nobody's business. */
  #debugHeaders(direction: 'in' | 'out', headers: readonly string[]): void {
    for (let index = 0; index < headers.length; index += 2)
      this.#options.log.watchdog(`[${direction}] ${canonical(headers[index] as string)}=[${headers[index + 1]}]`)
  }

  /** Of of-watchdog's modes. */
  get #contentType(): string {
    return this.#options.spec.envVars['content_type'] ?? 'application/octet-stream'
  }
}

/** @throws Error when it does not arrive whole, or is too long */
async function collect(body: RuntimeRequest['body']): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of (body ?? []) as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength
    if (bytes > OUTPUT_BYTES_MAX) throw new Error('too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function textAnswer(
  status: number,
  startedAt: number,
  text: string,
  output: Uint8Array = Buffer.alloc(0),
): RuntimeAnswer {
  const headers = ['Content-Type', 'text/plain; charset=utf-8', ...durationHeader(startedAt)]
  return { status, headers, body: Buffer.concat([Buffer.from(text), output]) }
}
