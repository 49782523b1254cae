// Before the first test: the servers that have to be built are built, once, while nothing waits for them with a timeout.
// What cannot be had is said here; the suites that need it decide whether that is a skip or a failure.

import { SERVERS, setUpServers, table } from './setup.ts'

export default async function setup(): Promise<void> {
  const results = await setUpServers(SERVERS, (line) => console.error(`test servers: ${line}`))
  console.error(`test servers:\n${table(results)}`)
}
