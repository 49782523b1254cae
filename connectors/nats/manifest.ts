// What the NATS connector promises in each of its layers, and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'
import type { Variant } from '../../src/sdk/index.ts'
import { check } from './check.ts'

/** A queue group by this name is none: environment variables cannot be set to nothing. */
const NO_GROUP = 'none'

/** The queue group that the configuration names; undefined where every replica gets every message. */
export function queueGroupOf({ queueGroup }: { readonly queueGroup: string }): string | undefined {
  return queueGroup === '' || queueGroup === NO_GROUP ? undefined : queueGroup
}

/** What the names of durable consumers begin with. */
export function durableOf({ durable }: { readonly durable: string | undefined }, instance: string): string {
  return durable ?? `connector-hub-${instance}`
}

export const fields = {
  servers: field.list({
    description: 'Addresses of the servers, one of which is used: nats://host:4222, tls://host:4222 or a host alone.',
    default: ['nats://127.0.0.1:4222'],
    env: ['broker_host'],
  }),
  layer: field.choice(['jetstream', 'core'], {
    description: 'Read streams, at least once, or what is published now, at most once.',
    default: 'jetstream',
  }),
  topics: field.list({
    description: 'Read exactly these subject filters instead of those that the annotations name.',
    example: ['orders.>'],
    env: ['topics'],
  }),
  username: field.string({ description: 'User name.' }),
  password: field.secret({ description: 'Password.' }),
  token: field.secret({ description: 'Token.' }),
  nkeySeed: field.secret({ description: 'Seed of an NKey (SU…).' }),
  credsFile: field.string({ description: 'Credentials file of an account (JWT and NKey).' }),
  orderingToken: field.integer({
    description:
      'Token of the subject, from 1, whose equal values are invoked one at a time; by default nothing is ordered.',
    min: 1,
    max: 32,
  }),
  stream: field.string({ description: 'JetStream: read this stream only; by default every one that has the subject.' }),
  createStream: field.boolean({
    description: 'JetStream: create a stream for a subject that has none. By default only consumers are created.',
    default: false,
  }),
  durable: field.string({
    description:
      'JetStream: begins the names of the durable consumers, one for each subject; by default connector-hub-<instance>.',
    pattern: /^[A-Za-z0-9_-]+$/,
    patternHint: 'must be letters, digits, - and _',
  }),
  deliver: field.choice(['all', 'new'], {
    description:
      'JetStream: where a new consumer begins, with everything that the stream holds or with what comes from now on.',
    default: 'all',
  }),
  ackWait: field.duration({
    description:
      'JetStream: after this time without a sign of us the server delivers a message again. Held messages give signs.',
    default: '30s',
    minMs: 1000,
  }),
  queueGroup: field.string({
    description:
      'Core: the queue group whose members, the replicas, share the messages. `none`: each replica gets every message.',
    default: 'openfaas_nats_worker_group',
    pattern: /^\S*$/,
    patternHint: 'must not contain white space',
  }),
  reply: field.boolean({
    description: 'Core: answer a message that has a reply subject with what its functions answer.',
    default: true,
  }),
  pendingMax: field.integer({
    description:
      'Core: how many messages wait in memory while no function can take them. Those beyond are dropped and counted.',
    default: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  pendingBytesMax: field.size({
    description: 'Core: the same in bytes of their bodies.',
    default: '64MiB',
    minBytes: 1024,
  }),
  connectTimeout: field.duration({
    description: 'For connect, TLS, and each answer of the server.',
    default: '10s',
    minMs: 100,
    maxMs: 10_000,
  }),
  keepAlive: field.duration({
    description: 'How often a connection is tested; two tests that are not answered end it.',
    default: '10s',
    minMs: 100,
    maxMs: 300_000,
  }),
  tls: field.group(
    'TLS, for addresses that begin with tls://; a server that demands it gets it in any case.',
    tlsFields,
  ),
} as const

const core = {
  guarantee: 'at-most-once',
  guaranteeNote: 'Nothing is kept at the server: what is published while no replica reads, or while one dies, is lost.',
  order: 'of arrival for each subject filter; one at a time per token with orderingToken',
} as const

const variants: readonly Variant<typeof fields>[] = [
  {
    when: 'layer: core',
    applies: ({ layer }) => layer === 'core',
    ...core,
    capabilities: { retry: 'held', durable: false, shared: true },
  },
  {
    when: 'layer: core, queueGroup: none',
    applies: (config) => config.layer === 'core' && queueGroupOf(config) === undefined,
    ...core,
    capabilities: { retry: 'held', durable: false, shared: false },
  },
]

export const manifest = defineManifest({
  name: 'nats',
  title: 'NATS',
  description:
    'A function is invoked with each message of its subjects, in a JetStream stream or as core NATS; * and > are wildcards.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'From the moment a stream has stored the message. Subjects without a stream are not read.',
  trigger: 'topic',
  order: 'of the stream for each subject filter; one at a time per token with orderingToken',
  capabilities: {
    retry: 'delayed',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: true,
    topicSyntax: 'nats',
  },
  variants,
  fields,
  check,
  keepsLetters: ({ layer }) => layer !== 'core',
  reads: ({ topics }) => topics,
})
