// Before the first test: the servers and programs that have to be built are built, once, while nothing waits for them with a timeout.
// What cannot be had is said here; the suites that need it decide whether that is a skip or a failure.

import type { TestProject } from 'vitest/node'

import type { ServerRow } from '../summary.ts'
import { NAMES, serverRows, setUpAll, table } from './setup.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** For the table at the end of the run. */
    servers: readonly ServerRow[]
  }
}

export default async function setup(project: TestProject): Promise<void> {
  const results = await setUpAll(NAMES, (line) => console.error(`test servers: ${line}`))
  console.error(`test servers:\n${table(results)}`)
  project.provide('servers', serverRows(results))
}
