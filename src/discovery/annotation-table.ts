// The one table of the annotations that the hub knows: their form, and what they mean. Declared like the fields of a
// connector; read by annotations.ts and printed in the README.

import { field } from '../sdk/index.ts'
import type { Field } from '../sdk/index.ts'

const DAY_MS = 86_400_000

/** OpenFaaS contract, cron-connector: this topic marks a cron function. */
export const CRON_TOPIC = 'cron-function'
export const TOPIC_PREFIX = 'topic.'

/** Per-function settings by annotation key. The README's table is generated from this. */
export const SETTING_ANNOTATIONS = {
  'connector.mode': field.choice(['sync', 'async'], {
    description: 'Wait for the function (sync), or hand the event to the asynchronous queue of the gateway.',
  }),
  'connector.timeout': field.duration({
    description: 'Longest duration of one invocation, answer included.',
    minMs: 1,
    maxMs: 7 * DAY_MS,
    example: '5m',
  }),
  'connector.concurrency': field.integer({
    description: 'Concurrent invocations of this function, over all connectors of the process.',
    min: 1,
    max: 100_000,
    example: 10,
  }),
  'connector.ordering': field.choice(['key', 'none'], {
    description: 'key: events with equal ordering keys are invoked one at a time, in order.',
  }),
  'connector.filter': field.string({
    description:
      'CEL expression over topic, source, key, attempt, headers, data, text and size; other events are not for this function. Schedules are never filtered.',
    example: 'data.amount > 100 && headers["x-region"] == "eu"',
  }),
  'connector.callback': field.url({
    description: 'Sent as X-Callback-Url on the asynchronous route.',
    protocols: ['http:', 'https:'],
    example: 'http://gateway.openfaas:8080/function/receiver',
  }),
  'connector.overlap': field.choice(['allow', 'forbid', 'replace'], {
    description:
      'When a schedule fires while its earlier run is unsettled: run both, skip this one, or give up the earlier one.',
    default: 'forbid',
  }),
  'connector.catch-up': field.choice(['none', 'last', 'all'], {
    description: 'Fires missed while the hub was away: run none, the last one, or all (bounded).',
    default: 'none',
  }),
  'connector.jitter': field.duration({
    description: 'Each fire of a schedule is delayed by a stable amount below this.',
    maxMs: DAY_MS,
    default: '0',
    example: '30s',
  }),
} as const

/** OpenFaaS Pro's retry annotations (OpenFaaS contract, queue-worker), here for every connector. Bad values fall back to the defaults. */
export const RETRY_ANNOTATIONS = {
  'com.openfaas.retry.attempts': field.integer({
    description: 'Retries after the first invocation; 0 for none.',
    max: 100_000,
    example: 10,
  }),
  'com.openfaas.retry.codes': field.statuses({
    description: 'HTTP statuses that are retried.',
    example: '429,502,503',
  }),
  'com.openfaas.retry.min_wait': field.duration({
    description: 'Wait before the first retry; doubles with each one.',
    maxMs: 7 * DAY_MS,
    example: '10s',
  }),
  'com.openfaas.retry.max_wait': field.duration({
    description: 'Longest wait between retries.',
    maxMs: 7 * DAY_MS,
    example: '2m',
  }),
} as const

/** What makes a trigger. `topic.<instance>` stands for any instance name. */
export const TRIGGER_ANNOTATIONS = {
  topic: field.string({
    description: 'Topics for every connector, separated by the delimiter; cron-function marks a cron function.',
  }),
  'topic.<instance>': field.string({ description: 'Topics for this connector instance only.' }),
  schedule: field.string({ description: 'Cron expressions separated by `;`; needs topic: cron-function.' }),
  'com.openfaas.schedule': field.string({ description: 'The same, without the topic.' }),
} as const

/** True for the keys that the hub reads; all others belong to somebody else, and what they say changes no wiring. */
export function isHubAnnotation(key: string): boolean {
  return Object.hasOwn(TRIGGER_ANNOTATIONS, key) || key.startsWith(TOPIC_PREFIX) || settingsLike(key) !== undefined
}

/** The settings that begin as the key does, whether it is one of them or misspelt; undefined: it is none. */
export function settingsLike(key: string): Readonly<Record<string, Field>> | undefined {
  if (key.startsWith('connector.')) return SETTING_ANNOTATIONS
  return key.startsWith('com.openfaas.retry.') ? RETRY_ANNOTATIONS : undefined
}
