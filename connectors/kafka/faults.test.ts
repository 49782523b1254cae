// Kafka's side of the fault suite: a real broker behind a proxy that it tells its clients to come to, a topic of three
// partitions for each run, ordered by the key of the record.

import type { FaultBroker } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { startKafka } from '../../test/servers/kafka.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import type { TcpProxy } from '../../test/servers/tcp-proxy.ts'
import { clientOf, createTopic, readLetters, withAdmin, withProducer } from './broker.ts'
import connector from './connector.ts'

const PARTITIONS = 3

async function startBroker(): Promise<FaultBroker> {
  let between: TcpProxy | undefined
  const server = await startKafka({
    advertise: async (port) => {
      between = await startTcpProxy(port)
      return between.port
    },
  })
  const proxy = between as unknown as TcpProxy
  const kafka = clientOf(`127.0.0.1:${server.plainPort}`)
  return {
    name: `Kafka ${server.version}`,
    proxy,
    prepare: async (run) => {
      await createTopic(kafka, { topic: run, numPartitions: PARTITIONS })
      return run
    },
    environment: ({ run, replica }) => ({
      HUB_KAFKA_BROKERS: server.bootstrap,
      HUB_KAFKA_GROUP: run,
      HUB_KAFKA_CLIENT_ID: `${run}-${replica}`,
      HUB_KAFKA_SESSION_TIMEOUT: '6s',
      HUB_KAFKA_REBALANCE_TIMEOUT: '6s',
      HUB_KAFKA_REVOKE_TIMEOUT: '2s',
      HUB_KAFKA_COMMIT_INTERVAL: '5ms',
      HUB_KAFKA_REQUEST_TIMEOUT: '2s',
      HUB_KAFKA_CONNECT_TIMEOUT: '2s',
    }),
    publish: (run, events) =>
      withProducer(kafka, async (producer) => {
        await producer.send({ topic: run, acks: -1, messages: events.map(({ key, body }) => ({ key, value: Buffer.from(body) })) }) // prettier-ignore
      }),
    remaining: (run) =>
      withAdmin(kafka, async (admin) => {
        const ends = await admin.fetchTopicOffsets(run)
        const [group] = await admin.fetchOffsets({ groupId: run, topics: [run] })
        const committed = new Map(group?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
        return ends.reduce((sum, { partition, high }) => sum + Number(high) - Math.max(0, committed.get(partition) ?? 0), 0) // prettier-ignore
      }),
    deadLetters: async (run, functionName) =>
      (await readLetters(kafka, `${run}.dlq`)).filter((letter) => letter.function.split('.')[0] === functionName).map(({ body }) => body), // prettier-ignore
    stop: () => server.stop(),
    kill: () => server.kill(),
    start: () => server.start(),
    rebalances: true,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

faults(connector, startBroker)
