// One call's process: started for it, fed with its body, ended by its limits or when the caller leaves.

import type { ChildProcess } from 'node:child_process'
import { Readable } from 'node:stream'
import type { Writable } from 'node:stream'

import { killGroup } from '../../sdk/index.ts'
import { limitReading } from './forward.ts'
import { marshalled } from './http-environment.ts'
import { endOf } from './process-end.ts'
import { spawnGroup, spawnProblem } from './process-group.ts'
import type { Reaper } from './reaper.ts'
import { RuntimeFailure, wholeOf } from './runtime.ts'
import type { RuntimeRequest } from './runtime.ts'
import { firstLimit } from './watchdog.ts'
import type { Expiry, Limits } from './watchdog.ts'

/** What is collected is bounded: an answer, and a body that must be whole before it is passed on. */
const BYTES_MAX = 128 * 1024 * 1024

export interface ProcessCallOptions {
  readonly request: RuntimeRequest
  readonly command: readonly string[]
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly limits: Limits
  /** Its stdin is the body, or headers and body as JSON. */
  readonly isMarshalled: boolean
  readonly reaper: Reaper
  /** A limit has passed, and the process has been killed. */
  readonly onLimit: (ms: number) => void
}

export class ProcessCall {
  readonly child: ChildProcess
  readonly stdout: Readable
  readonly stderr: Readable
  readonly request: RuntimeRequest
  readonly startedAt = performance.now()
  readonly #options: ProcessCallOptions
  readonly #ended: Promise<string>
  #expired: Expiry | undefined
  #isTooLong = false
  #isCut = false

  /** Starts it. @throws RuntimeFailure */
  constructor(options: ProcessCallOptions) {
    const { request, command, directory, env, reaper } = options
    this.#options = options
    this.request = request
    this.child = spawnGroup({ command, directory, env, stdio: ['pipe', 'pipe', 'pipe'], reaper, until: 'close' })
    const { stdin, stdout, stderr } = this.child as ChildProcess & {
      stdin: Writable
      stdout: Readable
      stderr: Readable
    }
    this.stdout = stdout
    this.stderr = stderr
    this.#ended = endOf(this.child, (error) => spawnProblem(error, command, directory))
    this.#limit()
    this.#feed(stdin)
  }

  /** The limit that passed. */
  get expired(): Expiry | undefined {
    return this.#expired
  }

  /** The body of the request did not arrive. */
  get isCut(): boolean {
    return this.#isCut
  }

  kill(): void {
    const { pid, exitCode, signalCode } = this.child
    // The number of one that has ended may be another's.
    if (exitCode === null && signalCode === null) killGroup(pid)
  }

  /**
   * Once its output has ended: `exit status 0`, or what else became of it.
   * @throws RuntimeFailure where there is nothing to answer
   */
  async end(): Promise<string> {
    const end = await this.#ended
    if (this.#isTooLong) throw new RuntimeFailure('unreachable', `more than ${BYTES_MAX} bytes of output`)
    if (this.#expired === 'gateway')
      throw new RuntimeFailure('timeout', `no answer within the gateway's ${this.request.timeoutMs} ms`)
    if (this.#expired === 'write') throw new RuntimeFailure('unreachable', 'no answer within its write_timeout')
    return end
  }

  /** What it prints, complete after its end. */
  collect(streams: readonly Readable[]): readonly Buffer[] {
    const chunks: Buffer[] = []
    let bytes = 0
    const keep = (chunk: Buffer): void => {
      bytes += chunk.byteLength
      if (bytes <= BYTES_MAX) chunks.push(chunk)
      else if (!this.#isTooLong) {
        this.#isTooLong = true
        killGroup(this.child.pid)
      }
    }
    for (const stream of streams) stream.on('data', keep)
    return chunks
  }

  /** Its whole group: what it started may live on when it has ended, and hold its output open. */
  #limit(): void {
    const { request, limits, onLimit } = this.#options
    const { pid } = this.child
    const limit = firstLimit(limits, request)
    const timer = setTimeout(() => {
      this.#expired = limit.what
      onLimit(limit.ms)
      killGroup(pid)
    }, limit.ms)
    const leave = (): void => killGroup(pid)
    request.signal.addEventListener('abort', leave, { once: true })
    if (request.signal.aborted) leave()
    const over = (): void => {
      clearTimeout(timer)
      request.signal.removeEventListener('abort', leave)
      if (request.body instanceof Readable) request.body.destroy()
    }
    this.#ended.then(over, over)
  }

  #feed(stdin: Writable): void {
    const { request, limits, isMarshalled } = this.#options
    const { body } = request
    // A process that does not read its stdin is fine.
    stdin.on('error', () => {})
    // What is sent too slowly, or not to its end, is not what the function should work on.
    const cut = (): void => {
      this.#isCut = true
      killGroup(this.child.pid)
    }
    if (body instanceof Readable) body.once('error', cut)
    limitReading(request, limits.readMs)
    if (isMarshalled) void wholeOf(body, BYTES_MAX).then((bytes) => stdin.end(marshalled(request, bytes)), cut)
    else if (body === undefined || body instanceof Uint8Array) stdin.end(body)
    else body.pipe(stdin)
  }
}
