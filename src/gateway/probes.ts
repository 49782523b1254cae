// How the replicas of a function are asked whether they are alive and whether they take calls, by its annotations
// `com.openfaas.health.http.*` and `com.openfaas.ready.http.*` (OpenFaaS contract §8). Plain data; never throws. Who asks is
// runtime/watched-runtime.ts and runtime/probed-runtime.ts.

import { keepsProcess } from './function-spec.ts'
import type { FunctionSpec } from './function-spec.ts'

export interface HttpProbe {
  /** As the function sees it. */
  readonly path: string
  /** From the start of its process to the first question. */
  readonly initialDelayMs: number
  readonly periodMs: number
  readonly timeoutMs: number
  /** So many failures in a row make a replica that was well one that is not. */
  readonly failureThreshold: number
}

export interface Probes {
  /** Undefined: nothing is to be asked. */
  readonly liveness: HttpProbe | undefined
  readonly readiness: HttpProbe | undefined
  /** What cannot be used, and falls back to the default: sentences for the function's log. */
  readonly problems: readonly string[]
}

const NUMBER_MAX = 86_400
const SECOND_MS = 1000

export function probesOf(spec: FunctionSpec): Probes {
  const problems: string[] = []
  // The watchdog answers `/_/health` by itself, and `/_/ready` by asking the function where it says how.
  const liveness = probeOf(spec, 'com.openfaas.health.http.', { '/_/health': '' }, problems)
  const readiness = probeOf(spec, 'com.openfaas.ready.http.', { '/_/health': '', '/_/ready': spec.envVars['ready_path'] ?? '' }, problems) // prettier-ignore
  return { liveness, readiness, problems }
}

/** @param instead what is asked for a path of the watchdog; empty: nothing */
function probeOf(
  { annotations, runtime }: FunctionSpec,
  prefix: string,
  instead: Readonly<Record<string, string>>,
  problems: string[],
): HttpProbe | undefined {
  const asked = annotations[`${prefix}path`]?.trim() ?? ''
  if (asked === '') return undefined
  const whole = (name: string, fallback: number, min: number): number => {
    const text = annotations[prefix + name]?.trim()
    const value = text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= NUMBER_MAX) return value
    if (text !== undefined) problems.push(`${prefix}${name} is not a whole number from ${min} to ${NUMBER_MAX}; ${fallback} is used`) // prettier-ignore
    return fallback
  }
  const numbers = {
    initialDelayMs: whole('initialDelaySeconds', 0, 0) * SECOND_MS,
    periodMs: whole('periodSeconds', 2, 1) * SECOND_MS,
    timeoutMs: whole('timeoutSeconds', 1, 1) * SECOND_MS,
    failureThreshold: whole('failureThreshold', 3, 1),
  }
  if (!keepsProcess(runtime)) {
    problems.push(`${prefix}path has no effect here: nothing of this function runs between its calls`)
    return undefined
  }
  const path = instead[asked] ?? asked
  return path === '' ? undefined : { path: path.startsWith('/') ? path : `/${path}`, ...numbers }
}
