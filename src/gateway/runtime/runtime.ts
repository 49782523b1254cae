// What runs a function: the narrow seam between the routes and a Node process, a process per call, and what may come.

import type { Readable } from 'node:stream'

import { parseDuration } from '../../sdk/index.ts'
import type { FunctionSpec } from '../function-spec.ts'

export interface RuntimeRequest {
  readonly method: string
  /** As the function sees it, query included: `/v1?a=1`. */
  readonly path: string
  /** Flat name, value list, hop-by-hop headers already removed. */
  readonly headers: readonly string[]
  /** Undefined: there is none. The runtime destroys it when it will read no more. */
  readonly body: Readable | undefined
  readonly timeoutMs: number
  /** Aborted when the caller leaves. */
  readonly signal: AbortSignal
}

export interface RuntimeAnswer {
  readonly status: number
  /** Flat name, value list. */
  readonly headers: readonly string[]
  /** A stream must be read to its end or destroyed. */
  readonly body: Readable | Uint8Array
}

/** `unreachable`: the process is not there or went away. `timeout`: it did not answer in the time of the request. */
export class RuntimeFailure extends Error {
  readonly kind: 'unreachable' | 'timeout'

  constructor(kind: 'unreachable' | 'timeout', message: string) {
    super(message)
    this.kind = kind
  }
}

/** One deployed function. */
export interface FunctionRuntime extends AsyncDisposable {
  /** A call would be tried now. What starts with its first call is ready until a start fails, for as long as it backs off. */
  readonly ready: boolean
  /** Leaders of the process groups that run now; absent where a function has no process here. */
  readonly pids?: readonly number[]
  /** @throws RuntimeFailure */
  call(request: RuntimeRequest): Promise<RuntimeAnswer>
  /** Starts what a first call would have to wait for. Never rejects; a failure shows in the log and at the call. */
  warm(): Promise<void>
}

/** Where a replica's lines go. */
export interface InstanceLog {
  /** A line the function printed. */
  output(line: string): void
  /** Started, crashed, timed out. */
  lifecycle(line: string): void
  /** What the watchdogs of OpenFaaS write about each call. */
  watchdog(line: string): void
}

/**
 * Only what a function needs: never the gateway's own secrets.
 * @param secretsDirectory of this function's secrets; undefined where it has none
 */
export function functionEnvironment(spec: FunctionSpec, secretsDirectory?: string): Record<string, string> {
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/tmp', TMPDIR = '/tmp' } = process.env
  return {
    PATH,
    HOME,
    TMPDIR,
    ...spec.envVars,
    fprocess: spec.envProcess,
    OPENFAAS_NAME: spec.name,
    OPENFAAS_NAMESPACE: spec.namespace,
    ...(secretsDirectory === undefined ? {} : { secret_mount_path: secretsDirectory }),
  }
}

/** A watchdog's duration: Go's form, or a bare number of seconds. 0 where it is off, absent or unreadable. */
export function watchdogDurationMs(text: string | undefined): number {
  if (text === undefined) return 0
  return parseDuration(/^\d+$/.test(text) ? `${text}s` : text) ?? 0
}

/** `X-Duration-Seconds` as watchdogs write it. */
export function durationHeader(startedAt: number): readonly [string, string] {
  return ['X-Duration-Seconds', ((performance.now() - startedAt) / 1000).toFixed(6)]
}

/** The whole process group of a detached child: a shell's children too. */
export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left in it.
  }
}

const LINE_CHARS_MAX = 8192

/** Splits a stream into lines of bounded length; the rest of a longer one is left out. */
export function onLines(stream: Readable, line: (text: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = (parts.pop() ?? '').slice(0, LINE_CHARS_MAX)
    for (const part of parts) line(part.trimEnd().slice(0, LINE_CHARS_MAX))
  })
  stream.on('end', () => {
    if (rest !== '') line(rest)
  })
  // A killed child breaks its pipes; its exit is reported where it is watched.
  stream.on('error', () => {})
}
