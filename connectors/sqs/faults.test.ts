// SQS's side of the fault suite: ElasticMQ and a FIFO queue for each run, ordered by its groups.

import type { FaultBroker } from '../../test/faults/contract.ts'
import { faults } from '../../test/faults/index.ts'
import { startElasticMq } from '../../test/servers/elasticmq.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { CREDENTIALS, REGION, clientOf, countOf, createQueue, publishMany } from './broker.ts'
import connector from './connector.ts'

/** SQS gives out nothing of a group of which something is in flight. */
const FORGETS_GROUPS = 'at a restart ElasticMQ forgets which groups have messages in flight (1.7.1)'

/**
 * A hub at its bound asks for nothing; that the server is away it learns from the next heartbeats, three of them in each
 * visibility timeout. An outage that ends before is none for it. Its length is the fault itself.
 */
const OUTAGE_MS = 3000
const outage = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, OUTAGE_MS))

async function startBroker(): Promise<FaultBroker> {
  const server = await startElasticMq()
  const proxy = await startTcpProxy(server.port)
  const client = clientOf(server.url)
  const urlOf = (run: string): string => `${server.url}/000000000000/${run}.fifo`
  return {
    name: `ElasticMQ ${server.version}`,
    // With its messages in a database it takes and gives about eighty a second.
    eventsMax: 2000,
    proxy,
    prepare: async (run) => {
      await createQueue(client, `${run}.fifo`)
      return `${run}.fifo`
    },
    environment: ({ proxied }) => ({
      HUB_SQS_ENDPOINT: proxied ? `http://127.0.0.1:${proxy.port}` : server.url,
      HUB_SQS_REGION: REGION,
      HUB_SQS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      HUB_SQS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      HUB_SQS_VISIBILITY_TIMEOUT: '6s',
      HUB_SQS_WAIT_TIME: '1s',
      HUB_SQS_CONNECT_TIMEOUT: '2s',
      HUB_SQS_REQUEST_TIMEOUT: '2s',
    }),
    publish: (run, events) =>
      publishMany(
        client,
        urlOf(run),
        events.map(({ key, body }) => ({ key, body: Buffer.from(body).toString() })),
      ),
    remaining: (run) => countOf(client, urlOf(run)),
    stop: async () => {
      await server.stop()
      await outage()
    },
    kill: async () => {
      await server.kill()
      await outage()
    },
    start: () => server.start(),
    unordered: {
      'server restarted twice': FORGETS_GROUPS,
      'server killed': FORGETS_GROUPS,
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
      await proxy[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

faults(connector, startBroker)
