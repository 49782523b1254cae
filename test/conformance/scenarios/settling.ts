// What each settlement means to the broker, seen from the next delivery.

import { strict as assert } from 'node:assert'

import { ManualClock } from '../../../src/sdk/index.ts'
import type { DeadLetter, Settlement } from '../../../src/sdk/index.ts'
import type { Harness } from '../harness.ts'
import type { Arrival, RunningSource } from '../running-source.ts'
import { ackAll } from '../running-source.ts'
import type { Scenario } from '../scenario.ts'
import { anyOf, unlessDurable, unlessRedelivers } from '../scenario.ts'

const REASON = 'answered 500 after 3 attempts'
/** Real clocks of two processes and whole milliseconds: how much earlier than asked may be seen. */
const CLOCK_TOLERANCE_MS = 5

async function one(harness: Harness, topic: string, source: RunningSource): Promise<Arrival> {
  const [tag] = (await harness.publish(topic, 1)) as [string]
  await harness.arrived([tag], source)
  return source.of(tag)[0] as Arrival
}

function rejection(harness: Harness, { message }: Arrival): Settlement {
  const letter: DeadLetter = { message, function: 'billing.prod', reason: REASON, status: 500, attempts: 3, failedAtMs: harness.clock.now() } // prettier-ignore
  return { kind: 'reject', reason: REASON, letters: harness.manifest.capabilities.reject === 'broker' ? [letter] : [] }
}

async function advance(harness: Harness, byMs: number): Promise<void> {
  if (harness.clock instanceof ManualClock) await harness.clock.advance(byMs)
}

/** Closes, opens a new instance, and lets one event go round: whatever the broker still owed has had its chance. */
async function reopen(harness: Harness, topic: string, source: RunningSource): Promise<RunningSource> {
  await harness.within(source.close(), 'close')
  const next = await harness.open([topic], { decide: ackAll })
  await harness.quiet(next, topic)
  return next
}

