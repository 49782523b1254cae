// The brokers of the benchmark: each fills a backlog for one named subscriber and says how the hub and the bare loop
// connect as that subscriber.

import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import amqp from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import { connectAsync } from 'mqtt'

import { consumerName } from '../../connectors/nats/subjects.ts'
import { CREDENTIALS, REGION, clientOf, createQueue, publishMany } from '../../connectors/sqs/broker.ts'
import { LoopbackClient } from '../conformance/loopback/client.ts'
import { noElasticMq, startElasticMq } from '../servers/elasticmq.ts'
import { noKafka, startKafka } from '../servers/kafka.ts'
import { noMosquitto, startMosquitto } from '../servers/mosquitto.ts'
import { noNats, startNats } from '../servers/nats.ts'
import { noRabbit, startRabbit } from '../servers/rabbitmq.ts'
import { pickPorts } from '../servers/server.ts'
import { Worker } from './child.ts'
import type { BacklogOrder } from './loopback-broker.ts'
import type { CallersOrder } from './webhook-callers.ts'

export interface BenchBroker extends AsyncDisposable {
  readonly title: string
  readonly port: number
  /** Annotation of the function. */
  readonly topic: string
  /** Module of the bare loop. */
  readonly bare: string
  /** No more events than this, of a server that takes or gives them slowly. */
  readonly eventsMax?: number
  /** The connector's part of hub.yaml. */
  connector(name: string): Readonly<Record<string, unknown>>
  /** Nothing is connected as `name` meanwhile. */
  fill(name: string, backlog: BacklogOrder): Promise<void>
}

export async function startLoopback(): Promise<BenchBroker> {
  const worker = new Worker<BacklogOrder, { readonly port?: number }>('loopback-broker.ts')
  const { port = 0 } = await worker.report()
  return {
    title: 'loopback',
    port,
    topic: 'bench',
    bare: 'bare-loopback.ts',
    connector: (group) => ({ type: './test/conformance/loopback/connector.ts', port, password: 'bench', group }),
    async fill(group, backlog) {
      const client = await LoopbackClient.open(
        { port, tls: false },
        new AbortController().signal,
        () => {},
        () => {},
      )
      await client.request({ op: 'hello', password: 'bench', group, window: 1 })
      await client.request({ op: 'subscribe', topics: ['bench'] })
      await client.close()
      worker.order(backlog)
      await worker.report()
    },
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  }
}

