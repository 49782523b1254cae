// The bare loop on kafkajs, with automatic commits, which count a record as done when it is read. Forked by throughput.ts.

import { Kafka, logLevel } from 'kafkajs'

import { BareLoop, bareArguments } from './bare-loop.ts'
import { BENCH_TOPIC } from './brokers.ts'

const { gatewayUrl, port, name, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const consumer = new Kafka({ clientId: name, brokers: [`127.0.0.1:${port}`], logLevel: logLevel.NOTHING }).consumer({ groupId: name }) // prettier-ignore
await consumer.connect()
await consumer.subscribe({ topic: BENCH_TOPIC, fromBeginning: true })
await consumer.run({
  autoCommitInterval: 100,
  eachBatchAutoResolve: true,
  partitionsConsumedConcurrently: 8,
  eachBatch: async ({ batch }) => {
    for (const { value } of batch.messages) {
      loop.take(batch.topic, value ?? Buffer.alloc(0), () => {})
      await loop.room(window)
    }
  },
})
