// What runs a function: the narrow seam between the routes and every kind of runtime.

import type { Duplex, Readable } from 'node:stream'

import { readWithin } from '../../sdk/index.ts'
import type { FunctionSpec } from '../function-spec.ts'

export interface RuntimeRequest {
  readonly method: string
  /** As the function sees it, query included: `/v1?a=1`. */
  readonly path: string
  /** Flat name, value list, hop-by-hop headers already removed. */
  readonly headers: readonly string[]
  /** Undefined: there is none. Bytes: all of it, where it came with the head. The runtime destroys a stream when it will read no more. */
  readonly body: Readable | Uint8Array | undefined
  /** The caller asks to change to this protocol; a runtime that cannot answers as if it did not. */
  readonly upgrade?: string | undefined
  /** Asks how it is, and is no line in the log. */
  readonly isProbe?: boolean
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
  /** Of status 101: what speaks the other protocol from here on. The caller's to end. */
  readonly socket?: Duplex
}

/**
 * `unreachable`: the process is not there or went away. `timeout`: it did not answer in the time of the request. `unready`: it
 * says itself that it takes no calls.
 */
export class RuntimeFailure extends Error {
  readonly kind: 'unreachable' | 'timeout' | 'unready'

  constructor(kind: RuntimeFailure['kind'], message: string) {
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
  /** Starts what a first call would have to wait for. False when it cannot; why shows in the log, and at the call. Never rejects. */
  warm(): Promise<boolean>
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

/** The body of a request in one piece, empty where there is none. @throws Error when it does not arrive whole, or is longer */
export async function wholeOf(body: RuntimeRequest['body'], bytesMax: number): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  if (body === undefined) return Buffer.alloc(0)
  const whole = await readWithin(body as AsyncIterable<Buffer>, bytesMax)
  if (whole === undefined) throw new Error(`more than ${bytesMax} bytes`)
  return whole
}
