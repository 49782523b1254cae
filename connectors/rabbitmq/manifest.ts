// What the RabbitMQ connector promises and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'
import { check } from './check.ts'

/** A queue of OpenFaaS's list. */
const queueFields = {
  name: field.string({ description: 'Name of the queue.', required: true }),
  durable: field.boolean({ description: 'The queue outlives a restart of the broker.', default: true }),
  nowait: field.boolean({
    description: "Taken for OpenFaaS's sake: the hub always waits for the answer, so that it can report a refusal.",
    default: false,
  }),
  autodelete: field.boolean({ description: 'The broker deletes it with its last consumer.', default: false }),
  exclusive: field.boolean({ description: 'It belongs to one connection and ends with it.', default: false }),
  type: field.choice(['classic', 'quorum', 'stream'], { description: 'Type of the queue.', default: 'classic' }),
} as const

export const fields = {
  url: field.url({
    description: 'Address of the broker: amqp://host:5672/vhost, or amqps:// for TLS.',
    protocols: ['amqp:', 'amqps:'],
    default: 'amqp://127.0.0.1:5672',
    env: ['rabbitmq_url'],
  }),
  username: field.secret({ description: 'User name; by default that of the URL, else guest.' }),
  password: field.secret({ description: 'Password; by default that of the URL, else guest.' }),
  auth: field.choice(['plain', 'external'], {
    description: 'Log in by name and password, or by the client certificate (SASL EXTERNAL).',
    default: 'plain',
  }),
  vhost: field.string({ description: 'Virtual host; by default that of the URL, else /.' }),
  queues: field.entries(queueFields, {
    description:
      "Queues that are declared at the start, as OpenFaaS's list has them: name, durable, autodelete, exclusive, nowait, type. All others must exist.",
    shorthand: 'name',
    default: [],
    example: [{ name: 'orders', durable: true }],
    env: ['queues'],
  }),
  exchange: field.string({
    description: 'Topics are then binding keys on this exchange, and the messages come through one queue of the hub.',
  }),
  exchangeType: field.choice(['topic', 'direct'], {
    description: 'Type of the exchange; with direct, binding keys have no wildcards.',
    default: 'topic',
  }),
  queue: field.string({
    description: "With exchange: the hub's queue; by default connector-hub-<instance>. Replicas share it.",
  }),
  declare: field.boolean({
    description:
      'Declare the queues of the topics, and with exchange the exchange, its queue and its bindings. By default nothing is created.',
    default: false,
  }),
  queueType: field.choice(['quorum', 'classic'], {
    description: 'Type of the queues that declare creates.',
    default: 'quorum',
  }),
  requeue: field.boolean({
    description:
      'Give a failed message back to its quorum queue after the wait, so that any replica gets it and the broker counts. By default the hub keeps it.',
    default: false,
  }),
  deliveryLimit: field.integer({
    description:
      'Delivery limit of the quorum queues: declared with it, and requeue never exceeds it. By default 20 from RabbitMQ 4 on, as the broker has it, and none before.',
    min: 1,
  }),
  deadLetterExchange: field.string({
    description:
      'Dead letters are published to this exchange, confirmed, with the queue as routing key. By default the hub stores them.',
  }),
  streamOffset: field.choice(['first', 'last', 'next'], {
    description: 'Where a stream that was never read begins; last is its last chunk. Later starts go on where it was.',
    default: 'first',
  }),
  orderingKey: field.string({
    description:
      'Messages with equal values are invoked one at a time: queue, routing-key, correlation-id or header:<name>. By default nothing is ordered.',
    pattern: /^(queue|routing-key|correlation-id|header:.+)$/,
    patternHint: 'must be queue, routing-key, correlation-id or header:<name>',
  }),
  heartbeat: field.duration({
    description: 'Whole seconds; after two of them without a sign the connection counts as lost.',
    default: '10s',
    minMs: 1000,
    maxMs: 600_000,
  }),
  connectTimeout: field.duration({
    description: 'For the whole of connect, TLS and login, and for the confirmation of a dead letter.',
    default: '10s',
    minMs: 100,
    maxMs: 60_000,
  }),
  tls: field.group('TLS, for amqps://.', tlsFields),
} as const

export const manifest = defineManifest({
  name: 'rabbitmq',
  title: 'RabbitMQ',
  description:
    'A function is invoked with each message of its queues, or of its binding keys on an exchange (* and # are wildcards).',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'As long as the queue keeps the message: durable queue, persistent messages.',
  trigger: 'topic',
  order: 'of the queue as it is handed out; one at a time per key with orderingKey',
  capabilities: {
    retry: 'held',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: true,
    topicSyntax: 'exact',
  },
  variants: [
    {
      when: 'exchange: <name>',
      applies: ({ exchange }) => exchange !== undefined,
      capabilities: { topicSyntax: 'amqp' },
    },
    { when: 'requeue: true', applies: ({ requeue }) => requeue, capabilities: { retry: 'immediate' } },
    {
      when: 'deadLetterExchange: <name>',
      applies: ({ deadLetterExchange }) => deadLetterExchange !== undefined,
      capabilities: { reject: 'broker' },
    },
  ],
  fields,
  check,
  keepsLetters: () => true,
})
