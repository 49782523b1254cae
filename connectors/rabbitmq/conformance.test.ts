import { afterAll } from 'vitest'

import { conformance } from '../../test/conformance/index.ts'
import { sharedRabbit, startRabbitBroker } from './broker.ts'
import type { BrokerChoice } from './broker.ts'
import connector from './connector.ts'

const folder = import.meta.dirname
const server = sharedRabbit()

// Quorum queues come last: each of them makes a restart longer.
const CHOICES: Readonly<Record<string, BrokerChoice>> = {
  'classic queues': { type: 'classic' },
  'dead letters': { type: 'classic', letters: true },
  exchange: { type: 'classic', exchange: true },
  'quorum queues': { type: 'quorum', requeue: true },
}

for (const [title, choice] of Object.entries(CHOICES))
  conformance(connector, () => startRabbitBroker(server, choice), { folder, title })

afterAll(async () => {
  const started = await server().catch(() => undefined)
  await started?.[Symbol.asyncDispose]()
})
