// What the MinIO connector promises in each of its modes, and what can be configured.

import { defineManifest, field, listenFields, tlsFields } from '../../src/sdk/index.ts'
import type { Variant } from '../../src/sdk/index.ts'
import { check } from './check.ts'

const prefix = field.string({ description: 'Only objects whose keys begin with this.', example: 'uploads/' })
const suffix = field.string({ description: 'Only objects whose keys end with this.', example: '.jpg' })

export const fields = {
  receive: field.choice(['webhook', 'listen'], {
    description: 'MinIO posts its events to the hub, at least once, or the hub listens at MinIO, at most once.',
    default: 'webhook',
  }),
  url: field.url({
    description: 'Address of MinIO. Webhook mode needs it for configureBucket and for doctor.',
    default: 'http://127.0.0.1:9000',
    protocols: ['http:', 'https:'],
  }),
  accessKey: field.string({ description: 'Access key, of a user or a service account.' }),
  secretKey: field.secret({ description: 'Secret key.' }),
  sessionToken: field.secret({ description: 'Session token of temporary credentials.' }),
  region: field.string({ description: 'Region, where MinIO is set up with one.', default: 'us-east-1' }),
  topics: field.list({
    description: 'Read exactly these topics instead of those that the annotations name.',
    example: ['photos:s3:ObjectCreated:*'],
  }),
  prefix,
  suffix,
  filters: field.entries(
    { bucket: field.string({ description: 'Bucket.', required: true }), prefix, suffix },
    { description: 'Prefix and suffix of single buckets, instead of the general ones.', shorthand: 'bucket', default: [], example: [{ bucket: 'photos', prefix: 'uploads/' }] },
  ),
  listen: field.group('Webhook: where the hub listens for MinIO.', listenFields(8091, '1MiB')),
  path: field.string({
    description: "Webhook: path of the target's endpoint.",
    default: '/minio',
    pattern: /^\/[^\s?#]*$/,
    patternHint: 'must begin with / and hold no white space, ? or #',
  }),
  token: field.secret({
    description: "Webhook: the target's auth_token. Without one anybody who reaches the port can invoke functions.",
  }),
  acknowledge: field.choice(['settled', 'stored'], {
    description: "Webhook: answer MinIO when the functions have settled an event, or when it is on the hub's disk.",
    default: 'settled',
  }),
  configureBucket: field.boolean({
    description: "Webhook: add a notification for the target to each wanted bucket, and remove it again, leaving others alone.",
    default: false,
  }),
  targetArn: field.string({
    description: 'Webhook: ARN of the target that configureBucket sets, arn:minio:sqs:<region>:<id>:webhook.',
    default: 'arn:minio:sqs::hub:webhook',
    pattern: /^arn:minio:sqs:[^:\s]*:[^:\s]+:webhook$/,
    patternHint: 'must be the ARN of a webhook target, arn:minio:sqs::<id>:webhook',
  }),
  keepAlive: field.duration({
    description: 'Listen: MinIO gives a sign of life each second; a connection that is silent for so long is lost.',
    default: '10s',
    minMs: 2000,
    maxMs: 300_000,
  }),
  catchUp: field.choice(['off', 'changed'], {
    description: 'Listen: after a gap, list the bucket and invoke functions with the objects that changed meanwhile.',
    default: 'off',
  }),
  catchUpMax: field.integer({
    description: 'Listen: how many changes one catch-up brings, the oldest first. The rest is left out, and said.',
    default: 10_000,
    min: 1,
    max: 1_000_000,
  }),
  catchUpAge: field.duration({
    description: 'Listen: changes that are older than this are not caught up with.',
    default: '24h',
    minMs: 1000,
  }),
  catchUpScanMax: field.integer({
    description: 'Listen: how many objects of a bucket a catch-up looks at; S3 cannot list by time.',
    default: 1_000_000,
    min: 1000,
  }),
  connectTimeout: field.duration({
    description: 'For connect, TLS, and each answer of MinIO.',
    default: '10s',
    minMs: 100,
    maxMs: 300_000,
  }),
  tls: field.group('TLS towards MinIO, for a url that begins with https://.', tlsFields),
} as const // prettier-ignore

const variants: readonly Variant<typeof fields>[] = [
  {
    when: 'acknowledge: stored',
    applies: ({ receive, acknowledge }) => receive === 'webhook' && acknowledge === 'stored',
    guaranteeNote: "From the moment the event is on the hub's disk.",
    capabilities: { retry: 'delayed' },
  },
  {
    when: 'receive: listen',
    applies: ({ receive }) => receive === 'listen',
    guarantee: 'at-most-once',
    guaranteeNote:
      'Nothing is kept for a hub that is away or too slow; catchUp finds objects that changed meanwhile, never what was removed for good.',
    order: 'of arrival; one at a time for each object',
    capabilities: { retry: 'held', durable: false, shared: false },
  },
]

export const manifest = defineManifest({
  name: 'minio',
  title: 'MinIO',
  description:
    'A function is invoked when an object of its buckets is created, removed or otherwise touched: MinIO posts its events, or the hub listens for them.',
  status: 'beta',
  guarantee: 'at-least-once',
  guaranteeNote: "With a queue directory at MinIO's webhook target; without one MinIO sends each event once.",
  trigger: 'topic',
  order: "of MinIO's queue for each target, which is sent one at a time; one at a time for each object",
  capabilities: {
    retry: 'held',
    settleOrder: 'any',
    reject: 'hub',
    durable: true,
    shared: true,
    topicSyntax: 's3',
  },
  variants,
  fields,
  check,
  reads: ({ topics }) => topics,
})
