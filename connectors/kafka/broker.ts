// Kafka's side of the conformance suite: a real broker, driven by another client than the connector's.

import { Kafka, logLevel } from 'kafkajs'
import type { Admin, ITopicConfig, Producer } from 'kafkajs'

import { vi } from 'vitest'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { BrokerLetter, SourceScope, TestBroker } from '../../test/conformance/contract.ts'
import { startKafka } from '../../test/servers/kafka.ts'
import { ServerUnavailable } from '../../test/servers/provide.ts'

const PASSWORD = 'correct-horse-battery-staple'
const PARTITIONS = 3
/** Reached only by what is broken. */
const LEADERS_MS = 60_000
let topics = 0

export async function startKafkaBroker(): Promise<TestBroker> {
  const sasl = { mechanism: 'PLAIN', username: 'hub', password: PASSWORD } as const
  const server = await startKafka({ sasl: [sasl] }).catch((error: unknown) => {
    throw error instanceof ServerUnavailable ? new BrokerUnavailable(error.message) : error
  })
  const kafka = clientOf(`127.0.0.1:${server.plainPort}`)
  const config = ({ run, replica }: SourceScope): Record<string, unknown> => ({
    brokers: [server.bootstrap],
    username: 'hub',
    password: PASSWORD,
    group: run,
    clientId: `${run}-${replica}`,
    // So that what a killed instance held comes again soon.
    sessionTimeout: '2s',
    rebalanceTimeout: '3s',
    revokeTimeout: '1s',
    commitInterval: '5ms',
    fetchWait: '20ms',
  })
  return {
    name: `Kafka ${server.version}`,
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 1_000_000,
      headers: ['plain', 'crlf', 'non-ascii'],
      headerPrefix: 'X-Kafka-',
      keys: true,
      ordered: true,
      // Tries are counted, and deliveries that were never tried are not.
      countsAttempts: false,
      stableIds: true,
      survivesRestart: true,
      retryDelayMs: 0,
    },
    config,
    badCredentials: (scope) => ({ ...config(scope), password: 'wrong' }),
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), tls: { enabled: true } } }),
    topic: async (name) => {
      const topic = `conformance-${name}-${(topics += 1)}`
      await createTopic(kafka, { topic, numPartitions: PARTITIONS })
      return topic
    },
    publish: (topic, events) =>
      withProducer(kafka, async (producer) => {
        // Without keys all in one partition: the events of a topic are one sequence.
        const messages = events.map(({ body, headers = {}, key }) => ({ value: Buffer.from(body), headers, ...(key === undefined ? { partition: 0 } : { key }) })) // prettier-ignore
        await producer.send({ topic, messages, acks: -1 })
      }),
    deadLetters: (topic) => readLetters(kafka, `${topic}.dlq`),
    stop: () => server.kill(),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

export function clientOf(...brokers: readonly string[]): Kafka {
  return new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 20, retries: 10 } })
}

export async function withAdmin<T>(kafka: Kafka, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/**
 * With a leader for each partition. Not by the client's own `waitForLeaders`, which fails on a broker that has not heard of
 * the topic yet.
 */
export async function createTopic(kafka: Kafka, topic: ITopicConfig): Promise<void> {
  await withAdmin(kafka, async (admin) => {
    await admin.createTopics({ topics: [topic], waitForLeaders: false })
    const led = async (): Promise<void> => {
      const { topics: found } = await admin.fetchTopicMetadata({ topics: [topic.topic] })
      if (found[0]?.partitions.every(({ leader }) => leader >= 0) !== true)
        throw new Error(`${topic.topic} has no leaders`)
    }
    await vi.waitFor(led, { timeout: LEADERS_MS, interval: 20 })
  })
}

export async function withProducer<T>(kafka: Kafka, work: (producer: Producer) => Promise<T>): Promise<T> {
  // Else a retry, such as right after a topic was made, writes what was written already once more.
  const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  try {
    return await work(producer)
  } finally {
    await producer.disconnect()
  }
}

/** All that is in the topic now. */
export async function readLetters(kafka: Kafka, topic: string): Promise<readonly BrokerLetter[]> {
  const ends = await withAdmin(kafka, async (admin) =>
    (await admin.listTopics()).includes(topic) ? await admin.fetchTopicOffsets(topic) : [],
  )
  const count = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  if (count === 0) return []
  const letters: BrokerLetter[] = []
  const consumer = kafka.consumer({ groupId: `letters-${topic}-${(topics += 1)}` })
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          autoCommit: false,
          eachMessage: ({ message: { value, headers = {} } }) => {
            const text = (name: string): string => String(headers[name] ?? '')
            letters.push({ body: value ?? Buffer.alloc(0), topic: text('hub-topic'), function: text('hub-function'), reason: text('hub-reason'), attempts: Number(text('hub-attempts')) }) // prettier-ignore
            if (letters.length >= count) resolve()
            return Promise.resolve()
          },
        })
        .catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return letters
}
