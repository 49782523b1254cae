// A real Mosquitto on a free port with its own data. Taken from HUB_TEST_MOSQUITTO_URL, the PATH, or installed from
// Debian's packages where we are root.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'

import { findExecutable, freePort, startProcess } from './process.ts'
import type { ServerProcess } from './process.ts'

/** The reason is the message. */
export class MosquittoUnavailable extends Error {}

export interface MosquittoOptions {
  readonly credentials?: { readonly username: string; readonly password: string }
  /** A TLS listener beside the plain one, with files of `createCertificates`. */
  readonly tls?: {
    readonly caFile: string
    readonly certFile: string
    readonly keyFile: string
    readonly requireClient: boolean
  }
  readonly webSockets?: boolean
}

export interface MosquittoServer extends AsyncDisposable {
  readonly version: string
  readonly url: string
  readonly tlsUrl: string | undefined
  readonly wsUrl: string | undefined
  /** SIGKILL: connections reset, what was not yet saved is gone. */
  kill(): Promise<void>
  /** SIGTERM: saves its database first. */
  stop(): Promise<void>
  /** At the same ports with the same data; resolves once it answers CONNECT. */
  start(): Promise<void>
}

/** @throws MosquittoUnavailable */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<MosquittoServer> {
  const binary = installed()
  const version = versionOf(binary)
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

function configuration(
  { credentials, tls }: MosquittoOptions,
  folder: string,
  port: number,
  tlsPort: number | undefined,
  wsPort: number | undefined,
): string {
  const lines = [
    'per_listener_settings false',
    'persistence true',
    `persistence_location ${folder}/`,
    'autosave_interval 1',
    'autosave_on_changes true',
    'log_dest stderr',
    'max_queued_messages 0',
    'max_inflight_messages 0',
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
      `listener ${tlsPort}`,
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

/** @throws MosquittoUnavailable */
function installed(): string {
  const found = findExecutable('mosquitto')
  if (found !== undefined) return found
  if (process.getuid?.() !== 0 || findExecutable('apt-get') === undefined)
    throw new MosquittoUnavailable(
      'no mosquitto on the PATH, and not root on a Debian system to install it; install the package mosquitto',
    )
  withLock('mosquitto', () => {
    if (findExecutable('mosquitto') === undefined) install('mosquitto')
  })
  const now = findExecutable('mosquitto')
  if (now === undefined) throw new MosquittoUnavailable('the package mosquitto could not be installed with apt-get')
  return now
}

const POLICY = '/usr/sbin/policy-rc.d'

function install(name: string): void {
  console.log(`test servers: installing the package ${name}`)
  // Debian starts a service as it is installed unless this file says no.
  const ours = !existsSync(POLICY)
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const options = { stdio: 'ignore' as const, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
    const args = [
      'install',
      '-y',
      '--no-install-recommends',
      '-o',
      'Dpkg::Options::=--force-unsafe-io',
      '-o',
      'DPkg::Lock::Timeout=120',
      name,
    ]
    try {
      execFileSync('apt-get', args, options)
    } catch {
      execFileSync('apt-get', ['update', '-q'], options)
      execFileSync('apt-get', args, options)
    }
  } catch {
    // The caller looks for the binary and says what is missing.
  } finally {
    if (ours) rmSync(POLICY, { force: true })
  }
}

const LOCK_MS = 180_000

/** One installer at a time, over parallel test workers. */
function withLock(name: string, work: () => void): void {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'connector-hub', 'servers')
  mkdirSync(folder, { recursive: true })
  const lock = join(folder, `${name}.lock`)
  const until = Date.now() + LOCK_MS
  for (;;) {
    try {
      mkdirSync(lock)
      break
    } catch {
      // Whoever held it that long is dead.
      if (Date.now() > until) break
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250)
    }
  }
  try {
    work()
  } finally {
    rmdirSync(lock)
  }
}
