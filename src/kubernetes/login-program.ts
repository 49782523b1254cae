// Runs the program of a kubeconfig's `exec` user (client.authentication.k8s.io) and keeps what it gives until that ends.
// Knows no kubeconfig; called by kubeconfig.ts.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

import { HubError, isRecord, killGroup } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import type { AccessEnvironment } from './access.ts'

export interface Login {
  readonly token?: string
  /** PEM. */
  readonly cert?: string
  readonly key?: string
}

export interface LoginProgramOptions {
  /** `exec` of the user, as the kubeconfig has it. */
  readonly exec: Readonly<Record<string, unknown>>
  readonly env: AccessEnvironment
  readonly clock: Clock
  /** For errors: `context a of the kubeconfig`. */
  readonly of: string
  /** Ends what runs. */
  readonly signal?: AbortSignal | undefined
}

/** It may ask a person, in a window of its own. */
const RUN_MS = 60_000
/** A credential is some thousand bytes. */
const OUTPUT_BYTES = 1024 * 1024

export class LoginProgram {
  readonly #options: LoginProgramOptions
  #login: Login | undefined
  #untilMs = Number.POSITIVE_INFINITY

  constructor(options: LoginProgramOptions) {
    this.#options = options
  }

  /** @throws HubError HUB_KUBERNETES_UNAUTHORIZED when it gives none within a minute; it is killed then, and by the signal */
  async get(): Promise<Login> {
    if (this.#login !== undefined && this.#options.clock.now() < this.#untilMs) return this.#login
    const output = await this.#run()
    const { status } = parsed(output) ?? {}
    const read = (key: string): string | undefined => {
      const value = isRecord(status) ? status[key] : undefined
      return typeof value === 'string' && value !== '' ? value : undefined
    }
    const [token, cert, key] = [read('token'), read('clientCertificateData'), read('clientKeyData')]
    if (token === undefined && (cert === undefined || key === undefined)) throw this.#failed('what it wrote is no ExecCredential with a token or a certificate') // prettier-ignore
    this.#login = {
      ...(token === undefined ? {} : { token }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    }
    const ends = Date.parse(read('expirationTimestamp') ?? '')
    this.#untilMs = Number.isNaN(ends) ? Number.POSITIVE_INFINITY : ends
    return this.#login
  }

  /** What it writes to stdout. What it writes to stderr may be a token, and is nobody's. */
  async #run(): Promise<string> {
    const { signal } = this.#options
    signal?.throwIfAborted()
    const ended = Promise.withResolvers<string>()
    const abort = (): void => ended.reject(signal?.reason as Error)
    signal?.addEventListener('abort', abort, { once: true })
    const { child, stop } = this.#start((why) => ended.reject(this.#failed(why)))
    const chunks: Buffer[] = []
    let bytes = 0
    child.stdout?.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > OUTPUT_BYTES) ended.reject(this.#failed('it wrote more than 1 MiB'))
    })
    child.once('error', (error: NodeJS.ErrnoException) => ended.reject(this.#failed(error.code === 'ENOENT' ? 'it is not there, nor on the PATH' : `it could not be started (${error.code})`))) // prettier-ignore
    child.once('close', (status, by) => {
      if (status === 0) ended.resolve(Buffer.concat(chunks).toString())
      else ended.reject(this.#failed(by === null ? `it ended with status ${status}` : `it was ended by ${by}`))
    })
    try {
      return await ended.promise
    } finally {
      signal?.removeEventListener('abort', abort)
      stop()
    }
  }

  /** In a process group of its own, so that what it has started ends with it: when it takes too long, and when we end. */
  #start(fail: (why: string) => void): { readonly child: ChildProcess; readonly stop: () => void } {
    const { exec, env, clock } = this.#options
    const args = Array.isArray(exec['args']) ? exec['args'].map(String) : []
    const spec = { kind: 'ExecCredential', apiVersion: exec['apiVersion'], spec: { interactive: false } }
    const named = Array.isArray(exec['env']) ? exec['env'].filter(isRecord).map(({ name, value }) => [String(name), String(value)] as const) : [] // prettier-ignore
    const child = spawn(this.#command, args, {
      // Nobody is there to answer what it asks.
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
      env: { ...env, KUBERNETES_EXEC_INFO: JSON.stringify(spec), ...Object.fromEntries(named) },
    })
    const end = (): void => {
      child.stdout?.destroy()
      killGroup(child.pid)
    }
    const timer = clock.after(RUN_MS, () => fail(`it gave none within ${RUN_MS / 1000} s and was killed`))
    process.once('exit', end)
    const stop = (): void => {
      timer.cancel()
      process.removeListener('exit', end)
      end()
    }
    return { child, stop }
  }

  get #command(): string {
    const { command } = this.#options.exec
    if (typeof command === 'string' && command !== '') return command
    throw new HubError('HUB_CONFIG_INVALID', `${this.#options.of}: its user names no exec.command`, {
      hint: 'Correct the user of the kubeconfig.',
    })
  }

  #failed(why: string): HubError {
    return new HubError('HUB_KUBERNETES_UNAUTHORIZED', `${this.#options.of} gives no credentials by running ${this.#command}: ${why}`, {
      canRetry: true,
      hint: 'See whether kubectl works with this context and without a terminal, and log in again where it does not.',
    }) // prettier-ignore
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}