/** @returns why there is none */
export async function startMqtt(): Promise<BenchBroker | string> {
  const missing = noMosquitto({ any: true })
  if (missing !== undefined) return missing
  const server = await startMosquitto({ any: true })
  return {
    title: `MQTT, QoS 1 (Mosquitto ${server.version})`,
    port: server.port,
    topic: 'bench/+',
    bare: 'bare-mqtt.ts',
    connector: (clientId) => ({ type: 'mqtt', url: server.url, clientId }),
    async fill(clientId, { events, bodyBytes, keys }) {
      const session = await connectAsync(server.url, {
        protocolVersion: 5,
        clientId,
        clean: false,
        properties: { sessionExpiryInterval: 3600 },
      })
      await session.subscribeAsync('bench/+', { qos: 1 })
      await session.endAsync()
      const client = await connectAsync(server.url, { protocolVersion: 5 })
      const body = Buffer.alloc(bodyBytes, 'x')
      for (let sent = 0; sent < events; sent += 1000)
        await Promise.all(
          Array.from({ length: Math.min(1000, events - sent) }, (_, index) =>
            client.publishAsync(`bench/${(sent + index) % keys}`, body, { qos: 1 }),
          ),
        )
      await client.endAsync()
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export const BENCH_TOPIC = 'bench'
const BENCH_PARTITIONS = 8

/** @returns why there is none */
export const startKafkaBench = (): Promise<BenchBroker | string> => startKafkaWith('bare-kafka.ts', '@platformatic/kafka') // prettier-ignore

/** The same, beside the other client. @returns why there is none */
export const startKafkaJsBench = (): Promise<BenchBroker | string> => startKafkaWith('bare-kafkajs.ts', 'kafkajs')

async function startKafkaWith(bare: string, client: string): Promise<BenchBroker | string> {
  const missing = await noKafka()
  if (missing !== undefined) return missing
  const server = await startKafka()
  const kafka = new Kafka({ brokers: [server.bootstrap], logLevel: logLevel.NOTHING })
  let filled: string | undefined
  return {
    title: `Kafka ${server.version}, bare loop on ${client}`,
    port: server.port,
    topic: BENCH_TOPIC,
    bare,
    connector: (group) => ({ type: 'kafka', brokers: [server.bootstrap], group }),
    async fill(_name, { events, bodyBytes, keys }) {
      // Every group begins with the oldest record, so one backlog does for all of them.
      const wanted = `${events} ${bodyBytes} ${keys}`
      if (filled === wanted) return
      filled = wanted
      const admin = kafka.admin()
      await admin.connect()
      await admin.createTopics({ topics: [{ topic: BENCH_TOPIC, numPartitions: BENCH_PARTITIONS }], waitForLeaders: true }) // prettier-ignore
      await admin.disconnect()
      const producer = kafka.producer()
      await producer.connect()
      const value = Buffer.alloc(bodyBytes, 'x')
      for (let sent = 0; sent < events; sent += 1000)
        await producer.send({
          topic: BENCH_TOPIC,
          messages: Array.from({ length: Math.min(1000, events - sent) }, (_, index) => ({ key: String((sent + index) % keys), value })), // prettier-ignore
        })
      await producer.disconnect()
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export const BENCH_STREAM = 'BENCH'
const BENCH_SUBJECT = 'bench.*'

/** @returns why there is none */
export async function startNatsJetStream(): Promise<BenchBroker | string> {
  const missing = await noNats()
  if (missing !== undefined) return missing
  const server = await startNats()
  const client = await connectNats({ servers: server.url })
  const manager = await jetstreamManager(client)
  const stream = jetstream(client)
  return {
    title: `NATS JetStream (nats-server ${server.version})`,
    port: server.port,
    topic: BENCH_SUBJECT,
    bare: 'bare-nats.ts',
    connector: (durable) => ({ type: 'nats', servers: [server.url], durable, orderingToken: 2 }),
    async fill(name, { events, bodyBytes, keys }) {
      // A stream of its own for each run, so that every consumer begins with an equal backlog.
      await manager.streams.delete(BENCH_STREAM).catch(() => undefined)
      await manager.streams.add({ name: BENCH_STREAM, subjects: [BENCH_SUBJECT] })
      const durable = name.includes('-bare-') ? name : consumerName(name, BENCH_SUBJECT)
      await manager.consumers.add(BENCH_STREAM, { durable_name: durable, filter_subject: BENCH_SUBJECT, ack_policy: AckPolicy.Explicit, max_ack_pending: -1 }) // prettier-ignore
      const body = Buffer.alloc(bodyBytes, 'x')
      for (let sent = 0; sent < events; sent += 1000)
        await Promise.all(
          Array.from({ length: Math.min(1000, events - sent) }, (_, index) =>
            stream.publish(`bench.${(sent + index) % keys}`, body),
          ),
        )
    },
    async [Symbol.asyncDispose]() {
      await client.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

export const BENCH_QUEUE = 'bench'

/** @returns why there is none */
export async function startRabbitMq(): Promise<BenchBroker | string> {
  const missing = await noRabbit()
  if (missing !== undefined) return missing
  const server = await startRabbit()
  return {
    title: `RabbitMQ, quorum queue (${server.version})`,
    port: server.port,
    topic: BENCH_QUEUE,
    bare: 'bare-rabbitmq.ts',
    connector: () => ({ type: 'rabbitmq', url: server.url, orderingKey: 'header:key' }),
    async fill(_name, { events, bodyBytes, keys }) {
      const client = await amqp.connect(server.url)
      const channel = await client.createConfirmChannel()
      // A queue of its own for each run, so that every consumer begins with an equal backlog.
      await channel.deleteQueue(BENCH_QUEUE)
      await channel.assertQueue(BENCH_QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
      const body = Buffer.alloc(bodyBytes, 'x')
      for (let sent = 0; sent < events; sent += 1000) {
        for (let index = sent; index < Math.min(events, sent + 1000); index++)
          channel.sendToQueue(BENCH_QUEUE, body, { persistent: true, headers: { key: index % keys } })
        await channel.waitForConfirms()
      }
      await client.close()
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** Nothing waits anywhere: who calls does so when somebody listens. */
export async function startWebhook(): Promise<BenchBroker> {
  const [port = 0] = await pickPorts(1)
  let callers: Worker<CallersOrder, object> | undefined
  return {
    title: 'Webhook, on the disk before the answer',
    port,
    topic: BENCH_TOPIC,
    bare: 'bare-webhook.ts',
    connector: () => ({ type: 'webhook', listen: { host: '127.0.0.1', port }, hooks: [{ name: BENCH_TOPIC, scheme: 'none' }] }), // prettier-ignore
    async fill(_name, backlog) {
      await callers?.[Symbol.asyncDispose]()
      callers = new Worker<CallersOrder, object>('webhook-callers.ts')
      callers.order({ ...backlog, port })
    },
    async [Symbol.asyncDispose]() {
      await callers?.[Symbol.asyncDispose]()
    },
  }
}

export function benchQueueUrl(port: number): string {
  return `http://127.0.0.1:${port}/000000000000/${BENCH_QUEUE}`
}

/** @returns why there is none */
export async function startSqs(): Promise<BenchBroker | string> {
  const missing = await noElasticMq({ any: true })
  if (missing !== undefined) return missing
  const server = await startElasticMq({ any: true })
  const client = clientOf(server.url)
  const { port } = server
  return {
    title: `SQS, standard queue (ElasticMQ ${server.version})`,
    eventsMax: 2000,
    port,
    topic: BENCH_QUEUE,
    bare: 'bare-sqs.ts',
    connector: () => ({ type: 'sqs', endpoint: server.url, region: REGION, ...CREDENTIALS }),
    async fill(_name, { events, bodyBytes }) {
      // A queue of its own for each run, so that every consumer begins with an equal backlog.
      await client.send(new DeleteQueueCommand({ QueueUrl: benchQueueUrl(port) })).catch(() => undefined)
      const url = await createQueue(client, BENCH_QUEUE)
      const body = 'x'.repeat(bodyBytes)
      await publishMany(
        client,
        url,
        Array.from({ length: events }, () => ({ body })),
      )
    },
    async [Symbol.asyncDispose]() {
      client.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}
