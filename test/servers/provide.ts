// What the real servers of the tests have in common before they run: where one comes from, why there is none, and the
// commands that set one up. Called by the module of each server, and of each program of
// other people that examples call (test/programs).

import type { ProgramName } from '../programs/program.ts'
import { findExecutable, startProcess } from './process.ts'

/** Servers that HUB_TEST_REQUIRE and HUB_TEST_<SERVER>_URL may name. */
export type ServerName = 'nats' | 'rabbitmq' | 'kafka' | 'elasticmq' | 'minio' | 'mosquitto' | 'chromium' | 'kubernetes'

/** There is none, or not of the kind the test needs. The reason is the message. Tests skip with it, unless `isRequired`. */
export class ServerUnavailable extends Error {}

export interface Provided {
  readonly version: string
  /** For people: `built with go install`, `PATH`, `Debian package`. */
  readonly origin: string
}

/** HUB_TEST_REQUIRE lists it: then its absence is a failure and not a skip. */
export function isRequired(name: ServerName | ProgramName): boolean {
  return (process.env['HUB_TEST_REQUIRE'] ?? '').split(',').includes(name)
}

/**
 * The server of HUB_TEST_<NAME>_URL; undefined when none is given.
 * @param any the test neither configures nor stops it
 * @throws ServerUnavailable when one is given and the test needs its own
 */
export function externalUrl(name: ServerName, any: boolean | undefined): string | undefined {
  const variable = `HUB_TEST_${name.toUpperCase()}_URL`
  const url = process.env[variable] ?? ''
  if (url === '') return undefined
  if (any !== true) throw new ServerUnavailable(`the server of ${variable} is not ours to set up and stop`)
  return url
}

/** Why it failed, for `context.skip`; undefined when it did not. Throws it when the server is required. */
export async function reasonOf(
  name: ServerName | ProgramName,
  provide: () => Promise<unknown>,
): Promise<string | undefined> {
  try {
    await provide()
    return undefined
  } catch (error) {
    if (!(error instanceof ServerUnavailable) || isRequired(name)) throw error
    return error.message
  }
}

/** Called with one line for people. */
export type Progress = (line: string) => void

export interface Command {
  readonly argv: readonly [string, ...string[]]
  readonly folder: string
  /** Added to our own. */
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** Told every ten seconds that this still goes on. */
  readonly doing?: string
  readonly progress?: Progress
}

const PROGRESS_MS = 10_000
const TAIL_CHARS = 2000

/**
 * Runs a command at low priority, since others work on this machine too. It ends when we do.
 * @returns the end of its output
 * @throws Error with the end of its output when it fails or takes too long
 */
export async function runCommand({ argv, folder, env = {}, timeoutMs, doing, progress }: Command): Promise<string> {
  const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`)
  const began = Date.now()
  const running = startProcess(findExecutable('nice') ?? 'nice', ['-n', '10', 'env', '-C', folder, ...variables, ...argv]) // prettier-ignore
  let late = false
  const limit = setTimeout(() => {
    late = true
    running.child.kill('SIGKILL')
  }, timeoutMs)
  const report = setInterval(() => progress?.(`${doing ?? argv[0]}: ${secondsSince(began)} so far`), PROGRESS_MS)
  const code = await new Promise<number | null>((resolve) => running.child.once('close', resolve))
  clearTimeout(limit)
  clearInterval(report)
  const tail = running.output().trim().slice(-TAIL_CHARS)
  if (late) throw new Error(`${argv[0]} did not end within ${timeoutMs / 1000} s: ${tail}`)
  if (code !== 0) throw new Error(`${argv.slice(0, 2).join(' ')} failed: ${tail}`)
  return tail
}

export function secondsSince(began: number): string {
  return `${((Date.now() - began) / 1000).toFixed(1)} s`
}

/** Compares `2.10.4` with `2.9.12` by number. */
export function isAtLeast(version: string, least: string): boolean {
  const have = version.split('.').map((part) => Number.parseInt(part, 10))
  for (const [index, part] of least.split('.').entries()) {
    const difference = (have[index] ?? 0) - Number(part)
    if (difference !== 0) return difference > 0
  }
  return true
}
