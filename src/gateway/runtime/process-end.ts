// How a process ended, in the words of OpenFaaS's watchdogs, which are those of Go.

import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'

import { RuntimeFailure } from './runtime.ts'

/**
 * Once it is gone and its output has ended: `exit status 0`, or what else became of it.
 * @param problem why it was not started; rejects with a RuntimeFailure that says so
 */
export function endOf(child: ChildProcess, problem: (error: Error) => string): Promise<string> {
  const ended = new Promise<string>((resolve, reject) => {
    child.on('error', (error) => {
      if (child.pid === undefined) reject(new RuntimeFailure('unreachable', problem(error)))
    })
    child.on('close', (code, signal) =>
      resolve(signal === null ? `exit status ${code}` : `signal: ${signalText(signal)}`),
    )
  })
  // Heard by whoever waits for the end; a call that has been given up has nobody.
  ended.catch(() => undefined)
  return ended
}

const SIGNAL_TEXTS: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGHUP: 'hangup',
  SIGINT: 'interrupt',
  SIGQUIT: 'quit',
  SIGILL: 'illegal instruction',
  SIGTRAP: 'trace/breakpoint trap',
  SIGABRT: 'aborted',
  SIGBUS: 'bus error',
  SIGFPE: 'floating point exception',
  SIGKILL: 'killed',
  SIGUSR1: 'user defined signal 1',
  SIGSEGV: 'segmentation fault',
  SIGUSR2: 'user defined signal 2',
  SIGPIPE: 'broken pipe',
  SIGALRM: 'alarm clock',
  SIGTERM: 'terminated',
}

/** As Go names signals. */
function signalText(signal: NodeJS.Signals): string {
  return SIGNAL_TEXTS[signal] ?? `signal ${constants.signals[signal]}`
}
