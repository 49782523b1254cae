// A gateway in a process of its own, for tests that kill it: one of the programs *-process.ts, forked.

import { fork } from 'node:child_process'
import { once } from 'node:events'

export interface ForkedGateway extends AsyncDisposable {
  readonly address: string
  /** By SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
}

/** Resolves when it says its address. @param program its file in this folder. @throws Error when it ends before */
export async function forkGateway(program: string, args: readonly string[]): Promise<ForkedGateway> {
  const child = fork(new URL(program, import.meta.url), args, { execArgv: [] })
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
