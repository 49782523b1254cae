// `/system/info` and `/system/telemetry`: what kind of gateway this is (OpenFaaS contract, info).

import { VERSION } from '../../telemetry/version.ts'
import { sendJson } from '../http.ts'
import type { SystemCall } from './call.ts'

/** Clients dereference every object of it. */
export function info({ response }: SystemCall): void {
  const version = { sha: 'local', release: VERSION }
  sendJson(response, 200, {
    arch: process.arch === 'x64' ? 'x86_64' : process.arch,
    provider: { provider: 'connector-hub', orchestration: 'process', version },
    version,
  })
}

/** For whoever asks; sent to nobody. */
export function telemetry({ response, functions, deployments }: SystemCall): void {
  let replicas = 0
  let count = 0
  for (const deployed of functions.all) {
    count += 1
    replicas += deployed.replicas.replicas
  }
  sendJson(response, 200, { functions: count, replicas, namespaces: deployments.namespaces().length })
}
