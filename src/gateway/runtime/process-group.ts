// The processes of functions: each leads a group of its own, so that what it starts ends with it, and none outlives the
// gateway. Their output by the line.

import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'

import { errorText, killGroup } from '../../sdk/index.ts'
import type { Reaper } from './reaper.ts'
import { RuntimeFailure } from './runtime.ts'

export interface SpawnOptions {
  readonly command: readonly string[]
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
  readonly reaper: Reaper
  /** The end of its group: when the process itself ends, or when its output has ended, too. */
  readonly until: 'exit' | 'close'
}

/** A command as the watchdogs split it: at spaces, no quoting. */
export function wordsOf(command: string): readonly string[] {
  return command.split(' ').filter((part) => part !== '')
}

/** @throws RuntimeFailure when it cannot be started at all; most reasons come as its `error` event, without a pid */
export function spawnGroup({ command, directory, env, stdio, reaper, until }: SpawnOptions): ChildProcess {
  const [file = '', ...args] = command
  let child: ChildProcess
  try {
    child = spawn(file, args, { cwd: directory, env: { ...env }, stdio, detached: true })
  } catch (error) {
    throw new RuntimeFailure('unreachable', `could not be started: ${errorText(error)}`)
  }
  const { pid } = child
  // Without files to open it has no pipes either, and its error would come where nobody listens yet.
  if ((child.stdio as ChildProcess['stdio'] | undefined) === undefined) {
    child.on('error', () => {})
    throw new RuntimeFailure('unreachable', 'could not be started: too many files are open (ulimit -n)')
  }
  if (pid === undefined) return child
  reaper.watch(pid)
  child.once(until, () => {
    killGroup(pid)
    reaper.forget(pid)
  })
  return child
}

/** What a person can do about a process that did not start. */
export function spawnProblem(error: Error, command: readonly string[], directory: string): string {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return `could not be started: ${error.message}`
  if (!existsSync(directory)) return `could not be started: there is no folder ${directory}`
  const file = command[0] ?? ''
  return file.includes('/')
    ? `could not be started: there is no ${file}`
    : `could not be started: there is no ${file} on the PATH`
}

/** Asks a process to end, and makes it after `graceMs`. Resolves when it has ended. */
export async function endGroup(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  killGroup(child.pid, 'SIGTERM')
  const timer = setTimeout(() => killGroup(child.pid), graceMs)
  await gone
  clearTimeout(timer)
}

/** Of a line; of-watchdog's own default (`log_buffer_size`). */
const LINE_CHARS = 64 * 1024
const LINE_CHARS_MAX = 1024 * 1024

export interface LineOptions {
  /** `log_buffer_size` of the function: the longest line; `-1`: as long as there is room. */
  readonly bufferSize?: string | undefined
}

/** Splits a stream into lines of bounded length; the rest of a longer one is left out. */
export function onLines(stream: Readable | null, line: (text: string) => void, options: LineOptions = {}): void {
  const asked = Number(options.bufferSize ?? LINE_CHARS)
  const charsMax = asked === -1 ? LINE_CHARS_MAX : asked > 0 ? Math.min(asked, LINE_CHARS_MAX) : LINE_CHARS
  if (stream === null) return
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n')
    rest = (parts.pop() ?? '').slice(0, charsMax)
    for (const part of parts) line(part.slice(0, charsMax).trimEnd())
  })
  stream.on('end', () => {
    if (rest !== '') line(rest)
  })
  // A killed child breaks its pipes; its exit is reported where it is watched.
  stream.on('error', () => {})
}
