// What a user has who tries an example: a folder with hub.yaml, stack.yaml and an event, a gateway with functions, an MQTT
// broker, a running hub, dead letters, and the command on the PATH. Examples run in it as they are printed.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

import { connectAsync } from 'mqtt'
import { vi } from 'vitest'

import startEmbedded from '../../connectors/mqtt/embedded.ts'
import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { EmbeddedBroker } from '../../src/sdk/index.ts'
import { Gateway, runHub } from '../hub/rig.ts'
import type { RunningHub } from '../hub/rig.ts'

const ROOT = join(import.meta.dirname, '../..')
const FUNCTIONS = {
  thermometer: { topic: 'sensors/#' },
  fails: { topic: 'alarms/#', 'com.openfaas.retry.attempts': '0' },
  timer: { topic: 'cron-function', schedule: '@hourly' },
} as const

export interface Expected {
  /** What standard output and standard error hold in the end, or what a command that does not end says before it is told to. */
  readonly says: RegExp
  readonly code?: number
  /** Ended by SIGINT once it has said that. */
  readonly endless?: boolean
  /** Laid behind the example: addresses, where it means the usual ones. */
  readonly more?: string
  /** What a user does meanwhile, again and again until it has said what is expected. */
  readonly meanwhile?: () => Promise<unknown>
}

export class World implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'hub-world-'))
  readonly #things = new AsyncDisposableStack()
  readonly broker: EmbeddedBroker
  readonly gateway: Gateway
  readonly running: RunningHub
  readonly env: Readonly<Record<string, string>>

  private constructor(broker: EmbeddedBroker, gateway: Gateway, running: RunningHub) {
    this.broker = broker
    this.gateway = gateway
    this.running = running
    const { folder } = this
    this.env = {
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
      HOME: folder,
      HUB_STATE_DIR: join(folder, 'state'),
      HUB_MQTT_URL: broker.address,
      HUB_ADMIN_PORT: '0',
      gateway_url: gateway.url,
    }
  }

  static async start(): Promise<World> {
    const broker = await startEmbedded({ port: 0 })
    const gateway = await new Gateway().start()
    gateway.functions = FUNCTIONS
    const running = await runHub(gateway.url, {}, { overlay: { mqtt: { type: 'mqtt', ...broker.config } } })
    const world = new World(broker, gateway, running)
    world.#things.use(broker)
    world.#things.use(gateway)
    world.#things.use(running)
    await world.#prepare()
    return world
  }

  file(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text)
  }

  async publish(topic: string, body: string): Promise<void> {
    const client = await connectAsync(this.broker.address)
    await client.publishAsync(topic, body, { qos: 1 })
    await client.endAsync()
  }

  /** Runs the line in a shell. @returns the exit code and everything that was said */
  async run(
    line: string,
    { says, endless = false, more = '', meanwhile }: Expected,
    cwd = this.folder,
  ): Promise<readonly [code: number, said: string]> {
    // A group of its own: a command that npm started is ended with npm.
    const child = spawn('bash', ['-c', `${line} ${more}`], {
      cwd,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    const ended = once(child, 'close')
    const kill = (signal: NodeJS.Signals): void => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
        process.kill(-child.pid, signal)
    }
    try {
      await vi.waitFor(
        async () => {
          await meanwhile?.()
          // One that ends by itself is looked at in the end.
          if (!says.test(said) && (meanwhile !== undefined || endless)) throw new Error(`never said ${says}:\n${said}`)
        },
        { timeout: 60_000, interval: 200 },
      )
      if (endless) kill('SIGINT')
      const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null]
      // As a shell says it.
      return [code ?? 128 + constants.signals[signal as NodeJS.Signals], said]
    } finally {
      kill('SIGKILL')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#things.disposeAsync()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** The files as they were in the beginning. */
  furnish(): void {
    const { gateway, broker } = this
    gateway.functions = FUNCTIONS
    const functions = Object.entries(FUNCTIONS).map(([name, annotations]) => [name, { fprocess: 'cat', handler: '.', annotations }]) // prettier-ignore
    this.file(
      'stack.yaml',
      JSON.stringify({ provider: { name: 'openfaas' }, functions: Object.fromEntries(functions) }),
    )
    const mqtt = { type: 'mqtt', ...broker.config, clientId: 'of-hub-yaml' }
    this.file('hub.yaml', JSON.stringify({ gateway: { url: gateway.url }, admin: { port: 0 }, scaler: { port: 0 }, connectors: { cron: { type: 'cron' }, mqtt } })) // prettier-ignore
    this.file('event.json', JSON.stringify({ connector: 'mqtt', topic: 'sensors/1/temp', body: Buffer.from('21.5').toString('base64') })) // prettier-ignore
  }

  async #prepare(): Promise<void> {
    const { folder } = this
    this.furnish()
    mkdirSync(join(folder, 'bin'))
    const binary = join(folder, 'bin/connector-hub')
    writeFileSync(binary, `#!/bin/sh\nexec "${process.execPath}" "${ROOT}/src/cli/main.ts" "$@"\n`)
    chmodSync(binary, 0o755)
    symlinkSync(join(ROOT, 'deploy'), join(folder, 'deploy'))
    using letters = new SqliteDeadLetters(join(folder, 'state/dead-letters.db'))
    for (let index = 0; index < 7; index += 1)
      await letters.put({
        message: { id: `mqtt:${index}`, source: 'mqtt', topic: 'orders', body: Buffer.from('x'), headers: {}, attempt: 1, timestampMs: 0 }, // prettier-ignore
        function: 'billing.openfaas-fn',
        reason: 'answered 500 after 6 attempts',
        attempts: 6,
        failedAtMs: Date.UTC(2025, 0, 1),
      })
  }
}
