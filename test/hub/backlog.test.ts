import { expect, test } from 'vitest'

import { functionLags, topicLags } from '../../src/hub/backlog.ts'
import type { TopicBacklog } from '../../src/sdk/index.ts'

const NOW = 100_000
const backlogs: readonly TopicBacklog[] = [
  { topic: 'orders', waiting: 10, unsettled: 3, oldestWaitingMs: 90_000, oldestUnsettledMs: 70_000 },
  { topic: 'idle', waiting: 0, unsettled: 0, oldestWaitingMs: undefined, oldestUnsettledMs: undefined },
  { topic: 'future', waiting: 1, unsettled: 0, oldestWaitingMs: NOW + 5000, oldestUnsettledMs: undefined },
]

test('a topic is behind by what waits and what is not settled, since the older of both', () => {
  expect(topicLags('kafka', backlogs, NOW)).toEqual([
    { connector: 'kafka', subject: 'orders', events: 13, seconds: 30 },
    { connector: 'kafka', subject: 'idle', events: 0, seconds: 0 },
    { connector: 'kafka', subject: 'future', events: 1, seconds: 0 },
  ])
})

test('a function is behind by what waits in its topics and its own open calls, not by those of others', () => {
  const topics: Readonly<Record<string, readonly string[]>> = { orders: ['quick', 'slow'], idle: ['quick'] }
  const open = new Map([['slow', { count: 3, oldestMs: 70_000 }], ['gone', { count: 1, oldestMs: 99_000 }]]) // prettier-ignore
  expect(functionLags('kafka', backlogs, (topic) => topics[topic] ?? [], open, NOW)).toEqual([
    { connector: 'kafka', subject: 'quick', events: 10, seconds: 10 },
    { connector: 'kafka', subject: 'slow', events: 13, seconds: 30 },
    { connector: 'kafka', subject: 'gone', events: 1, seconds: 1 },
  ])
})
