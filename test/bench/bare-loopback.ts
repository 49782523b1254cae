// The bare loop on the loopback broker. Forked by throughput.ts.

import { LoopbackClient } from '../conformance/loopback/client.ts'
import { BareLoop, bareArguments } from './bare-loop.ts'

const { gatewayUrl, port, name, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const client = await LoopbackClient.open(
  { port, tls: false },
  new AbortController().signal,
  ({ topic, body, seq }) => loop.take(topic, body, () => void client.request({ op: 'ack', seq })),
  () => process.exit(1),
)
await client.request({ op: 'hello', password: 'bench', group: name, window })
await client.request({ op: 'subscribe', topics: ['bench'] })
