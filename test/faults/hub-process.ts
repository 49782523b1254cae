// A hub as a process, as the scenarios handle it: started, asked, killed, stopped. Called by trial.ts.

import { CliProcess } from '../cli/cli.ts'

const WAIT_MS = 60_000
const POLL_MS = 10
const LOG_CHARS_MAX = 4000

export class HubProcess implements AsyncDisposable {
  readonly name: string
  readonly #cli: CliProcess
  #adminUrl: string | undefined

  /** @param args of `run`: a connector, or a configuration */
  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.name = name
    this.#cli = new CliProcess(['run', ...args], {
      env: { ...env, HUB_ADMIN_HOST: '127.0.0.1', HUB_ADMIN_PORT: '0', HUB_LOG_FORMAT: 'json' },
    })
  }

  /** How often it has logged this event. */
  count(event: string): number {
    return this.#cli.stderr.split(`"event":"${event}"`).length - 1
  }

  /** Which of these events it has logged last. */
  latest(...events: readonly string[]): string | undefined {
    const places = events.map((event) => ({ event, at: this.#cli.stderr.lastIndexOf(`"event":"${event}"`) }))
    return places.filter(({ at }) => at >= 0).toSorted((one, other) => other.at - one.at)[0]?.event
  }

  /** Waits until it has logged this event more than `before` times. */
  async says(event: string, before = 0): Promise<void> {
    const until = Date.now() + WAIT_MS
    while (this.count(event) <= before) {
      if (Date.now() > until) throw new Error(`hub ${this.name} did not say ${event} within ${WAIT_MS} ms`)
      await new Promise((resolve) => void setTimeout(resolve, POLL_MS))
    }
  }

  /** Connected and subscribed, for the first time. */
  async active(): Promise<void> {
    await this.says('connector.active')
  }

  /** Deliveries that it has ended with its broker, by its own account. Never more than are. */
  async settled(): Promise<number> {
    const metrics = await this.#metrics()
    let sum = 0
    for (const [, count] of metrics.matchAll(/^connector_hub_deliveries_total\{.*\} (\d+)$/gm)) sum += Number(count)
    return sum
  }

  signal(name: NodeJS.Signals): void {
    this.#cli.signal(name)
  }

  async ended(): Promise<number | null> {
    return (await this.#cli.ended()).code
  }

  logTail(): string {
    return `… the log of hub ${this.name} ends:\n${this.#cli.stderr.slice(-LOG_CHARS_MAX)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cli[Symbol.asyncDispose]()
  }

  /** Of its admin server. */
  async ask(path: string): Promise<Response> {
    this.#adminUrl ??= (await this.#cli.says(/Health and metrics at (http:[^" ]+)/))[1]
    return await fetch(`${this.#adminUrl}${path}`)
  }

  async #metrics(): Promise<string> {
    return await (await this.ask('/metrics')).text()
  }
}
