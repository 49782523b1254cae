// The loopback broker in a process of its own, with a backlog on demand. Forked by contestants.ts.

import { systemClock } from '../../src/sdk/index.ts'
import { LoopbackBroker } from '../conformance/loopback/server.ts'

export interface BacklogOrder {
  readonly events: number
  readonly bodyBytes: number
  readonly keys: number
}

const broker = new LoopbackBroker(systemClock, 'bench')
await broker.start()
process.send?.({ port: broker.port })

process.on('message', ({ events, bodyBytes, keys }: BacklogOrder) => {
  const body = Buffer.alloc(bodyBytes, 'x')
  broker.publish(
    'bench',
    Array.from({ length: events }, (_, index) => ({ body, key: `key-${index % keys}` })),
  )
  process.send?.({ published: events })
})
process.on('disconnect', () => process.exit(0))
