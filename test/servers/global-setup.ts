// Before the first test: the servers and programs that have to be built are built, once, while nothing waits for them with a timeout.
// What cannot be had is said here; the suites that need it decide whether that is a skip or a failure. A run of the tests on
// Kubernetes gets its API server here too.

import type { TestProject } from 'vitest/node'

import type { ServerRow } from '../summary.ts'
import { findKubernetes } from './kubernetes-setup.ts'
import { startKubernetes } from './kubernetes.ts'
import { KUBERNETES_NAMES, NAMES, serverRows, setUpAll, table } from './setup.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** For the table at the end of the run. */
    servers: readonly ServerRow[]
  }
}

/** @returns what ends the server that was started */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const onKubernetes = (process.env['HUB_TEST_KUBERNETES'] ?? '') !== ''
  const results = await setUpAll(onKubernetes ? KUBERNETES_NAMES : NAMES, (line) =>
    console.error(`test servers: ${line}`),
  )
  console.error(`test servers:\n${table(results)}`)
  project.provide('servers', serverRows(results))
  const cluster = onKubernetes && findKubernetes() !== undefined ? await startKubernetes() : undefined
  project.provide('kubernetes', cluster?.api.address)
  return async () => await cluster?.[Symbol.asyncDispose]()
}
