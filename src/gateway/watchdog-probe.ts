// `/_/health` and `/_/ready` of a function: what its watchdog answers by itself, whatever `max_inflight` says (OpenFaaS
// contract, container contract and of-watchdog). Called for each call whose path begins with `/_/`.

import type { DeployedFunction } from './deployed-function.ts'
import type { RuntimeSpec } from './function-spec.ts'
import type { RuntimeAnswer } from './runtime/runtime.ts'

/**
 * The watchdog's answer; or the path of the function's own (`ready_path`) that answers instead; undefined for what is the
 * function's affair.
 */
export function probe(deployed: DeployedFunction, method: string, target: string): RuntimeAnswer | string | undefined {
  const watchdog = watchdogOf(deployed.spec.runtime)
  const path = target.split('?', 1)[0]
  const isReady = path === '/_/ready' && watchdog === 'of-watchdog'
  if (watchdog === undefined || (path !== '/_/health' && !isReady)) return undefined
  if (method !== 'GET') return { status: 405, headers: [], body: Buffer.alloc(0) }
  if (deployed.replicas.availableReplicas === 0) return { status: 503, headers: [], body: Buffer.alloc(0) }
  if (!isReady) return { status: 200, headers: ['Content-Type', 'text/plain; charset=utf-8'], body: Buffer.from('OK') }
  const { inFlight, inFlightMax, spec } = deployed
  if (inFlightMax > 0 && inFlight >= inFlightMax) return { status: 429, headers: [], body: Buffer.alloc(0) }
  return spec.envVars['ready_path'] || { status: 200, headers: [], body: Buffer.alloc(0) }
}

/** A function that runs elsewhere has its own there. */
function watchdogOf(runtime: RuntimeSpec): 'classic' | 'of-watchdog' | undefined {
  if (runtime.kind === 'upstream') return undefined
  if (runtime.kind === 'process') return runtime.mode === 'classic' ? 'classic' : 'of-watchdog'
  return 'classic' in runtime && runtime.classic ? 'classic' : 'of-watchdog'
}
