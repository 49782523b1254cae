// The command as a user starts it: a process, its output, its exit code.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')
export const QUICKSTART = join(import.meta.dirname, '../../deploy/examples/quickstart/stack.yaml')

/** Reached only by what is broken. */
const DEADLINE_MS = 60_000
const POLL_MS = 20

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** On standard input, which then ends. */
  readonly input?: string
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class CliProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #ended: Promise<Ended>
  stdout = ''
  stderr = ''

  /** Nothing of this process's environment but the PATH: a variable of the machine must not decide a test. */
  constructor(args: readonly string[], { env = {}, cwd, input }: CliOptions = {}) {
    this.#child = spawn(process.execPath, [MAIN, ...args], {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...env },
      ...(cwd === undefined ? {} : { cwd }),
    })
    this.#child.stdin?.end(input)
    this.#child.stdout?.on('data', (chunk: Buffer) => void (this.stdout += chunk.toString()))
    this.#child.stderr?.on('data', (chunk: Buffer) => void (this.stderr += chunk.toString()))
    this.#ended = once(this.#child, 'close').then(([code]) => ({ code: code as number | null, stdout: this.stdout, stderr: this.stderr })) // prettier-ignore
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  ended(): Promise<Ended> {
    return this.#ended
  }

  /** Waits until standard output or standard error matches; the match. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = performance.now() + DEADLINE_MS
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (found !== null) return found
      if (performance.now() > deadline) throw new Error(`never said ${pattern}:\n${this.stdout}\n${this.stderr}`)
      await setTimeout(POLL_MS)
    }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Closes our end of its standard output, as `| head` does. */
  stopReading(): void {
    this.#child.stdout?.destroy()
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }
}

/** Runs a command to its end. */
export async function cli(args: readonly string[], options?: CliOptions): Promise<Ended> {
  await using command = new CliProcess(args, options)
  return await command.ended()
}
