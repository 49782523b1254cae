import { expect, test } from 'vitest'

import { diffSubscriptions, subscriptionKey } from '../../src/sdk/index.ts'
import type { ScheduleSubscription, Subscription } from '../../src/sdk/index.ts'

const schedule: ScheduleSubscription = { kind: 'schedule', function: 'a.b', expression: '* * * * *', overlap: 'allow', catchUp: 'none', jitterMs: 0 } // prettier-ignore
const topic = (name: string): Subscription => ({ kind: 'topic', topic: name })
const byKey = (...all: readonly Subscription[]): Map<string, Subscription> => new Map(all.map((one) => [subscriptionKey(one), one])) // prettier-ignore

test('equal subscriptions have equal keys; every setting of a schedule is part of its key', () => {
  const variants: ScheduleSubscription[] = [
    schedule,
    { ...schedule, function: 'a.c' },
    { ...schedule, expression: '@hourly' },
    { ...schedule, overlap: 'forbid' },
    { ...schedule, catchUp: 'last' },
    { ...schedule, jitterMs: 1 },
  ]
  expect(new Set(variants.map(subscriptionKey)).size).toBe(variants.length)
  expect(subscriptionKey({ ...schedule })).toBe(subscriptionKey(schedule))
  expect(subscriptionKey(topic('a/b'))).toBe('a/b')
})

test('the difference is what came and what went, in the order wanted, each once', () => {
  const { added, removed } = diffSubscriptions(byKey(topic('a'), topic('b')), [topic('c'), topic('b'), topic('c')])
  expect(added).toEqual([topic('c')])
  expect(removed).toEqual([topic('a')])
})

test('a changed setting is a removal and an addition; an equal set is no difference', () => {
  const changed = { ...schedule, jitterMs: 5 }
  expect(diffSubscriptions(byKey(schedule), [changed])).toEqual({ added: [changed], removed: [schedule] })
  expect(diffSubscriptions(byKey(schedule), [{ ...schedule }])).toEqual({ added: [], removed: [] })
  expect(diffSubscriptions(byKey(schedule), [])).toEqual({ added: [], removed: [schedule] })
})
