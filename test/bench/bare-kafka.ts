// The bare loop on Kafka: the client that the connector's protocol code comes from, with its own consumer and automatic
// commits, which count a record as done when it is read. Forked by throughput.ts.

import { Consumer } from '@platformatic/kafka'

import { BareLoop, bareArguments } from './bare-loop.ts'
import { BENCH_TOPIC } from './brokers.ts'

const { gatewayUrl, port, name, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const consumer = new Consumer({ groupId: name, clientId: name, bootstrapBrokers: [`127.0.0.1:${port}`] })
const stream = await consumer.consume({ topics: [BENCH_TOPIC], mode: 'committed', fallbackMode: 'earliest', autocommit: 100 }) // prettier-ignore
for await (const message of stream) {
  loop.take(message.topic, message.value, () => {})
  await loop.room(window)
}
