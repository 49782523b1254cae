// A whole hub on the loopback broker, and a gateway over HTTP that lists what the test says and answers by function name.

import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vi } from 'vitest'

import { readHubConfig } from '../../src/hub/config.ts'
import type { ReadConfigOptions } from '../../src/hub/config.ts'
import { Hub } from '../../src/hub/hub.ts'
import { systemClock } from '../../src/sdk/index.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { LoopbackBroker } from '../conformance/loopback/server.ts'
import { HttpListener } from '../http-listener.ts'

export const LOOPBACK = './test/conformance/loopback/connector.ts'
const PASSWORD = 'loopback-s3cret'

/** `fails` answers 500, `waits` when the test says so, everything else 200. */
export class Gateway implements AsyncDisposable {
  functions: Readonly<Record<string, Readonly<Record<string, string>>>> = {}
  readonly invoked: { readonly function: string; readonly body: string }[] = []
  readonly waiting: ServerResponse[] = []
  /** What a function answers, where not by its name. */
  answer: (
    name: string,
    body: string,
  ) =>
    | { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }
    | undefined = () => undefined
  readonly #listener = new HttpListener((request, response) => void this.#answer(request, response))

  /** On a free port the first time, on the same one after `stop`. */
  async start(): Promise<this> {
    await this.#listener.start()
    return this
  }

  get url(): string {
    return this.#listener.url
  }

  /** Reserves a port without listening. */
  async reserve(): Promise<this> {
    await this.start()
    await this.stop()
    return this
  }

  stop(): Promise<void> {
    return this.#listener.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? ''
    if (url.startsWith('/system/namespaces')) response.end('["openfaas-fn"]')
    else if (url.startsWith('/system/functions')) {
      const functions = Object.entries(this.functions).map(([name, annotations]) => ({ name, namespace: 'openfaas-fn', annotations })) // prettier-ignore
      response.end(JSON.stringify(functions))
    } else if (url.startsWith('/function/')) {
      const name = url.slice('/function/'.length).split('.')[0] as string
      let body = ''
      for await (const chunk of request) body += String(chunk)
      this.invoked.push({ function: name, body })
      const answer = this.answer(name, body)
      if (answer !== undefined) response.writeHead(answer.status, answer.headers).end(answer.body)
      else if (name === 'waits') this.waiting.push(response)
      else response.writeHead(name === 'fails' ? 500 : 200).end()
    } else response.writeHead(url.startsWith('/async-function/') ? 202 : 404).end()
  }
}

export interface RunningHub extends AsyncDisposable {
  readonly hub: Hub
  readonly log: string[]
  /** Answer of the admin server. */
  readonly admin: (path: string, init?: RequestInit) => Promise<Response>
}

/** Started, with a state folder of its own. */
export async function runHub(
  gatewayUrl: string,
  env: Readonly<Record<string, string>>,
  connectors: Pick<ReadConfigOptions, 'types' | 'overlay'>,
): Promise<RunningHub> {
  const stateDir = mkdtempSync(join(tmpdir(), 'hub-test-'))
  const config = await readHubConfig({
    env: {
      HUB_GATEWAY_URL: gatewayUrl,
      HUB_GATEWAY_REBUILD_INTERVAL: '100ms',
      HUB_STATE_DIR: stateDir,
      HUB_ADMIN_HOST: '127.0.0.1',
      HUB_ADMIN_PORT: '0',
      ...env,
    },
    ...connectors,
  })
  const log: string[] = []
  const logger = createLogger({ level: 'debug', format: 'json', color: false, secretNames: ['password'], write: (line) => void log.push(line) }) // prettier-ignore
  const hub = new Hub(config, { logger })
  const dispose = async (): Promise<void> => {
    await hub.stop()
    rmSync(stateDir, { recursive: true, force: true })
  }
  try {
    await hub.start()
  } catch (error) {
    await dispose()
    throw error
  }
  return { hub, log, admin: (path, init) => fetch(`${hub.adminAddress}${path}`, init), [Symbol.asyncDispose]: dispose }
}

export interface HubRig extends RunningHub {
  readonly broker: LoopbackBroker
}

export interface HubRigOptions {
  readonly env?: Readonly<Record<string, string>>
}

/** Started, with one connector `orders` on the loopback broker. */
export async function startHub(gatewayUrl: string, { env = {} }: HubRigOptions = {}): Promise<HubRig> {
  const broker = new LoopbackBroker(systemClock, PASSWORD)
  await broker.start()
  const overlay = { orders: { type: LOOPBACK, port: broker.port, password: PASSWORD } }
  const running = await runHub(gatewayUrl, env, { overlay }).catch(async (error: unknown) => {
    await broker.stop()
    throw error
  })
  return {
    ...running,
    broker,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

export function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error(`did not happen: ${what}`)
    },
    // Reached only by what is broken.
    { timeout: 60_000, interval: 10 },
  )
}

export const isReady = async ({ admin }: RunningHub): Promise<boolean> => (await admin('/readyz')).status === 200
