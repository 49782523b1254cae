// RabbitMQ's side of the fault suite: a quorum queue for each run, ordered by a header.

import amqp from 'amqplib'

import type { FaultBroker } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { startRabbit } from '../../test/servers/rabbitmq.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import connector from './connector.ts'

/** Of one hub of the suite: what its only queue sends ahead is all that the hub may hold. */
const PREFETCH = 64

async function startBroker(): Promise<FaultBroker> {
  const server = await startRabbit()
  const proxy = await startTcpProxy(server.port)
  return {
    name: `RabbitMQ ${server.version}`,
    proxy,
    prepare: async (run) => {
      await server.manage('PUT', `queues/%2f/${run}`, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
      await server.saved()
      return run
    },
    environment: ({ proxied }) => ({
      rabbitmq_url: proxied ? server.url.replace(`:${server.port}`, `:${proxy.port}`) : server.url,
      HUB_RABBITMQ_ORDERING_KEY: 'header:key',
      HUB_RABBITMQ_HEARTBEAT: '1s',
      HUB_RABBITMQ_CONNECT_TIMEOUT: '2s',
    }),
    publish: async (run, events) => {
      const model = await amqp.connect(server.url)
      const channel = await model.createConfirmChannel()
      for (const { key, body } of events)
        channel.sendToQueue(run, Buffer.from(body), { persistent: true, headers: { key } })
      await channel.waitForConfirms()
      await model.close()
    },
    remaining: async (run) => Number(((await server.manage('GET', `queues/%2f/${run}`)) as { messages?: number }).messages), // prettier-ignore
    stop: () => server.stop(),
    kill: () => server.kill(),
    start: () => server.start(),
    unordered: {
      'a replica joins and leaves three times': 'a queue gives any of its consumers the next message',
    },
    // Acknowledgements that the broker has not processed: until it has, it sends nothing in place of these messages. A slow
    // broker answers the end of a channel before its quorum queue has taken them all (seen with 3.10.8: 31 of 10,000 again).
    unconfirmedMax: { atStop: PREFETCH, atLoss: PREFETCH },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

faults(connector, startBroker)
