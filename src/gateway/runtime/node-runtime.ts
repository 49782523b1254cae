// How a Node handler is run: in a process of its own that loads it and serves it over a private socket.

import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { Pool } from 'undici'

import type { RuntimeSpec } from '../function-spec.ts'
import { ControlChannel } from './control-channel.ts'
import { CONNECTIONS_MAX, HEADER_BYTES_MAX, HttpFunction } from './http-function.ts'
import type { Launch } from './http-function.ts'
import { ProcessRuntime } from './process-runtime.ts'
import { spawnGroup, spawnProblem } from './process-group.ts'
import { RuntimeFailure, functionEnvironment } from './runtime.ts'
import type { FunctionRuntime } from './runtime.ts'
import type { StartOptions } from './start.ts'
import { NODE_TEMPLATE_LIMITS } from './watchdog.ts'

const START_TIMEOUT_MS = 15_000
/** A runner breaks no connection unless it ends. */
export const RUNNER_EXIT_WAIT_MS = 2000

/** Beside this file: `.ts` as it is developed, `.js` as it is published. */
function script(name: string): string {
  const suffix = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return fileURLToPath(new URL(`./${name}${suffix}`, import.meta.url))
}

export function nodeRuntime(options: StartOptions, runtime: Extract<RuntimeSpec, { kind: 'node' }>): FunctionRuntime {
  const { spec, secretsDirectory, log } = options
  const directory = runtime.handler
  const env = { ...functionEnvironment(spec, secretsDirectory), HUB_HANDLER: directory }
  if (runtime.classic === true)
    return new ProcessRuntime({
      ...options,
      env,
      command: [process.execPath, script('node-classic')],
      directory,
      mode: 'classic',
    })
  return new HttpFunction({
    spec,
    log,
    limits: NODE_TEMPLATE_LIMITS,
    prefixLogs: false,
    isEager: false,
    exitWaitMs: RUNNER_EXIT_WAIT_MS,
    launch: () => launchRunner(options, { command: [process.execPath, script('node-runner')], directory, env }),
  })
}

/** A runner of ours: it serves the handler at `HUB_SOCKET` and speaks over file descriptor 3. */
export async function launchRunner(
  { socketDirectory, reaper }: Pick<StartOptions, 'socketDirectory' | 'reaper'>,
  { command, directory, env }: { command: readonly string[]; directory: string; env: Readonly<Record<string, string>> },
): Promise<Launch> {
  const socketPath = join(socketDirectory, `${randomUUID().slice(0, 13)}.sock`)
  const child = spawnGroup({
    command,
    directory,
    env: { ...env, HUB_SOCKET: socketPath },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    reaper,
    until: 'exit',
  })
  const channel = new ControlChannel(child.stdio[3] as Duplex)
  return {
    child,
    serving: inTime(channel.ready),
    dispatcher: new Pool('http://function', {
      socketPath,
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: HEADER_BYTES_MAX,
    }),
    pathOf: (path) => path,
    ping: (timeoutMs) => channel.ping(timeoutMs),
    problem: (error) => spawnProblem(error, command, directory),
    cleanUp: () => rmSync(socketPath, { force: true }),
  }
}

function inTime(ready: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new RuntimeFailure('unreachable', 'the handler did not load in time')),
      START_TIMEOUT_MS,
    )
    timer.unref()
    void ready.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
