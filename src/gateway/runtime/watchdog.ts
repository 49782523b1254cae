// What OpenFaaS's watchdogs read from a function's environment, and what they tell about a call.

import { TIMEOUT_MAX_MS, parseDuration } from '../../sdk/index.ts'
import { durationMs } from '../environment.ts'
import { headerOf } from '../headers.ts'
import type { RuntimeRequest } from './runtime.ts'

type Environment = Readonly<Record<string, string>>

/** Milliseconds; 0: no such limit. */
export interface Limits {
  /** A call as a whole. */
  readonly execMs: number
  /** The caller's body has arrived by then. */
  readonly readMs: number
  /** The answer has been written by then. */
  readonly writeMs: number
}

/** Contract, defaults of the classic watchdog, of of-watchdog, and of the image of the Node template. */
export const CLASSIC_LIMITS: Limits = { execMs: 0, readMs: 30_000, writeMs: 30_000 }
export const OF_WATCHDOG_LIMITS: Limits = { execMs: 30_000, readMs: 30_000, writeMs: 30_000 }
export const NODE_TEMPLATE_LIMITS: Limits = { execMs: 10_000, readMs: 15_000, writeMs: 15_000 }
/** A function that runs elsewhere has a watchdog of its own there. */
export const NO_LIMITS: Limits = { execMs: 0, readMs: 0, writeMs: 0 }

/** `exec_timeout`, `read_timeout` and `write_timeout`, each in Go's form or a bare number of seconds. */
export function limitsOf(env: Environment, defaults: Limits): Limits {
  return {
    execMs: limitOf(env['exec_timeout'], defaults.execMs),
    readMs: limitOf(env['read_timeout'], defaults.readMs),
    writeMs: limitOf(env['write_timeout'], defaults.writeMs),
  }
}

function limitOf(text: string | undefined, fallback: number): number {
  const ms = (text === undefined ? undefined : durationMs(text)) ?? fallback
  return Math.min(ms, TIMEOUT_MAX_MS)
}

/** A switch as the watchdogs read it: only `true` is on. */
export function isOn(env: Environment, name: string, fallback: boolean): boolean {
  const value = env[name]
  return value === undefined || value === '' ? fallback : value === 'true'
}

/** `exec`: the watchdog ends the call. `write`: it can answer no more. `gateway`: the gateway gives up. */
export type Expiry = 'exec' | 'write' | 'gateway'

/** The limit of a call that passes first. */
export function firstLimit(
  { execMs, writeMs }: Limits,
  { timeoutMs }: RuntimeRequest,
): { readonly what: Expiry; readonly ms: number } {
  if (execMs > 0 && execMs < timeoutMs && (writeMs === 0 || execMs <= writeMs)) return { what: 'exec', ms: execMs }
  if (writeMs > 0 && writeMs < timeoutMs) return { what: 'write', ms: writeMs }
  return { what: 'gateway', ms: timeoutMs }
}

/**
 * The exec limit of this call, as of-watchdog's mode http has it: the header `X-Timeout` may shorten it, never extend it, and
 * a stream of events has none.
 */
export function execLimitOf({ headers }: RuntimeRequest, execMs: number): number {
  if (execMs === 0 || headerOf(headers, 'accept')?.startsWith('text/event-stream') === true) return 0
  const asked = parseDuration(headerOf(headers, 'x-timeout') ?? '')
  return asked !== undefined && asked > 0 && asked < execMs ? asked : execMs
}

/** Seconds as the watchdogs write them, six decimals. */
export function secondsSince(startedAt: number): string {
  return ((performance.now() - startedAt) / 1000).toFixed(6)
}

/** `X-Duration-Seconds`. */
export function durationHeader(startedAt: number): readonly [string, string] {
  return ['X-Duration-Seconds', secondsSince(startedAt)]
}

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** As of-watchdog writes sizes: `5B`, `1.234kB`. */
export function humanSize(bytes: number): string {
  let size = bytes
  let unit = 0
  while (size >= 1000 && unit < SIZE_UNITS.length - 1) {
    size /= 1000
    unit += 1
  }
  return `${Number(size.toPrecision(4))}${SIZE_UNITS[unit]}`
}
