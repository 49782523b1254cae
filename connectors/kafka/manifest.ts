// What the Kafka connector promises and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'
import { check, patternOf } from './check.ts'

export const fields = {
  brokers: field.list({
    description: 'Addresses to begin with, host:port; the others are learned from them.',
    default: ['127.0.0.1:9092'],
    env: ['broker_hosts', 'broker_host'],
  }),
  topics: field.list({
    description:
      'Read exactly these topics instead of those that the annotations name. An entry between slashes is a regular expression: /^orders-.*/.',
    env: ['topics'],
  }),
  group: field.string({
    description: 'Consumer group: its members share the records, its offsets are where it goes on.',
    default: 'faas-group-1',
    env: ['group'],
  }),
  instanceId: field.string({
    description:
      'Static membership: a restart within sessionTimeout moves no partitions. Each replica needs its own, such as its pod name.',
    env: ['KAFKA_INSTANCE_ID'],
  }),
  initialOffset: field.choice(['oldest', 'newest'], {
    description: 'Where a group begins that has no offset for a partition yet.',
    default: 'oldest',
    env: ['initial_offset'],
  }),
  order: field.choice(['key', 'partition', 'none'], {
    description:
      'What is invoked one at a time: records of one key, of one partition, or nothing. Records without a key are not ordered by key.',
    default: 'key',
  }),
  isolation: field.choice(['committed', 'uncommitted'], {
    description: 'Whether records of open and aborted transactions are left out.',
    default: 'committed',
  }),
  deadLetters: field.choice(['topic', 'hub'], {
    description: 'Where events go that a function did not take: to a topic, or to the store of the hub.',
    default: 'topic',
  }),
  deadLetterTopic: field.string({
    description: 'Name of that topic; {topic} stands for the one of the event.',
    default: '{topic}.dlq',
  }),
  clientId: field.string({
    description: 'Name of this client in the logs and quotas of the brokers; by default connector-hub-<instance>.',
  }),
  username: field.secret({ description: 'User name.', env: ['broker_username'] }),
  password: field.secret({ description: 'Password.', env: ['broker_password'] }),
  saslMechanism: field.choice(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'], {
    description: 'How to log in; plain when only a user name and a password are given.',
  }),
  oauth: field.group('For saslMechanism: oauthbearer: a token from a file, or from an endpoint.', {
    tokenFile: field.string({ description: 'File with the token, read again for each connection.' }),
    tokenEndpoint: field.url({
      description: 'Address that gives a token for clientId and clientSecret (OAuth 2.0 client credentials).',
      protocols: ['https:', 'http:'],
    }),
    clientId: field.string({ description: 'Client id for the endpoint.' }),
    clientSecret: field.secret({ description: 'Client secret for the endpoint.' }),
    scope: field.string({ description: 'Scope to ask for.' }),
  }),
  tls: field.group('TLS. The groups of certificates below switch it on as well.', {
    enabled: field.boolean({ description: 'Speak TLS.', default: false, env: ['tls'] }),
    ...tlsFields,
  }),
  maxBytes: field.integer({
    description: 'Most bytes that are fetched of a partition at once; a larger record is fetched alone.',
    default: 1_048_576,
    min: 1024,
    max: 1_073_741_824,
    env: ['max_bytes'],
  }),
  fetchWait: field.duration({
    description: 'How long a broker waits for the first record before it answers that there is none.',
    default: '250ms',
    minMs: 10,
    maxMs: 5000,
  }),
  uncommittedMax: field.integer({
    description:
      'How far a partition may run ahead of its oldest unsettled record. Then it is paused (connector_hub_kafka_partitions_paused).',
    default: 10_000,
    min: 1,
    max: 15_000,
  }),
  commitInterval: field.duration({
    description: 'Shortest time between two commits. What is settled waits for its commit.',
    default: '50ms',
    minMs: 1,
    maxMs: 60_000,
  }),
  sessionTimeout: field.duration({
    description: 'After this time without a sign of life the group gives our partitions to others.',
    default: '30s',
    minMs: 1000,
  }),
  rebalanceTimeout: field.duration({
    description: 'How long the group waits for its members to join again.',
    default: '60s',
    minMs: 1000,
  }),
  revokeTimeout: field.duration({
    description: 'How long a partition that is taken away is kept for what is being invoked. Below rebalanceTimeout.',
    default: '20s',
    minMs: 0,
  }),
  topicRefresh: field.duration({
    description: 'How often new topics and partitions are looked for.',
    default: '30s',
    minMs: 100,
  }),
  connectTimeout: field.duration({
    description: 'For connect, TLS and login.',
    default: '10s',
    minMs: 100,
    maxMs: 10_000,
  }),
  requestTimeout: field.duration({
    description: 'For each answer of a broker; after it the connection counts as lost.',
    default: '15s',
    minMs: 1000,
  }),
} as const

export const manifest = defineManifest({
  name: 'kafka',
  title: 'Kafka',
  description: 'A function is invoked with each record of its topics.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'From the first commit of the group on; a new group begins where initialOffset says.',
  trigger: 'topic',
  order: 'of the partition for each key; with order: partition or none for all of it or nothing',
  capabilities: {
    retry: 'held',
    settleOrder: 'prefix',
    reject: 'broker',
    durable: true,
    shared: true,
    topicSyntax: 'exact',
  },
  variants: [
    { when: 'deadLetters: hub', applies: ({ deadLetters }) => deadLetters === 'hub', capabilities: { reject: 'hub' } },
  ],
  fields,
  check,
  keepsLetters: () => true,
  reads: ({ topics }) => topics?.map((entry) => patternOf(entry) ?? entry),
})
