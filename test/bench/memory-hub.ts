// A hub on the loopback broker that reports its memory once everything is wired and listed twice. Forked by memory.ts with
// --expose-gc.

import { setTimeout as wait } from 'node:timers/promises'

import { readHubConfig } from '../../src/hub/config.ts'
import { Hub } from '../../src/hub/hub.ts'
import { createLogger } from '../../src/telemetry/logger.ts'

const [file = '', expected = ''] = process.argv.slice(2)
const functions = Number(expected)
const config = await readHubConfig({ file, env: {} })
const logger = createLogger({ level: 'error', format: 'console', color: false, secretNames: [], write: (line) => process.stderr.write(`${line}\n`) }) // prettier-ignore
const hub = new Hub(config, { logger, admin: false })
await hub.start()

const deadline = Date.now() + 60_000
let firstListingAt: number | undefined
for (;;) {
  const { lastGoodAtMs } = hub.discovery
  const ready = hub.wiring?.triggers === functions && hub.status.every(({ state }) => state === 'active')
  if (ready) firstListingAt ??= lastGoodAtMs
  if (ready && lastGoodAtMs !== firstListingAt) break
  if (Date.now() > deadline) throw new Error(`not wired: ${JSON.stringify(hub.status)}`)
  await wait(20)
}
for (let round = 0; round < 3; round++) {
  globalThis.gc?.()
  await wait(50)
}
const { rss, heapUsed } = process.memoryUsage()
process.send?.({ rss, heapUsed })
process.on('disconnect', () => process.exit(0))
