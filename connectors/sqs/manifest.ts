// What the SQS connector promises and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'
import { check } from './check.ts'

export const fields = {
  queues: field.list({
    description:
      'URLs of queues that a topic names by their last part, such as those of other accounts; all others are looked up by name.',
    default: [],
    example: ['https://sqs.eu-west-1.amazonaws.com/123456789012/orders'],
    env: ['queue_url'],
  }),
  region: field.string({
    description: "AWS region; by default that of the AWS configuration file's profile.",
    example: 'eu-west-1',
    env: ['AWS_REGION', 'AWS_DEFAULT_REGION'],
  }),
  endpoint: field.url({
    description: 'Address of another server than the one of AWS in the region: a VPC endpoint, ElasticMQ, LocalStack.',
    protocols: ['http:', 'https:'],
    env: ['AWS_ENDPOINT_URL_SQS', 'AWS_ENDPOINT_URL'],
  }),
  accessKeyId: field.secret({
    description: 'Access key; without it the AWS chain: environment, shared files, web identity, instance.',
  }),
  secretAccessKey: field.secret({ description: 'Secret of the access key.' }),
  sessionToken: field.secret({ description: 'Session token of a temporary access key.' }),
  visibilityTimeout: field.duration({
    description:
      'How long SQS hides a received message from others; extended while it is held here, so it is the wait after a crash. Whole seconds.',
    default: '30s',
    minMs: 1000,
    maxMs: 43_200_000,
    env: ['visibility_timeout'],
  }),
  waitTime: field.duration({
    description: 'How long a receive waits for the first message (long polling). Whole seconds.',
    default: '20s',
    minMs: 1000,
    maxMs: 20_000,
    env: ['wait_time'],
  }),
  maxMessages: field.integer({
    description: 'Messages of one receive, at most.',
    default: 10,
    min: 1,
    max: 10,
    env: ['max_messages'],
  }),
  unwrap: field.choice(['none', 'sns', 's3'], {
    description:
      'Open what wraps the event: sns, the envelope of a notification; s3, an S3 event, also in an SNS envelope, with one event for each record. Other messages are left whole.',
    default: 'none',
  }),
  deadLetters: field.choice(['auto', 'queue', 'hub'], {
    description:
      "Where events go that a function did not take: to the dead-letter queue of the queue's redrive policy, to the store of the hub, or (auto) to the former where there is one and else the latter.",
    default: 'auto',
  }),
  connectTimeout: field.duration({
    description: 'For connect and TLS.',
    default: '5s',
    minMs: 100,
    maxMs: 60_000,
  }),
  requestTimeout: field.duration({
    description: 'For each answer, for a receive beyond its waitTime; after it the connection counts as lost.',
    default: '10s',
    minMs: 100,
    maxMs: 60_000,
  }),
  tls: field.group('TLS, for an endpoint that begins with https://.', tlsFields),
} as const

export const manifest = defineManifest({
  name: 'sqs',
  title: 'AWS SQS',
  description: 'A function is invoked with each message of its queues, standard or FIFO.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'As long as the queue retains the message (4 days unless it is set otherwise).',
  trigger: 'topic',
  order: 'of the message group in a FIFO queue; none in a standard queue',
  capabilities: {
    retry: 'delayed',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: true,
    topicSyntax: 'exact',
  },
  variants: [
    {
      when: 'deadLetters: queue',
      applies: ({ deadLetters }) => deadLetters === 'queue',
      capabilities: { reject: 'broker' },
    },
  ],
  fields,
  check,
  keepsLetters: () => true,
})
