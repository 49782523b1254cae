// The bare loop on NATS JetStream: the client's own consume, and its own unconfirmed acknowledgement. Forked by throughput.ts.

import { jetstream } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'

import { BareLoop, bareArguments } from './bare-loop.ts'
import { BENCH_STREAM } from './brokers.ts'

const { gatewayUrl, port, name, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const client = await connect({ servers: `nats://127.0.0.1:${port}` })
const consumer = await jetstream(client).consumers.get(BENCH_STREAM, name)
for await (const message of await consumer.consume({ max_messages: window }))
  loop.take(message.subject, message.data, () => message.ack())
