// Whether the gateway's clock and the state directory are fit to work with; brokers are in connector-check.ts. Changes
// nothing. Called by `doctor`.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { request } from 'undici'

import { HubError, asHubError, errorText, redactUrl } from '../sdk/index.ts'
import type { ErrorCode } from '../sdk/index.ts'

export interface Check {
  /** `gateway`, `state`, or the name of a connector, with its topic where it is about one. */
  readonly subject: string
  readonly outcome: 'ok' | 'warning' | 'failed'
  /** One sentence. Never a secret. */
  readonly detail: string
  readonly code?: ErrorCode
  /** What to do about it. */
  readonly fix?: string
}

/** Of the gateway's clock from ours, beyond which time stamps and schedules mislead. */
const SKEW_MAX_MS = 5000

/** A gateway that answers: its clock. `Date` has whole seconds, so half a second counts as none. */
export async function checkClock(gatewayUrl: string, timeoutMs: number): Promise<Check | undefined> {
  const sentAtMs = Date.now()
  let date: string | undefined
  try {
    // Not fetch, which does not speak to every port.
    const { headers, body } = await request(new URL('healthz', gatewayUrl.endsWith('/') ? gatewayUrl : `${gatewayUrl}/`), { signal: AbortSignal.timeout(timeoutMs) }) // prettier-ignore
    await body.dump()
    date = headers['date']?.toString()
  } catch {
    // Whether it can be reached is another check.
    return undefined
  }
  const gatewayMs = Date.parse(date ?? '')
  if (Number.isNaN(gatewayMs)) return undefined
  const offMs = gatewayMs + 500 - (sentAtMs + Date.now()) / 2
  const text = `its clock is ${(Math.abs(offMs) / 1000).toFixed(0)} s ${offMs > 0 ? 'ahead of' : 'behind'} ours`
  if (Math.abs(offMs) <= SKEW_MAX_MS) return { subject: 'clock', outcome: 'ok', detail: 'that of the gateway agrees with ours' } // prettier-ignore
  return { subject: 'clock', outcome: 'warning', detail: text, fix: 'Synchronise both machines (NTP): lag, schedules and signed requests go by the clock.' } // prettier-ignore
}

/** Whether calls of functions can reach it, where nothing else asks it anything. */
export async function checkGatewayReached(gatewayUrl: string, timeoutMs: number): Promise<Check> {
  const url = gatewayUrl.endsWith('/') ? gatewayUrl : `${gatewayUrl}/`
  const subject = 'gateway'
  try {
    const { statusCode, body } = await request(new URL('healthz', url), { signal: AbortSignal.timeout(timeoutMs) })
    await body.dump()
    const detail = `${redactUrl(gatewayUrl)} answers ${statusCode}`
    if (statusCode < 400) return { subject, outcome: 'ok', detail }
    return { subject, outcome: 'warning', detail: `${detail} to /healthz`, fix: 'Check that gateway.url is that of an OpenFaaS gateway.' } // prettier-ignore
  } catch (error) {
    return failedCheck(subject, new HubError('HUB_GATEWAY_UNREACHABLE', `${redactUrl(gatewayUrl)}: ${errorText(error)}`, { cause: error })) // prettier-ignore
  }
}

/** Whether dead letters and state can be written. Leaves nothing behind, so that a folder is not made by the wrong user. */
export function checkState(stateDir: string): Check {
  const file = join(stateDir, `.doctor-${process.pid}`)
  let made: string | undefined
  try {
    made = mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileSync(file, '', { flush: true })
    rmSync(file)
    return { subject: 'state', outcome: 'ok', detail: `${stateDir} can be written` }
  } catch (error) {
    const { code, message, hint } = stateProblem(stateDir, error)
    return { subject: 'state', outcome: 'failed', detail: message, code, fix: hint }
  } finally {
    if (made !== undefined) rmSync(made, { recursive: true, force: true })
  }
}

const STATE_FIXES: Readonly<Record<string, string>> = {
  EROFS: 'The disk is read-only there: mount a volume that can be written, and set stateDir to a folder on it.',
  EACCES: `Let user ${process.getuid?.() ?? 'of this process'} write there, or set stateDir to a folder of its own.`,
  ENOTDIR: 'A part of the path is a file: set stateDir to a folder.',
  EEXIST: 'There is a file of that name: set stateDir to a folder.',
  ENOSPC: 'Free space on that disk, or set stateDir to a folder on another one.',
}

/** With the fix of what the system said (POSIX errno). */
export function stateProblem(stateDir: string, error: unknown): HubError {
  const { code = '' } = error as NodeJS.ErrnoException
  const hint = STATE_FIXES[code === 'EPERM' ? 'EACCES' : code]
  return new HubError('HUB_STATE_UNUSABLE', `${stateDir}: ${errorText(error)}`, { cause: error, ...(hint === undefined ? {} : { hint }) }) // prettier-ignore
}

/** What went wrong, as a check of it. */
export function failedCheck(subject: string, error: unknown): Check {
  const { code, message, hint } = asHubError(error)
  return { subject, outcome: 'failed', detail: message, code, fix: hint }
}
