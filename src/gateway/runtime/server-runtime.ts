// How a server of the user's own is run behind of-watchdog's mode http: started with the function, restarted by itself, told
// in its environment where to listen, ready once it answers.

import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { ChildProcess } from 'node:child_process'

import { Pool } from 'undici'

import type { RuntimeSpec } from '../function-spec.ts'
import { functionPool } from './function-pool.ts'
import { HttpFunction } from './http-function.ts'
import type { Launch } from './http-function.ts'
import { localPort } from './local-port.ts'
import type { LocalPort } from './local-port.ts'
import { spawnGroup, spawnProblem, wordsOf } from './process-group.ts'
import { RuntimeFailure, functionEnvironment } from './runtime.ts'
import type { FunctionRuntime } from './runtime.ts'
import type { StartOptions } from './start.ts'
import { pathBelow } from './upstream-path.ts'
import { OF_WATCHDOG_LIMITS } from './watchdog.ts'

type ServerSpec = Extract<RuntimeSpec, { kind: 'server' }>

const START_TIMEOUT_MS = 60_000
const PROBE_INTERVAL_MS = 25
const PROBE_TIMEOUT_MS = 1000
/** A server may break a connection and live on. */
const EXIT_WAIT_MS = 250
const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]', '0.0.0.0'])

export function serverRuntime(options: StartOptions, runtime: ServerSpec): FunctionRuntime {
  return new HttpFunction({
    spec: options.spec,
    log: options.log,
    limits: OF_WATCHDOG_LIMITS,
    prefixLogs: true,
    isEager: true,
    exitWaitMs: EXIT_WAIT_MS,
    launch: () => launch(options, runtime),
  })
}

async function launch(options: StartOptions, runtime: ServerSpec): Promise<Launch> {
  const { spec, reaper, secretsDirectory } = options
  const { url, port } = await addressOf(options, runtime)
  const command = wordsOf(runtime.command)
  const told = port === undefined ? {} : { PORT: `${port.port}`, port: `${port.port}`, upstream_url: url.href, http_upstream_url: url.href } // prettier-ignore
  let child: ChildProcess
  try {
    child = spawnGroup({
      command,
      directory: runtime.directory,
      env: { ...functionEnvironment(spec, secretsDirectory), ...told },
      stdio: ['ignore', 'pipe', 'pipe'],
      reaper,
      until: 'exit',
    })
  } catch (error) {
    port?.[Symbol.dispose]()
    throw error
  }
  const dispatcher = functionPool(url.origin, { allowH2: false })
  return {
    child,
    serving: untilItAnswers(child, dispatcher, url, spec.envVars['ready_path'] ?? ''),
    dispatcher,
    pathOf: pathBelow(url),
    problem: (error) => spawnProblem(error, command, runtime.directory),
    cleanUp: () => port?.[Symbol.dispose](),
  }
}

/** Where this start of the server listens; a port only where it is ours to give. */
async function addressOf(
  { log }: StartOptions,
  runtime: ServerSpec,
): Promise<{ readonly url: URL; readonly port: LocalPort | undefined }> {
  const url = new URL(runtime.url)
  if (!LOCAL.has(url.hostname)) return { url, port: undefined }
  const wanted = Number(url.port)
  const port = await localPort(url.hostname.replaceAll(/[[\]]/g, ''), wanted)
  if (wanted !== 0 && port.port !== wanted)
    log.lifecycle(`port ${wanted} is taken: told by PORT to listen at ${port.port}`)
  url.port = String(port.port)
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  return { url, port }
}

/** Rejects when it takes too long. Settles no more once the process has ended: that is heard elsewhere. */
async function untilItAnswers(child: ChildProcess, pool: Pool, url: URL, readyPath: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  const isThere = (): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  while (isThere() && performance.now() < deadline) {
    if (readyPath === '' ? await accepts(url) : await isReady(pool, readyPath)) return
    await wait(PROBE_INTERVAL_MS, undefined, { ref: false })
  }
  throw new RuntimeFailure('unreachable', `it does not answer at ${url.origin}${readyPath}`)
}

function accepts(url: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    const socket = connect({ host: url.hostname.replaceAll(/[[\]]/g, ''), port, timeout: PROBE_TIMEOUT_MS })
    const end = (accepted: boolean): void => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

async function isReady(pool: Pool, path: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
    const { statusCode, body } = await pool.request({
      method: 'GET',
      path: path.startsWith('/') ? path : `/${path}`,
      signal,
    })
    await body.dump()
    return statusCode >= 200 && statusCode < 300
  } catch {
    return false
  }
}
