// RabbitMQ's side of the conformance suite: a real server, driven by a plain client.

import amqp from 'amqplib'
import type { ConfirmChannel } from 'amqplib'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { BrokerLetter, SourceScope, TestBroker } from '../../test/conformance/contract.ts'
import { ServerUnavailable } from '../../test/servers/provide.ts'
import { startRabbit } from '../../test/servers/rabbitmq.ts'
import type { RabbitServer } from '../../test/servers/rabbitmq.ts'

/** What the suite is run against. */
export interface BrokerChoice {
  readonly type: 'classic' | 'quorum'
  /** The source gives retries back to the broker. */
  readonly requeue?: boolean
  /** The broker owns the dead letters. */
  readonly letters?: boolean
  /** Topics are binding keys. */
  readonly exchange?: boolean
}

const EXCHANGE = 'conformance'
const LETTERS = 'conformance-letters'
let topics = 0

/** Started at the first call, for several runs of the suite. Whoever shares it ends it. */
export function sharedRabbit(): () => Promise<RabbitServer> {
  let started: Promise<RabbitServer> | undefined
  return () => (started ??= startRabbit())
}

export async function startRabbitBroker(start: () => Promise<RabbitServer>, choice: BrokerChoice): Promise<TestBroker> {
  const server = await start().catch((error: unknown) => {
    throw error instanceof ServerUnavailable ? new BrokerUnavailable(error.message) : error
  })
  await server.manage('PUT', `exchanges/%2f/${EXCHANGE}`, { type: 'topic', durable: true })
  await server.manage('PUT', `exchanges/%2f/${LETTERS}`, { type: 'topic', durable: true })
  const config = ({ run }: SourceScope): Record<string, unknown> => ({
    url: server.url,
    ...(choice.requeue === true ? { requeue: true } : {}),
    ...(choice.letters === true ? { deadLetterExchange: LETTERS } : {}),
    ...(choice.exchange === true ? { exchange: EXCHANGE, queue: `conformance-${run}`, declare: true, queueType: choice.type } : {}), // prettier-ignore
  })
  const withUrl = (scope: SourceScope, change: (url: URL) => void): Record<string, unknown> => {
    const url = new URL(server.url)
    change(url)
    return { ...config(scope), url: url.href }
  }
  return {
    name: `RabbitMQ ${server.version}`,
    features: {
      bodies: 'bytes',
      emptyBody: true,
      bodyBytesMax: 2_000_000,
      headers: ['plain', 'crlf', 'non-ascii'],
      headerPrefix: 'X-Rabbitmq-',
      keys: false,
      ordered: true,
      countsAttempts: choice.type === 'quorum',
      stableIds: true,
      survivesRestart: true,
      retryDelayMs: 0,
    },
    config,
    badCredentials: (scope) => withUrl(scope, (url) => (url.password = 'wrong-password')),
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), url: server.url.replace('amqp:', 'amqps:') } }),
    topic: async (name) => {
      const topic = `${name}-${(topics += 1)}`
      if (choice.exchange === true) return topic
      await declareQueue(server, topic, choice.type)
      if (choice.letters === true) {
        await declareQueue(server, `letters.${topic}`, 'classic')
        await server.manage('POST', `bindings/%2f/e/${LETTERS}/q/letters.${topic}`, { routing_key: topic })
      }
      return topic
    },
    publish: (topic, events) =>
      publishing(server, async (channel) => {
        for (const { tag, body, headers } of events)
          channel.publish(choice.exchange === true ? EXCHANGE : '', topic, Buffer.from(body), {
            persistent: true,
            messageId: tag,
            ...(headers === undefined ? {} : { headers }),
          })
        await channel.waitForConfirms()
      }),
    ...(choice.letters === true ? { deadLetters: (topic: string) => lettersOf(server, topic) } : {}),
    stop: async () => {
      await server.saved()
      await server.kill()
    },
    start: () => server.start(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function declareQueue(server: RabbitServer, name: string, type: 'classic' | 'quorum'): Promise<void> {
  await server.manage('PUT', `queues/%2f/${name}`, { durable: true, arguments: { 'x-queue-type': type } })
}

async function publishing(server: RabbitServer, work: (channel: ConfirmChannel) => Promise<void>): Promise<void> {
  const model = await amqp.connect(server.url)
  try {
    await work(await model.createConfirmChannel())
  } finally {
    await model.close()
  }
}

/** Reads them without taking them. */
async function lettersOf(server: RabbitServer, topic: string): Promise<readonly BrokerLetter[]> {
  const model = await amqp.connect(server.url)
  try {
    const channel = await model.createChannel()
    const letters: BrokerLetter[] = []
    for (;;) {
      const message = await channel.get(`letters.${topic}`)
      if (message === false) return letters
      const headers = message.properties.headers ?? {}
      letters.push({
        body: message.content,
        topic: String(headers['hub-queue']),
        function: String(headers['hub-function']),
        reason: String(headers['hub-reason']),
        attempts: Number(headers['hub-attempts']),
      })
    }
  } finally {
    await model.close()
  }
}
