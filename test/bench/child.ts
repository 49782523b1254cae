// Child processes of the benchmark: forked modules that answer, and commands that are measured while they run.

import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const HERE = import.meta.dirname
export const CLI = join(HERE, '../../src/cli/main.ts')

/** A module beside this one, with a message channel. */
export class Worker<Order extends object, Report extends object> implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #reports: Report[] = []
  #wake: () => void = () => {}

  constructor(module: string) {
    this.#child = fork(join(HERE, module), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (report) => {
      this.#reports.push(report as Report)
      this.#wake()
    })
    this.#child.on('exit', () => this.#wake())
  }

  order(order: Order): void {
    this.#child.send(order)
  }

  /** The next report; those come in order. @throws Error when the process ends */
  async report(): Promise<Report> {
    for (;;) {
      const report = this.#reports.shift()
      if (report !== undefined) return report
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('a bench worker ended')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child)
  }
}

/** One of the two that are compared; ended with SIGKILL, since what it has settled is settled. */
export class Runner implements AsyncDisposable {
  readonly #child: ChildProcess
  #said = ''

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    const keep = (chunk: Buffer): void => void (this.#said = (this.#said + chunk.toString()).slice(-4000))
    this.#child.stdout?.on('data', keep)
    this.#child.stderr?.on('data', keep)
  }

  /** The end of what it wrote. */
  get said(): string {
    return this.#said
  }

  /** Rejects when the process ends before it should. */
  async ended(): Promise<never> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    throw new Error(`it ended by itself:\n${this.#said}`)
  }

  /** Processor time used so far, user and system; undefined where the system does not tell. Milliseconds. */
  cpuMs(): number | undefined {
    const file = `/proc/${this.#child.pid}/stat`
    if (!existsSync(file)) return undefined
    const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
    // proc(5): utime and stime, in ticks of 1/100 s
    return (Number(fields[11]) + Number(fields[12])) * 10
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return end(this.#child)
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
