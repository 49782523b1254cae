// What the webhook connector promises and what can be configured.

import { defineManifest, field, listenFields } from '../../src/sdk/index.ts'
import { check } from './check.ts'

/** How a caller proves who it is, and where it says what it sends. */
export const SCHEMES = ['github', 'gitlab', 'stripe', 'standard', 'hmac', 'bearer', 'basic', 'none'] as const

const hookFields = {
  name: field.string({
    description: 'Name of the hook: the last part of its address, and the topic of its events.',
    required: true,
    pattern: /^[A-Za-z0-9._-]+$/,
    patternHint: 'must be letters, digits, dots, - and _',
  }),
  scheme: field.choice(SCHEMES, {
    description:
      'How callers prove who they are: signatures of GitHub, Stripe, Standard Webhooks or any HMAC; the token of GitLab; bearer, basic or none.',
    required: true,
  }),
  secret: field.secret({ description: 'The key of the signature, the token or the password.' }),
  previousSecret: field.secret({ description: 'Accepted as well, while a secret is being replaced.' }),
  username: field.string({ description: 'basic: the user name.' }),
  tolerance: field.duration({
    description: 'How far the time stamp of a signature may be from our clock.',
    default: '5m',
    minMs: 1000,
    maxMs: 86_400_000,
  }),
  eventHeader: field.string({
    description: 'Header that names the event, which then stands in the topic: <name>:<event>. github, gitlab and stripe know theirs.', // prettier-ignore
    example: 'X-Gitea-Event',
  }),
  idHeader: field.string({
    description: 'Header that identifies the event over repetitions. github, gitlab, stripe and standard know theirs.',
    example: 'X-Request-Id',
  }),
  signatureHeader: field.string({
    description: 'hmac: header that holds the signature.',
    default: 'X-Signature',
    example: 'X-Slack-Signature',
  }),
  signaturePrefix: field.string({
    description: 'hmac: what stands before the signature.',
    default: '',
    example: 'sha256=',
  }),
  algorithm: field.choice(['sha256', 'sha1', 'sha384', 'sha512'], {
    description: 'hmac: the hash.',
    default: 'sha256',
  }),
  encoding: field.choice(['hex', 'base64'], { description: 'hmac: how the signature is written.', default: 'hex' }),
  signed: field.string({
    description: 'hmac: what is signed, with {body}, {timestamp} and {id} in it.',
    default: '{body}',
    example: 'v0:{timestamp}:{body}',
    pattern: /^[^{}]*(?:\{(?:timestamp|id)\}[^{}]*)*\{body\}[^{}]*(?:\{(?:timestamp|id)\}[^{}]*)*$/,
    patternHint: 'must contain {body} once, and no other braces than those of {timestamp} and {id}',
  }),
  timestampHeader: field.string({
    description: 'hmac: header with the time stamp that is signed, in Unix seconds.',
    example: 'X-Slack-Request-Timestamp',
  }),
} as const

export const fields = {
  listen: field.group('Where requests come in.', listenFields(8090, '5MiB')),
  path: field.string({
    description: 'What stands before the name of the hook.',
    default: '/hooks',
    pattern: /^(?:\/[A-Za-z0-9._~-]+)*$/,
    patternHint: 'must begin with / and have no / at its end',
  }),
  hooks: field.entries(hookFields, {
    description: 'The hooks. A request to any other name is answered with 404.',
    shorthand: 'name',
    required: true,
    example: [{ name: 'github', scheme: 'github', secretFile: '/var/secrets/github' }],
  }),
  respond: field.choice(['accepted', 'function'], {
    description: 'Answer with 202 once the request is stored, or with what the function answers.',
    default: 'accepted',
  }),
  respondTimeout: field.duration({
    description: 'respond: function: after this time the answer is 202, and the function runs all the same.',
    default: '25s',
    minMs: 1,
  }),
  responseMax: field.size({
    description: 'respond: function: of a larger answer the caller gets this much.',
    default: '1MiB',
    minBytes: 1,
  }),
  replayWindow: field.duration({
    description: 'A request that was taken once is not taken again within this time; 0s: it is.',
    default: '1h',
    maxMs: 604_800_000,
  }),
  rateLimit: field.group('How much one caller may send to one hook.', {
    perSecond: field.integer({ description: 'Requests a second in the long run; 0: no limit.', default: 0 }),
    burst: field.integer({ description: 'Requests at once; by default ten seconds of them.', min: 1 }),
  }),
  trustedProxies: field.integer({
    description: 'How many proxies stand before the hub: the caller is then that far from the end of X-Forwarded-For.', // prettier-ignore
    default: 0,
    max: 16,
  }),
} as const

export const manifest = defineManifest({
  name: 'webhook',
  title: 'Webhook',
  description: 'A function is invoked with each request that somebody posts to its hook.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: 'From the answer on, which is given when the request is on the disk of stateDir.',
  trigger: 'topic',
  order: 'none',
  capabilities: {
    retry: 'delayed',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: false,
    // Whoever calls chooses the replica, which keeps what it has accepted.
    takesTurns: false,
    topicSyntax: 'hook',
  },
  fields,
  check,
  reads: ({ hooks }) => hooks.map(({ name }) => name),
})
