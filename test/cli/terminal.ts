// The command on a terminal of its own, by script(1) of util-linux: what a person sees, control sequences and all.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const SCRIPT = '/usr/bin/script'
const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

/** Why there is no terminal; undefined when there is one. */
export function noTerminal(): string | undefined {
  return existsSync(SCRIPT) && process.platform === 'linux' ? undefined : 'there is no script(1) of util-linux'
}

export interface Shown {
  readonly code: number | null
  /** Standard output and standard error, as they came. */
  readonly screen: string
}

/** Runs a command to its end. */
export async function onTerminal(args: readonly string[]): Promise<Shown> {
  const command = [process.execPath, MAIN, ...args].map((part) => `'${part.replaceAll("'", "'\\''")}'`).join(' ')
  const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color', SHELL: '/bin/sh' },
  })
  let screen = ''
  child.stdout.on('data', (chunk: Buffer) => void (screen += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => void (screen += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, screen: screen.replaceAll('\r\n', '\n') }
}