export const settlingScenarios: readonly Scenario[] = [
  {
    name: 'an acked event is not delivered again, nor after a restart of the source',
    async run(harness) {
      const topic = await harness.topic('acked')
      const source = await harness.open([topic])
      const tags = await harness.publish(topic, 5)
      await harness.arrived(tags, source)
      // From the back, so that a broker that confirms a prefix only has to wait for the first.
      for (const arrival of source.arrivals.toReversed()) assert.equal(await arrival.ack(), 'settled')
      const next = await reopen(harness, topic, source)
      for (const tag of tags) assert.equal(next.of(tag).length, 0, 'an acked event was delivered again')
      assert.equal(source.arrivals.length, tags.length, 'an acked event was delivered again by the same source')
    },
  },
  {
    name: 'events settled out of order never carry an unsettled one with them',
    unless: unlessDurable,
    async run(harness) {
      const topic = await harness.topic('holes')
      const source = await harness.open([topic])
      const tags = await harness.publish(topic, 5)
      await harness.arrived(tags, source)
      const open = [tags[0], tags[3]] as string[]
      for (const arrival of source.arrivals) if (!open.includes(arrival.tag)) await arrival.ack()
      await harness.within(source.close(), 'close')
      const next = await harness.open([topic], { decide: ackAll })
      await harness.arrived(open, next)
    },
  },
  {
    name: 'a retried event comes back, and not before its delay',
    unless: unlessRedelivers,
    async run(harness) {
      const delayed = harness.manifest.capabilities.retry === 'delayed'
      const delayMs = delayed ? harness.features.retryDelayMs : 0
      const topic = await harness.topic('retry')
      const source = await harness.open([topic])
      const first = await one(harness, topic, source)
      source.decide = ackAll
      const fromMs = harness.clock.now()
      assert.equal(await first.settle({ kind: 'retry', delayMs, reason: REASON }), 'settled')
      if (delayed) {
        await advance(harness, delayMs - 1)
        await harness.quiet(source, topic)
        await advance(harness, 1)
      }
      await harness.arrived([first.tag], source, 2)
      const waitedMs = (source.of(first.tag)[1] as Arrival).atMs - fromMs
      const toleranceMs = harness.clock instanceof ManualClock ? 0 : CLOCK_TOLERANCE_MS
      assert.ok(waitedMs + toleranceMs >= delayMs, `came back after ${waitedMs} ms, the delay was ${delayMs} ms`)
      await source.settled()
      const next = await reopen(harness, topic, source)
      assert.equal(next.of(first.tag).length, 0, 'the acked retry was delivered again')
    },
  },
  {
    name: 'the attempt grows with each redelivery',
    unless: anyOf(({ features }) => (features.countsAttempts ? undefined : 'the broker does not count (features.countsAttempts)'), ({ manifest }) =>
      manifest.capabilities.retry === 'held' && !manifest.capabilities.durable ? 'nothing is ever redelivered' : undefined), // prettier-ignore
    async run(harness) {
      const topic = await harness.topic('attempts')
      let source = await harness.open([topic])
      const { tag } = await one(harness, topic, source)
      const attempts: number[] = []
      for (let round = 1; round <= 3; round++) {
        await harness.until(() => source.of(tag).length > 0, `delivery ${round} arrives`)
        const arrival = source.of(tag).at(-1) as Arrival
        attempts.push(arrival.message.attempt)
        if (harness.manifest.capabilities.retry === 'held') {
          await harness.within(source.close(), 'close')
          source = await harness.open([topic])
        } else if (round < 3) {
          await arrival.settle({ kind: 'retry', delayMs: 0, reason: REASON })
          await advance(harness, 1)
          await harness.arrived([tag], source, round + 1)
        }
      }
      assert.deepEqual(attempts, [1, 2, 3])
    },
  },
  {
    name: 'a rejected event never returns',
    async run(harness) {
      const topic = await harness.topic('rejected')
      const source = await harness.open([topic])
      const arrival = await one(harness, topic, source)
      source.decide = ackAll
      assert.equal(await arrival.settle(rejection(harness, arrival)), 'settled')
      await advance(harness, 60_000)
      await harness.quiet(source, topic)
      const next = await reopen(harness, topic, source)
      assert.equal(source.of(arrival.tag).length, 1, 'a rejected event was delivered again')
      assert.equal(next.of(arrival.tag).length, 0, 'a rejected event was delivered again after a restart')
    },
  },
  {
    name: 'a rejected event is one of the dead letters of the broker, with reason, topic, function, attempts and body',
    unless: ({ manifest, broker }) =>
      manifest.capabilities.reject === 'broker' && broker.deadLetters !== undefined
        ? undefined
        : 'the hub owns the dead letter (capabilities.reject)',
    async run(harness) {
      const topic = await harness.topic('letters')
      const source = await harness.open([topic])
      const arrival = await one(harness, topic, source)
      assert.equal(await arrival.settle(rejection(harness, arrival)), 'settled')
      const letters = (await harness.broker.deadLetters?.(topic)) ?? []
      const found = letters.map(({ body, ...rest }) => ({ ...rest, body: Buffer.from(body).toString('base64') }))
      const body = Buffer.from(arrival.message.body).toString('base64')
      assert.deepEqual(found, [{ topic, function: 'billing.prod', reason: REASON, attempts: 3, body }])
    },
  },
  {
    name: 'a second settlement does nothing and returns the result of the first',
    async run(harness) {
      const topic = await harness.topic('twice')
      const source = await harness.open([topic])
      const acked = await one(harness, topic, source)
      const again = await Promise.all([acked.ack(), acked.ack(), acked.settle(rejection(harness, acked))])
      assert.deepEqual(again, ['settled', 'settled', 'settled'])
      const rejected = await one(harness, topic, source)
      await rejected.settle(rejection(harness, rejected))
      assert.equal(await rejected.settle(rejection(harness, rejected)), 'settled')
      const open = await one(harness, topic, source)
      // A broker that gives numbers out again must not take this for the settlement of the open one.
      assert.equal(await acked.ack(), 'settled')
      const letters = (await harness.broker.deadLetters?.(topic)) ?? []
      const expected = harness.manifest.capabilities.reject === 'broker' ? 1 : 0
      assert.equal(letters.length, expected, 'a second settlement wrote a dead letter')
      if (harness.manifest.capabilities.retry !== 'held') {
        await open.settle({ kind: 'retry', delayMs: 0, reason: REASON })
        assert.equal(await open.ack(), 'settled')
        await advance(harness, 1)
        await harness.arrived([open.tag], source, 2)
      }
      if (harness.manifest.capabilities.durable) {
        await harness.within(source.close(), 'close')
        await harness.arrived([open.tag], await harness.open([topic]))
      }
    },
  },
]
