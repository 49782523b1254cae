import { afterAll } from 'vitest'

import { conformance } from '../../test/conformance/index.ts'
import { sharedElasticMq, startSqsBroker } from './broker.ts'
import type { BrokerChoice } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname
const server = sharedElasticMq()

const CHOICES: Readonly<Record<string, BrokerChoice>> = {
  'standard queues': {},
  'FIFO queues with dead letters': { fifo: true, letters: true },
}

for (const [title, choice] of Object.entries(CHOICES))
  conformance(connector, () => startSqsBroker(server, choice), { folder, title })

afterAll(async () => {
  const started = await server().catch(() => undefined)
  await started?.[Symbol.asyncDispose]()
})
