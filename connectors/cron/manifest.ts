// What the cron connector promises and what can be configured.

import { CATCH_UP_DEFAULTS, defineManifest, field } from '../../src/sdk/index.ts'
import { check } from './check.ts'

export const fields = {
  zone: field.string({
    description: 'IANA time zone of schedules without CRON_TZ= or TZ=; never the zone of the machine.',
    default: 'UTC',
    example: 'Europe/London',
  }),
  missedAfter: field.duration({
    description:
      'A fire that could not be made this long after its time is missed, and the catch-up of its schedule decides.',
    default: '1m',
    minMs: 1000,
    maxMs: 3_600_000,
  }),
  catchUpWindow: field.duration({
    description: 'Missed fires older than this are not caught up.',
    default: CATCH_UP_DEFAULTS.catchUpWindow,
    minMs: 1000,
  }),
  catchUpMax: field.integer({
    description: 'Most fires of one schedule that catch-up all makes at once; the newest ones are kept.',
    default: CATCH_UP_DEFAULTS.catchUpMax,
    min: 1,
    max: 10_000,
  }),
  waitingMax: field.integer({
    description: 'Most fires of one schedule that wait for a free slot; further ones are skipped and counted.',
    default: 100,
    min: 1,
    max: 10_000,
  }),
} as const

export const manifest = defineManifest({
  name: 'cron',
  title: 'Cron',
  description: 'A function is invoked at the times of its schedule annotation.',
  status: 'beta',
  guarantee: 'at-most-once',
  guaranteeNote:
    'With catch-up last or all it is at least once within catchUpWindow and catchUpMax: a fire that was missed, or not ' +
    'settled before a crash, is fired again with the same id. That takes a durable state directory, or leader.enabled, ' +
    'with which any number of replicas makes each fire once.',
  trigger: 'schedule',
  order: 'fires of one schedule are handed out in the order of their times',
  capabilities: {
    retry: 'held',
    settleOrder: 'any',
    reject: 'hub',
    // Only schedules with catch-up are; what holds for all of them is declared.
    durable: false,
    shared: false,
    topicSyntax: 'exact',
  },
  fields,
  check,
})
