// The bare loop on RabbitMQ: the client's own consumer, and an acknowledgement for each message. Forked by throughput.ts.

import amqp from 'amqplib'

import { BareLoop, bareArguments } from './bare-loop.ts'
import { BENCH_QUEUE } from './brokers.ts'

const { gatewayUrl, port, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const client = await amqp.connect(`amqp://hub:hub-test@127.0.0.1:${port}`, { noDelay: true })
const channel = await client.createChannel()
await channel.prefetch(window)
await channel.consume(BENCH_QUEUE, (message) => {
  if (message !== null) loop.take(BENCH_QUEUE, message.content, () => channel.ack(message))
})
