// The test's side of a source in a process of its own that can be killed with SIGKILL.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

import { ManualClock } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'
import type { FromChild, ToChild } from './crash-child.ts'
import type { Harness } from './harness.ts'

export class CrashingSource implements AsyncDisposable {
  readonly messages: EventMessage[] = []
  readonly #child: ChildProcess
  readonly #harness: Harness
  #ready = false
  #problem: string | undefined

  constructor(harness: Harness, topics: readonly string[]) {
    this.#harness = harness
    const { NODE_OPTIONS: _options, ...env } = process.env
    this.#child = fork(new URL('crash-child.ts', import.meta.url), { serialization: 'advanced', execArgv: [], env })
    this.#child.on('error', (error) => (this.#problem ??= String(error)))
    this.#child.on('exit', (code, signal) => (this.#problem ??= `the process ended (${code ?? signal})`))
    this.#child.on('message', (message: FromChild) => {
      if (message.kind === 'delivery') this.messages.push(message.message)
      else if (message.kind === 'ready') this.#ready = true
      else this.#problem ??= message.text
    })
    this.#send({
      job: {
        module: harness.suite.module,
        config: harness.broker.config(harness.scope()),
        subscriptions: topics.map(harness.subscriptionOf),
        unsettledMax: harness.unsettledMax,
        stateFile: harness.stateFile(0),
        clockMs: harness.clock instanceof ManualClock ? harness.clock.now() : undefined,
      },
    })
  }

  /** Connected and subscribed. */
  ready(): Promise<void> {
    return this.#until(() => this.#ready, 'the child process is connected and subscribed')
  }

  /** Brings the child's clock to ours, and waits until it holds `count` events. */
  async holds(count: number): Promise<void> {
    const { clock } = this.#harness
    if (clock instanceof ManualClock) this.#send({ clockMs: clock.now() })
    await this.#until(() => this.messages.length >= count, `the child process holds ${count} events`)
  }

  async kill(): Promise<void> {
    this.#problem = 'killed'
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill()
  }

  #send(message: ToChild): void {
    this.#child.send(message)
  }

  /** A fresh process loads its modules first, so this has a deadline of its own. */
  async #until(condition: () => boolean, what: string): Promise<void> {
    const limitMs = Math.max(this.#harness.suite.deadlineMs, 15_000)
    await this.#harness.until(() => condition() || this.#problem !== undefined, what, limitMs)
    if (!condition()) throw new Error(`${what}: ${this.#problem}`)
  }
}
