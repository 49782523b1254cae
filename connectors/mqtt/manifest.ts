// What the MQTT connector promises and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'
import { check } from './check.ts'
import { withoutKey } from './filters.ts'

export const fields = {
  url: field.url({
    description: 'Address of the broker. TLS with mqtts://, ssl://, tls:// and wss://.',
    protocols: ['mqtt:', 'tcp:', 'mqtts:', 'ssl:', 'tls:', 'ws:', 'wss:'],
    default: 'mqtt://127.0.0.1:1883',
    example: 'mqtts://broker.example.com:8883',
  }),
  username: field.string({ description: 'User name.' }),
  password: field.secret({ description: 'Password.' }),
  clientId: field.string({
    description:
      'Names the session at the broker; by default connector-hub-<instance>. Two replicas must not have the same: each connect disconnects the other.',
  }),
  protocolVersion: field.choice(['auto', 5, 4], {
    description: 'auto: 5, and 3.1.1 where the broker refuses that. 5 or 4 (MQTT 3.1.1): that alone.',
    default: 'auto',
  }),
  qos: field.choice([1, 0, 2], { description: 'Highest quality of service asked for.', default: 1 }),
  clean: field.boolean({
    description: 'Start without what the broker kept while we were away. Then a restart loses events.',
    default: false,
  }),
  sessionExpiry: field.duration({
    description: 'How long the broker keeps the session while we are away (MQTT 5).',
    default: '24h',
    maxMs: 4_294_967_294_000,
  }),
  keepAlive: field.duration({
    description: 'Longest silence before the connection is tested; a test that is not answered in this time ends it.',
    default: '30s',
    minMs: 1000,
    maxMs: 65_535_000,
  }),
  connectTimeout: field.duration({
    description: 'For connect, TLS and the answer to CONNECT.',
    default: '10s',
    minMs: 100,
    maxMs: 10_000,
  }),
  topics: field.list({
    description: 'Subscribe to exactly these filters instead of those that the annotations name.',
    example: ['sensors/#'],
  }),
  ackOrder: field.choice(['settled', 'received'], {
    description:
      'When a message is acknowledged: as soon as it is settled, or in the order of arrival, as MQTT 5.0 §4.6 asks. Then one slow event holds back all later ones; for brokers that insist.',
    default: 'settled',
  }),
  sharedGroup: field.string({
    description:
      'Subscribe as $share/<group>/…: the replicas of the group share the messages. Each needs a clientId of its own that it keeps.',
    pattern: /^[^/+#]+$/,
    patternHint: 'must be a name without / + and #',
  }),
  trimChannelKey: field.boolean({
    description: 'Drop everything up to the first / of the topic before it is matched (emitter.io channel keys).',
    default: false,
  }),
  tls: field.group('TLS, for the addresses that use it.', tlsFields),
} as const

export const manifest = defineManifest({
  name: 'mqtt',
  title: 'MQTT',
  description: 'A function is invoked with each message of its topics; + and # are wildcards.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'With QoS 1 or 2, published as well as subscribed to, and a persistent session.',
  trigger: 'topic',
  order: 'messages of one topic in the order of arrival',
  capabilities: {
    retry: 'held',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: false,
    topicSyntax: 'mqtt',
  },
  variants: [
    {
      when: 'sharedGroup: <name>',
      applies: ({ sharedGroup }) => sharedGroup !== undefined,
      capabilities: { shared: true },
    },
    {
      when: 'clean: true',
      applies: ({ clean }) => clean,
      guarantee: 'at-most-once',
      guaranteeNote: 'The broker keeps nothing while the hub is away.',
      capabilities: { durable: false },
    },
    {
      when: 'qos: 0',
      applies: ({ qos }) => qos === 0,
      guarantee: 'at-most-once',
      guaranteeNote: 'The broker sends each message once and keeps nothing.',
      capabilities: { durable: false },
    },
  ],
  fields,
  check,
  reads: ({ topics, trimChannelKey }) => topics?.map((topic) => (trimChannelKey ? withoutKey(topic) : topic)),
})
