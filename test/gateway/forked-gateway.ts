// A gateway in a process of its own, for tests that kill it: one of the programs *-process.ts, forked.

import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface ForkedGateway extends AsyncDisposable {
  readonly address: string
  /** By SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
}

/**
 * Resolves when it says its address. @throws Error when it ends before
 * @param program its file in this folder
 * @param filesMax that it may have open at once
 */
export async function forkGateway(program: string, args: readonly string[], filesMax?: number): Promise<ForkedGateway> {
  const file = new URL(program, import.meta.url)
  const child = filesMax === undefined ? fork(file, args, { execArgv: [] }) : forkLimited(file, args, filesMax)
  const exited = once(child, 'exit')
  const address = await Promise.race([
    once(child, 'message').then(([message]) => message as string),
    exited.then(([code]) => Promise.reject(new Error(`the gateway did not start: ${code}`))),
  ])
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  return { address, kill, [Symbol.asyncDispose]: kill }
}

function forkLimited(file: URL, args: readonly string[], filesMax: number): ChildProcess {
  const command = ['-c', `ulimit -n ${filesMax} && exec "$@"`, 'sh', process.execPath, fileURLToPath(file), ...args]
  return spawn('/bin/sh', command, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
}
