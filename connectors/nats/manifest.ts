// What the NATS connector promises and what can be configured.

import { defineManifest, field, tlsFields } from '../../src/sdk/index.ts'

export const manifest = defineManifest({
  name: 'nats',
  title: 'NATS JetStream',
  description: 'A function is invoked with each message of its subjects in a JetStream stream; * and > are wildcards.',
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
  fields: {
    servers: field.list({
      description: 'Addresses of the servers, tried in turn: nats://host:4222, tls://host:4222 or a host alone.',
      default: ['nats://127.0.0.1:4222'],
      env: ['broker_host'],
    }),
    username: field.string({ description: 'User name.' }),
    password: field.secret({ description: 'Password.' }),
    token: field.secret({ description: 'Token.' }),
    nkeySeed: field.secret({ description: 'Seed of an NKey (SU…).' }),
    credsFile: field.string({ description: 'Credentials file of an account (JWT and NKey).' }),
    stream: field.string({ description: 'Read this stream only; by default every one that has the subject.' }),
    createStream: field.boolean({
      description: 'Create a stream for a subject that has none. By default nothing is created but consumers.',
      default: false,
    }),
    durable: field.string({
      description:
        'Begins the names of the durable consumers, one for each subject; by default connector-hub-<instance>.',
      pattern: /^[A-Za-z0-9_-]+$/,
      patternHint: 'must be letters, digits, - and _',
    }),
    deliver: field.choice(['all', 'new'], {
      description:
        'Where a new consumer begins: with everything that the stream holds, or with what comes from now on.',
      default: 'all',
    }),
    ackWait: field.duration({
      description:
        'After this time without a sign of us the server delivers a message again. Held messages give signs.',
      default: '30s',
      minMs: 1000,
    }),
    orderingToken: field.integer({
      description:
        'Token of the subject, from 1, whose equal values are invoked one at a time; by default nothing is ordered.',
      min: 1,
      max: 32,
    }),
    connectTimeout: field.duration({
      description: 'For connect, TLS, and each answer of the server.',
      default: '10s',
      minMs: 100,
      maxMs: 10_000,
    }),
    tls: field.group(
      'TLS, for addresses that begin with tls://; a server that demands it gets it in any case.',
      tlsFields,
    ),
  },
})
