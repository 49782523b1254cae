// Writes what a real hub shows at /metrics, twice, a round of events apart: what dashboards and alerts are tested with. Run it
// when metrics come or change: `node test/deploy/record-scrapes.ts`. It needs
// a nats-server and a kube-apiserver as the tests have them.

import { writeFileSync } from 'node:fs'

import { startKubernetes } from '../servers/kubernetes.ts'
import { BusyHub } from './busy-hub.ts'
import { FIRST, SECOND } from './scrapes.ts'

await using cluster = await startKubernetes()
await using hub = await BusyHub.start(cluster)
for (const path of [FIRST, SECOND]) {
  await hub.round()
  writeFileSync(path, await hub.scrape())
}
