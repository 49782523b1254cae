// Starts a runner of ours, of whatever language: it serves a handler at a private socket and speaks over file descriptor 3.

import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'

import { ControlChannel } from './control-channel.ts'
import { functionPool } from './function-pool.ts'
import type { Launch } from './http-function.ts'
import { spawnGroup, spawnProblem } from './process-group.ts'
import { RuntimeFailure } from './runtime.ts'
import type { StartOptions } from './start.ts'

const START_TIMEOUT_MS = 15_000
/** A runner breaks no connection unless it ends. */
export const RUNNER_EXIT_WAIT_MS = 2000

/** The runner finds the path of its socket in `HUB_SOCKET`. @throws RuntimeFailure */
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
    dispatcher: functionPool('http://function', { socketPath }),
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
