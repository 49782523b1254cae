// The life of one real server process on its own ports and data: started until it answers its protocol, stopped, killed,
// started again, gone with its data on disposal. Knows no protocol. Called by the module of each server.

import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

import type { ServerProcess } from './process.ts'
import type { Provided } from './provide.ts'
import { ServerUnavailable } from './provide.ts'

export interface Server extends Provided, AsyncDisposable {
  /** Its configuration and data; undefined for a server that is not ours. */
  readonly folder: string | undefined
  /** The end of what it has printed since its last start, for the message of a failure. */
  output(): string
  /** At the same ports with the same data; resolves once it answers its protocol. Throws when it runs already. */
  start(): Promise<void>
  /** SIGTERM, as an operator does, and SIGKILL when that takes too long. Idempotent. */
  stop(): Promise<void>
  /** SIGKILL. Idempotent. */
  kill(): Promise<void>
  /** `stop`, then `start`. */
  restart(): Promise<void>
}

export interface ServerPlan {
  readonly name: string
  /** Removed on disposal. */
  readonly folder: string
  launch(): ServerProcess
  /** One attempt at what proves that it is ready; throws while it is not. */
  ready(): Promise<void>
  readonly readyMs: number
  readonly stopMs: number
  /** After the last end and before the folder goes. */
  cleanUp?(): Promise<void>
}

const POLL_MS = 20

/** Started. On failure nothing is left behind. */
export async function startServer(plan: ServerPlan, provided: Provided): Promise<Server> {
  let running: ServerProcess | undefined
  let latest: ServerProcess | undefined
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    const ending = running
    running = undefined
    if (ending === undefined) return
    const limit = setTimeout(() => ending.child.kill('SIGKILL'), plan.stopMs)
    await ending.kill(signal)
    clearTimeout(limit)
  }
  const start = async (): Promise<void> => {
    if (running !== undefined && isRunning(running)) throw new Error(`${plan.name} runs already`)
    running = plan.launch()
    latest = running
    await untilReady(plan, running)
  }
  const dispose = async (): Promise<void> => {
    await end('SIGKILL')
    await plan.cleanUp?.()
    rmSync(plan.folder, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    version: provided.version,
    origin: provided.origin,
    folder: plan.folder,
    output: () => latest?.output() ?? '',
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGTERM')
      await start()
    },
    [Symbol.asyncDispose]: dispose,
  }
}

/** The server of an address in the environment: never started or stopped by us. */
export function externalServer(variable: string): Server {
  const refuse = (): Promise<never> => Promise.reject(new ServerUnavailable(`the server of ${variable} is not ours to stop`)) // prettier-ignore
  return {
    version: 'unknown',
    origin: variable,
    folder: undefined,
    output: () => '',
    start: refuse,
    stop: refuse,
    kill: refuse,
    restart: refuse,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function untilReady(plan: ServerPlan, running: ServerProcess): Promise<void> {
  const until = Date.now() + plan.readyMs
  for (;;) {
    try {
      await plan.ready()
      // Else another process answered at its port.
      if (isRunning(running)) return
      throw new Error('it has ended')
    } catch (error) {
      if (!isRunning(running) || Date.now() > until)
        throw new Error(`${plan.name} did not start: ${running.output()}`, { cause: error })
      await delay(POLL_MS)
    }
  }
}

function isRunning({ child }: ServerProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

// Below the ports that systems give to outgoing connections: one of those could take the port of a server that is down.
const PORT_MIN = 20_000
const PORT_MAX = 31_999

/** Distinct ports that were free a moment ago. */
export async function pickPorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN + 1))
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  const free = await new Promise<boolean>((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (free) await new Promise<void>((resolve) => probe.close(() => resolve()))
  return free
}
