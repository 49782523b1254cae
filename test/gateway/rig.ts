// A real gateway for a test, with the fixtures' functions, and a plain HTTP client that hides nothing.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { startGateway } from '../../src/gateway/gateway.ts'
import type { FunctionSpec, Gateway, GatewayLog, GatewayOptions } from '../../src/gateway/gateway.ts'
import { Images } from '../../src/gateway/images.ts'

export const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url))
export const NAMESPACE = 'openfaas-fn'

type SpecParts = Partial<Omit<FunctionSpec, 'name' | 'runtime'>>

/** A function of `fixtures/<folder>`. */
export function nodeFunction(name: string, folder: string, parts: SpecParts = {}): FunctionSpec {
  return { ...specOf(name, parts), runtime: { kind: 'node', handler: join(FIXTURES, folder) } }
}

/** A command run in `fixtures/processes`. */
export function processFunction(name: string, command: string, parts: SpecParts = {}): FunctionSpec {
  return {
    ...specOf(name, { envProcess: command, ...parts }),
    runtime: { kind: 'process', command, directory: join(FIXTURES, 'processes'), mode: 'classic' },
  }
}

function specOf(name: string, parts: SpecParts): Omit<FunctionSpec, 'runtime'> {
  return {
    name,
    namespace: NAMESPACE,
    image: `local/${name}:1`,
    envProcess: '',
    envVars: {},
    labels: {},
    annotations: {},
    secrets: [],
    constraints: [],
    limits: {},
    requests: {},
    readOnlyRootFilesystem: false,
    ...parts,
  }
}

export class RecordedLog implements GatewayLog {
  readonly requests: string[] = []
  readonly output: { readonly name: string; readonly line: string }[] = []
  readonly events: { readonly name: string; readonly line: string }[] = []

  request(line: string): void {
    this.requests.push(line)
  }

  access(line: string): void {
    this.requests.push(line)
  }

  functionOutput(name: string, line: string): void {
    this.output.push({ name, line })
  }

  lifecycle(name: string, line: string): void {
    this.events.push({ name, line })
  }
}

export interface Rig extends AsyncDisposable {
  readonly gateway: Gateway
  readonly log: RecordedLog
  readonly directory: string
  call(path: string, options?: CallOptions): Promise<Answer>
}

/** Starts a gateway on a free port with a state directory of its own and deploys `specs`. */
export async function startRig(
  specs: readonly FunctionSpec[],
  options: Partial<Omit<GatewayOptions, 'log' | 'namespace'>> = {},
): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'gateway-test-'))
  const log = new RecordedLog()
  const gateway = await startGateway({
    port: 0,
    stateDir: join(directory, 'state'),
    sharedSecretsDirectory: join(directory, 'shared-secrets'),
    images: new Images({ directory: FIXTURES }),
    ...options,
    namespace: NAMESPACE,
    log,
  })
  for (const spec of specs) await gateway.deploy(spec)
  return {
    gateway,
    log,
    directory,
    call: (path, callOptions) => call(gateway.address, path, callOptions),
    async [Symbol.asyncDispose]() {
      await gateway.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export interface CallOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  readonly text: string
}

/** Sends the path as it is written: nothing is normalised, nothing followed. Rejects when the answer breaks off. */
export async function call(address: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { body } = options
  const response = await open(address, path, {
    ...options,
    method: options.method ?? (body === undefined ? 'GET' : 'POST'),
  })
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  const all = Buffer.concat(chunks)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    rawHeaders: response.rawHeaders,
    body: all,
    text: all.toString('utf8'),
  }
}

/** As `call`, with the answer's body left to be read. */
export function open(address: string, path: string, options: CallOptions): Promise<IncomingMessage> {
  const { hostname, port } = new URL(address)
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      hostname,
      port,
      path,
      method: options.method ?? 'GET',
      headers: { ...lengthOf(options), ...(options.headers as Record<string, string | string[]> | undefined) },
      agent: false,
      signal: options.signal,
    })
    request.on('response', resolve)
    request.on('error', reject)
    request.end(options.body)
  })
}

/** Node states none for methods that rarely have a body, and sends that all the same. */
function lengthOf({ body, method, headers = {} }: CallOptions): Record<string, string> {
  if (body === undefined || method !== 'DELETE') return {}
  const isStated = Object.keys(headers).some((name) => /^(content-length|transfer-encoding)$/i.test(name))
  return isStated ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
}

/** Sends `one`, waits for it to come back, then `two`: the pieces of the answer of a function that echoes while it reads. */
export async function mirrored(address: string, path: string): Promise<readonly string[]> {
  const { hostname, port } = new URL(address)
  const request = httpRequest({ hostname, port, path, method: 'POST', agent: false })
  request.write('one')
  const chunks: string[] = []
  await new Promise<void>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      response.setEncoding('utf8').once('end', resolve)
      response.on('data', (chunk: string) => {
        chunks.push(chunk)
        if (chunks.length === 1) request.end('two')
      })
    })
  })
  return chunks
}

/** The status that answers a request whose body begins and goes no further. */
export async function unfinished(address: string, path: string): Promise<number | undefined> {
  const { hostname, port } = new URL(address)
  const request = httpRequest({ hostname, port, path, method: 'POST', agent: false })
  request.write('and then nothing')
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => resolve(response.resume().statusCode))
  })
  request.destroy()
  return status
}

const DEADLINE_MS = 60_000

/** Waits for a condition; fails, naming it, when it does not come true in time. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** False once the process is gone, or is only waiting for its parent to take notice. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch (error) {
    // Without /proc the signal alone tells.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && !existsSync('/proc/self')
  }
}
