// A real Mosquitto on a free port with its own data: the one of HUB_TEST_MOSQUITTO_URL where any will do, else that of the
// PATH, else installed from Debian's packages where we are root.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'

import { provideExecutable } from './debian-package.ts'
import { findExecutable, freePort, startProcess } from './process.ts'
import type { ServerProcess } from './process.ts'
import { isRequired, ServerUnavailable } from './provide.ts'
import type { Progress, Provided } from './provide.ts'

/** The reason is the message. Tests skip with it, unless `mosquittoRequired`. */
export class MosquittoUnavailable extends ServerUnavailable {}

export interface MosquittoOptions {
  /** Nothing is configured and nothing is stopped: the server of HUB_TEST_MOSQUITTO_URL will do. */
  readonly any?: boolean
  readonly credentials?: { readonly username: string; readonly password: string }
  /** A TLS listener beside the plain one, with files of `createCertificates`. */
  readonly tls?: {
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    readonly requireClient: boolean
  }
  readonly webSockets?: boolean
  /** Write every change to disk, so that `kill` loses little. Costs a whole copy each time; otherwise `stop` saves. */
  readonly saveChanges?: boolean
  /** More lines of the configuration file, for what is not of a listener. */
  readonly config?: readonly string[]
}

export interface MosquittoServer extends AsyncDisposable {
  readonly version: string
  readonly url: string
  /** Of the plain listener. */
  readonly port: number
  readonly tlsUrl: string | undefined
  readonly wsUrl: string | undefined
  /** SIGKILL: connections reset, what was not yet saved is gone. */
  kill(): Promise<void>
  /** SIGTERM: saves its database first. */
  stop(): Promise<void>
  /** At the same ports with the same data; resolves once it answers CONNECT. */
  start(): Promise<void>
}

/** HUB_TEST_REQUIRE lists it: then its absence is a failure and not a skip. */
export function mosquittoRequired(): boolean {
  return isRequired('mosquitto')
}

/**
 * Why there is none, for `context.skip`; undefined when there is one. Installs it where it may. With `mosquittoRequired` it
 * throws instead.
 * @throws MosquittoUnavailable
 */
export function noMosquitto(options: MosquittoOptions = {}): string | undefined {
  try {
    if (externalUrl(options) === undefined) provided()
    return undefined
  } catch (error) {
    if (!(error instanceof MosquittoUnavailable) || mosquittoRequired()) throw error
    return error.message
  }
}

