// A function that runs elsewhere: calls are handed on to its URL. Follows no redirect, retries nothing.

import { Pool } from 'undici'

import { errorText } from '../../sdk/index.ts'
import { basicAuthorization, headerOf } from '../headers.ts'
import type { FunctionSpec, RuntimeSpec } from '../function-spec.ts'
import { forward } from './forward.ts'
import { functionPool } from './function-pool.ts'
import { RuntimeFailure } from './runtime.ts'
import type { FunctionRuntime, RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import { pathBelow } from './upstream-path.ts'
import { NO_LIMITS, limitsOf } from './watchdog.ts'
import type { Limits } from './watchdog.ts'

const CONNECT_TIMEOUT_MS = 10_000

export class UpstreamRuntime implements FunctionRuntime {
  /** Whether it is there, the next call shows. */
  readonly ready = true
  readonly #pool: Pool
  readonly #pathOf: (path: string) => string
  readonly #limits: Limits
  /** Of a URL with a user and a password. */
  readonly #authorization: string | undefined

  constructor(spec: FunctionSpec, { url: text }: Extract<RuntimeSpec, { kind: 'upstream' }>) {
    const url = new URL(text)
    this.#pool = functionPool(url.origin, { connectTimeout: CONNECT_TIMEOUT_MS, allowH2: false })
    this.#pathOf = pathBelow(url)
    this.#limits = limitsOf(spec.envVars, NO_LIMITS)
    this.#authorization = basicAuthorization(url)
  }

  async warm(): Promise<boolean> {
    return true
  }

  call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    return forward(request, {
      dispatcher: this.#pool,
      path: this.#pathOf(request.path),
      headers: this.#headersOf(request),
      limits: this.#limits,
      onBroken: (broken) => Promise.reject(new RuntimeFailure('unreachable', errorText(broken))),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy()
  }

  /** With the server's own name, by which it may choose the site and the certificate; X-Forwarded-Host has the caller's. */
  #headersOf({ headers }: RuntimeRequest): readonly string[] {
    const sent: string[] = []
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] as string
      if (name.length !== 4 || name.toLowerCase() !== 'host') sent.push(name, headers[index + 1] as string)
    }
    if (this.#authorization !== undefined && headerOf(headers, 'authorization') === undefined)
      sent.push('Authorization', this.#authorization)
    return sent
  }
}
