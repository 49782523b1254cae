// SQS's side of the conformance suite: ElasticMQ, driven by AWS's own client.

import { CreateQueueCommand, GetQueueAttributesCommand, ReceiveMessageCommand, SQSClient, SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs' // prettier-ignore
import type { Message } from '@aws-sdk/client-sqs'

import { BrokerUnavailable } from '../../test/conformance/contract.ts'
import type { BrokerLetter, SourceScope, TestBroker, TestEvent } from '../../test/conformance/contract.ts'
import { startElasticMq } from '../../test/servers/elasticmq.ts'
import type { ElasticMqServer } from '../../test/servers/elasticmq.ts'
import { ServerUnavailable } from '../../test/servers/provide.ts'

export interface BrokerChoice {
  readonly fifo?: boolean
  /** Every queue has a redrive policy, and its dead letters go there. */
  readonly letters?: boolean
}

export const CREDENTIALS = { accessKeyId: 'hub-key-id', secretAccessKey: 'hub-secret-of-40-characters-for-the-tests' }
export const REGION = 'eu-west-1'
/** So that what a killed instance held comes again soon. */
const VISIBILITY = '5s'
let topics = 0

export function clientOf(endpoint: string): SQSClient {
  return new SQSClient({
    endpoint,
    region: REGION, // It writes into what it is given.
    credentials: { ...CREDENTIALS },
  })
}

/** Started at the first call, for several runs of the suite. Whoever shares it ends it. */
export function sharedElasticMq(): () => Promise<ElasticMqServer> {
  let started: Promise<ElasticMqServer> | undefined
  return () => (started ??= startElasticMq())
}

export async function startSqsBroker(start: () => Promise<ElasticMqServer>, choice: BrokerChoice): Promise<TestBroker> {
  const server = await start().catch((error: unknown) => {
    throw error instanceof ServerUnavailable ? new BrokerUnavailable(error.message) : error
  })
  const client = clientOf(server.url)
  const suffix = choice.fifo === true ? '.fifo' : ''
  const config = (_scope: SourceScope): Record<string, unknown> => ({
    endpoint: server.url,
    region: REGION,
    ...CREDENTIALS,
    visibilityTimeout: VISIBILITY,
    waitTime: '1s',
    ...(choice.letters === true ? { deadLetters: 'queue' } : {}),
  })
  return {
    name: `ElasticMQ ${server.version}`,
    features: {
      bodies: 'text',
      emptyBody: false,
      // ElasticMQ keeps to the limit that SQS had until August 2025.
      bodyBytesMax: 262_144,
      headers: ['plain', 'crlf', 'non-ascii'],
      headerPrefix: 'X-SQS-Attr-',
      keys: choice.fifo === true,
      ordered: choice.fifo === true,
      countsAttempts: true,
      stableIds: true,
      survivesRestart: true,
      retryDelayMs: 1000,
    },
    config,
    badTls: (scope) => ({ 'plain-text port': { ...config(scope), endpoint: server.url.replace('http:', 'https:') } }),
    topic: async (name) => {
      const queue = `${name}-${(topics += 1)}${suffix}`
      const letters = `${name}-${topics}-letters${suffix}`
      if (choice.letters === true) await createQueue(client, letters)
      await createQueue(client, queue, choice.letters === true ? letters : undefined)
      return queue
    },
    publish: (topic, events) => publish(client, urlOf(server, topic), events),
    ...(choice.letters === true ? { deadLetters: (topic: string) => lettersOf(client, urlOf(server, topic.replace(/(\.fifo)?$/, '-letters$1'))) } : {}), // prettier-ignore
    stop: () => server.kill(),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => {
      client.destroy()
      return Promise.resolve()
    },
  }
}

function urlOf({ url }: ElasticMqServer, queue: string): string {
  return `${url}/000000000000/${queue}`
}

/** @param letters its dead-letter queue, after so many receives that the suite never gets there */
export async function createQueue(
  client: SQSClient,
  name: string,
  letters?: string,
  receivesMax = 100,
): Promise<string> {
  const redrive = letters === undefined ? {} : { RedrivePolicy: JSON.stringify({ deadLetterTargetArn: `arn:aws:sqs:elasticmq:000000000000:${letters}`, maxReceiveCount: receivesMax }) } // prettier-ignore
  const fifo = name.endsWith('.fifo') ? { FifoQueue: 'true' } : {}
  const { QueueUrl: url = '' } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes: { ...fifo, ...redrive } })) // prettier-ignore
  return url
}

async function publish(client: SQSClient, url: string, events: readonly TestEvent[]): Promise<void> {
  // One by one: the order in a batch is not promised, and a batch is no longer than one message may be.
  for (const { tag, body, headers, key } of events)
    await client.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody: Buffer.from(body).toString(),
        ...(headers === undefined ? {} : { MessageAttributes: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, { DataType: 'String', StringValue: value }])) }),
        ...(url.endsWith('.fifo') ? { MessageGroupId: key ?? tag, MessageDeduplicationId: tag } : {}),
      }), // prettier-ignore
    )
}

/** In order, ten at a time; for tests that send many. */
export async function publishMany(
  client: SQSClient,
  url: string,
  events: readonly { readonly key?: string; readonly body: string }[],
): Promise<void> {
  for (let at = 0; at < events.length; at += 10) {
    const { Failed: failed = [] } = await client.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: events.slice(at, at + 10).map(({ key, body }, index) => ({
          Id: String(index),
          MessageBody: body,
          ...(url.endsWith('.fifo') ? { MessageGroupId: key, MessageDeduplicationId: `${key}-${body.replaceAll(' ', '-')}` } : {}),
        })), // prettier-ignore
      }),
    )
    if (failed.length > 0) throw new Error(`${failed.length} messages were not taken: ${failed[0]?.Message}`)
  }
}

/** Messages that the queue has, hidden ones included. */
export async function countOf(client: SQSClient, url: string): Promise<number> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...COUNTS] })
  const { Attributes: attributes = {} } = await client.send(command)
  return COUNTS.reduce((sum, name) => sum + Number(attributes[name] ?? 0), 0)
}

const COUNTS = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible', 'ApproximateNumberOfMessagesDelayed'] as const // prettier-ignore

/** All that are visible, and hidden from then on. */
export async function receiveAll(client: SQSClient, url: string): Promise<readonly Message[]> {
  const all: Message[] = []
  for (;;) {
    const { Messages: messages = [] } = await client.send(
      new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'], MessageSystemAttributeNames: ['All'] }), // prettier-ignore
    )
    if (messages.length === 0) return all
    all.push(...messages)
  }
}

async function lettersOf(client: SQSClient, url: string): Promise<readonly BrokerLetter[]> {
  return (await receiveAll(client, url)).map(({ Body: body = '', MessageAttributes: attributes = {} }) => {
    const { 'hub-letter': packed } = attributes
    const own = Object.entries(attributes).map(([name, { StringValue: value }]) => [name, value])
    const marks = packed === undefined ? (Object.fromEntries(own) as Marks) : JSON.parse(packed.StringValue ?? '') as Marks // prettier-ignore
    return {
      body: Buffer.from(body),
      topic: String(marks['hub-queue']),
      function: String(marks['hub-function']),
      reason: String(marks['hub-reason']),
      attempts: Number(marks['hub-attempts']),
    }
  })
}

type Marks = Readonly<Record<string, string | number | undefined>>