/** @throws MosquittoUnavailable */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<MosquittoServer> {
  const external = externalUrl(options)
  if (external !== undefined) return externalServer(external)
  const { path: binary, version } = provided()
  const folder = mkdtempSync(join(tmpdir(), 'hub-mosquitto-'))
  const port = await freePort()
  const tlsPort = options.tls === undefined ? undefined : await freePort()
  const wsPort = options.webSockets === true ? await freePort() : undefined
  const config = join(folder, 'mosquitto.conf')
  writeFileSync(config, configuration(options, folder, port, tlsPort, wsPort))
  let running: ServerProcess | undefined
  const start = async (): Promise<void> => {
    running = startProcess(binary, ['-c', config])
    await answers(port, options, running)
  }
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    await running?.kill(signal)
    running = undefined
  }
  await start()
  return {
    version,
    url: `mqtt://127.0.0.1:${port}`,
    port,
    tlsUrl: tlsPort === undefined ? undefined : `mqtts://localhost:${tlsPort}`,
    wsUrl: wsPort === undefined ? undefined : `ws://127.0.0.1:${wsPort}`,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    start,
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** @throws MosquittoUnavailable when the given server is not what the test needs. */
function externalUrl({ any }: MosquittoOptions): string | undefined {
  const url = process.env['HUB_TEST_MOSQUITTO_URL']
  if (url === undefined || url === '') return undefined
  if (any !== true)
    throw new MosquittoUnavailable('the server of HUB_TEST_MOSQUITTO_URL is not ours to set up and stop')
  return url
}

function externalServer(url: string): MosquittoServer {
  const refuse = (): Promise<never> => Promise.reject(new MosquittoUnavailable('not ours to stop'))
  return {
    version: 'of HUB_TEST_MOSQUITTO_URL',
    url,
    port: Number(new URL(url).port || 1883),
    tlsUrl: undefined,
    wsUrl: undefined,
    kill: refuse,
    stop: refuse,
    start: refuse,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function configuration(
  { credentials, tls, saveChanges, config = [] }: MosquittoOptions,
  folder: string,
  port: number,
  tlsPort: number | undefined,
  wsPort: number | undefined,
): string {
  const lines = [
    'per_listener_settings false',
    'persistence true',
    `persistence_location ${folder}/`,
    ...(saveChanges === true ? ['autosave_interval 1', 'autosave_on_changes true'] : []),
    'log_dest stderr',
    'max_queued_messages 0',
    'max_inflight_messages 0',
    ...config,
  ]
  if (process.getuid?.() === 0) lines.push('user root')
  if (credentials === undefined) lines.push('allow_anonymous true')
  else {
    const file = join(folder, 'passwords')
    writeFileSync(file, '', { mode: 0o600 })
    execFileSync(
      findExecutable('mosquitto_passwd') ?? 'mosquitto_passwd',
      ['-b', file, credentials.username, credentials.password],
      { stdio: 'ignore' },
    )
    lines.push('allow_anonymous false', `password_file ${file}`)
  }
  lines.push(`listener ${port} 127.0.0.1`)
  if (tls !== undefined)
    lines.push(
      `listener ${tlsPort} localhost`,
      `cafile ${tls.caFile}`,
      `certfile ${tls.certFile}`,
      `keyfile ${tls.keyFile}`,
      `require_certificate ${tls.requireClient}`,
    )
  if (wsPort !== undefined) lines.push(`listener ${wsPort} 127.0.0.1`, 'protocol websockets')
  return `${lines.join('\n')}\n`
}

const READY_MS = 10_000

/** Ready is an answer to CONNECT, not a line in the log. */
async function answers(port: number, { credentials }: MosquittoOptions, server: ServerProcess): Promise<void> {
  const until = Date.now() + READY_MS
  for (;;) {
    try {
      const client = await connectAsync(
        `mqtt://127.0.0.1:${port}`,
        { ...credentials, reconnectPeriod: 0, connectTimeout: 2000 },
        false,
      )
      await client.endAsync(true)
      return
    } catch (error) {
      if (server.child.exitCode !== null || Date.now() > until)
        throw new Error(`mosquitto did not start: ${server.output()}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function versionOf(binary: string): string {
  try {
    return /version (\S+)/.exec(execFileSync(binary, ['-h'], { encoding: 'utf8' }))?.[1] ?? 'unknown'
  } catch (error) {
    // `mosquitto -h` prints its help and exits with 3.
    return /version (\S+)/.exec(String((error as { stdout?: string }).stdout))?.[1] ?? 'unknown'
  }
}

interface ProvidedMosquitto extends Provided {
  readonly path: string
}

let known: ProvidedMosquitto | MosquittoUnavailable | undefined

/**
 * What is there already, else the package. Blocks this process while it is installed.
 * @throws MosquittoUnavailable
 */
export async function setUpMosquitto(progress: Progress): Promise<Provided> {
  if (findExecutable('mosquitto') === undefined) progress('no mosquitto on the PATH')
  return await Promise.resolve(provided())
}

/** @throws MosquittoUnavailable */
function provided(): ProvidedMosquitto {
  known ??= provide()
  if (known instanceof MosquittoUnavailable) throw known
  return known
}

function provide(): ProvidedMosquitto | MosquittoUnavailable {
  const found = provideExecutable('mosquitto', 'mosquitto')
  if (found.path === undefined) return new MosquittoUnavailable(found.reason)
  const origin = found.installed ? 'Debian package, just installed' : found.path
  return { path: found.path, version: versionOf(found.path), origin }
}
