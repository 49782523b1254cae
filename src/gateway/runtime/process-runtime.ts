// One process per call over stdin and stdout, as OpenFaaS's watchdogs run it: the classic one, and of-watchdog's modes
// serializing (both collected) and streaming (both piped live).

import { Readable } from 'node:stream'

import { formatDuration, killGroup } from '../../sdk/index.ts'
import { canonicalName, headerOf } from '../headers.ts'
import type { FunctionSpec } from '../function-spec.ts'
import { classicEnvironment, httpEnvironment } from './http-environment.ts'
import { ProcessCall } from './process-call.ts'
import { onLines } from './process-group.ts'
import type { Reaper } from './reaper.ts'
import type { FunctionRuntime, InstanceLog, RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import {
  CLASSIC_LIMITS,
  OF_WATCHDOG_LIMITS,
  durationHeader,
  humanSize,
  isOn,
  limitsOf,
  secondsSince,
} from './watchdog.ts'
import type { Limits } from './watchdog.ts'

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

export class ProcessRuntime implements FunctionRuntime {
  readonly ready = true
  readonly #options: ProcessRuntimeOptions
  readonly #limits: Limits
  readonly #calls = new Set<ProcessCall>()

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options
    this.#limits = limitsOf(options.spec.envVars, options.mode === 'classic' ? CLASSIC_LIMITS : OF_WATCHDOG_LIMITS)
  }

  get pids(): readonly number[] {
    return Array.from(this.#calls, ({ child }) => child.pid).filter((pid) => pid !== undefined)
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
    for (const { child } of this.#calls) killGroup(child.pid)
  }

  #start(request: RuntimeRequest): ProcessCall {
    const { command, directory, mode, env, reaper, log } = this.#options
    const isClassic = mode === 'classic'
    const describe = isClassic ? classicEnvironment : httpEnvironment
    const http = this.#isOn('cgi_headers', true) ? describe(request) : {}
    if (isClassic && this.#isOn('debug_headers', false)) this.#debugHeaders('in', request.headers)
    log.watchdog(isClassic ? 'Forking fprocess.' : `Running ${command[0] ?? ''}`)
    const call = new ProcessCall({
      request,
      command,
      directory,
      env: { ...env, ...http },
      limits: this.#limits,
      isMarshalled: isClassic && this.#isOn('marshal_request', false),
      reaper,
      onLimit: (ms) => log.lifecycle(`killed after ${formatDuration(ms)}`),
    })
    this.#calls.add(call)
    const over = (): boolean => this.#calls.delete(call)
    call.end().then(over, over)
    return call
  }

  async #classic(call: ProcessCall): Promise<RuntimeAnswer> {
    const { spec, log, command } = this.#options
    const isCombined = this.#isOn('combine_output', true)
    const output = call.collect(isCombined ? [call.stdout, call.stderr] : [call.stdout])
    if (!isCombined) this.#logStderr(call)
    const end = await call.end()
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

  async #serialize(call: ProcessCall): Promise<RuntimeAnswer> {
    const output = call.collect([call.stdout])
    this.#logStderr(call)
    const end = await call.end()
    const headers = ['Content-Type', this.#contentType, ...durationHeader(call.startedAt)]
    this.#options.log.watchdog(`Took ${secondsSince(call.startedAt)} secs`)
    if (end !== 'exit status 0') return { status: 500, headers, body: Buffer.from(end) }
    return { status: 200, headers, body: Buffer.concat(output) }
  }

  /** The status is out with the first byte; what happens later can only break the body. */
  async #stream(call: ProcessCall): Promise<RuntimeAnswer> {
    const { stdout } = call
    this.#logStderr(call)
    const chunks = stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    const first = await chunks.next()
    if (first.done === true) {
      await call.end()
      this.#accessLine(call, 0)
      return { status: 200, headers: ['Content-Type', this.#contentType], body: Buffer.alloc(0) }
    }
    const body = Readable.from(this.#rest(call, first.value, chunks), { objectMode: false, highWaterMark: 64 * 1024 })
    body.once('close', () => call.kill())
    return { status: 200, headers: ['Content-Type', this.#contentType], body }
  }

  async *#rest(call: ProcessCall, first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
    let bytes = 0
    for (let chunk = first; ;) {
      bytes += chunk.byteLength
      yield chunk
      const next = await chunks.next()
      if (next.done === true) break
      chunk = next.value
    }
    const end = await call.end()
    this.#accessLine(call, bytes)
    // An exit is the function's own word that it is done, whatever its status; a signal is not.
    if (end.startsWith('signal')) throw new Error(`the process ended with ${end}`)
  }

  #accessLine({ request, startedAt }: ProcessCall, bytes: number): void {
    const took = Number(secondsSince(startedAt)).toFixed(4)
    this.#options.log.watchdog(
      `${request.method} ${request.path} - 200 - ContentLength: ${humanSize(bytes)} (${took}s)`,
    )
  }

  #logStderr({ stderr }: ProcessCall): void {
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
      this.#options.log.watchdog(`[${direction}] ${canonicalName(headers[index] as string)}=[${headers[index + 1]}]`)
  }

  /** Of of-watchdog's modes. */
  get #contentType(): string {
    return this.#options.spec.envVars['content_type'] ?? 'application/octet-stream'
  }
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
