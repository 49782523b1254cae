// Guarantees that a connector and the hub's dispatcher keep together. The ledger must balance at the end of each.

import { strict as assert } from 'node:assert'

import { ManualClock } from '../../../src/sdk/index.ts'
import type { Recorded } from '../gateway-recorder.ts'
import { HubRig } from '../hub-rig.ts'
import { ackAll } from '../running-source.ts'
import type { Scenario } from '../scenario.ts'

const DRAIN_MS = 200
const DRAIN_MANUAL_MS = 60_000

export const hubScenarios: readonly Scenario[] = [
  {
    name: 'through the hub: a dead letter holds reason, topic, function, attempts and body; log and counters say so',
    unless: ({ manifest, features }) =>
      manifest.capabilities.retry === 'held' || features.countsAttempts
        ? undefined
        : 'the broker redelivers without counting (features.countsAttempts)',
    async run(harness) {
      const topic = await harness.topic('letter')
      const waitMs = Math.max(1, harness.features.retryDelayMs)
      await using rig = await HubRig.open(harness, topic, { retry: { attempts: 1, minWaitMs: waitMs, maxWaitMs: waitMs } }) // prettier-ignore
      const event = harness.events(1)[0] as ReturnType<typeof harness.events>[number]
      rig.gateway.decide = ({ tag }) => (tag === event.tag ? 500 : 200)
      await harness.broker.publish(topic, [event])
      await rig.until(() => rig.ledger.counts.deadLettered === 1, 'the event is dead-lettered')
      await rig.finish()
      assert.equal(rig.gateway.of(event.tag).length, 2, 'invocations')
      const [letter, ...more] = await rig.deadLetters(topic)
      assert.deepEqual(more, [])
      assert.match(letter?.reason ?? '', /answered 500; gave up after 2 attempts/)
      assert.deepEqual([letter?.function, letter?.attempts], ['conformance', 2])
      if (harness.manifest.trigger === 'topic') assert.equal(letter?.topic, topic)
      if (harness.features.bodies !== 'generated') assert.deepEqual(Buffer.from(letter?.body ?? []), event.body)

      const events = new Set(rig.lines.map((line) => (JSON.parse(line) as { readonly event: string }).event))
      for (const name of ['invocation.failed', 'delivery.retry', 'delivery.dead-lettered']) assert.ok(events.has(name), `no log line ${name}`) // prettier-ignore
      const metrics = await rig.metrics.registry.metrics()
      for (const line of [
        /^connector_hub_invocations_total\{[^}]*code="500"[^}]*\} 2$/m,
        /^connector_hub_retries_total\{[^}]*\} 1$/m,
        /^connector_hub_dead_letters_total\{[^}]*\} 1$/m,
        /^connector_hub_deliveries_total\{[^}]*end="dead_lettered"[^}]*\} 1$/m,
      ])
        assert.match(metrics, line)
    },
  },
  {
    name: 'through the hub: a retry that the hub holds is not invoked before its delay',
    unless: ({ manifest }) => (manifest.capabilities.retry === 'delayed' ? 'the broker delays (capabilities.retry)' : undefined), // prettier-ignore
    async run(harness) {
      const { clock } = harness
      const delayMs = clock instanceof ManualClock ? 30_000 : 300
      const topic = await harness.topic('wait')
      await using rig = await HubRig.open(harness, topic, { retry: { minWaitMs: delayMs, maxWaitMs: delayMs } })
      rig.gateway.decide = ({ tag }) => (rig.gateway.of(tag).length === 1 ? 503 : 200)
      const [tag] = (await harness.publish(topic, 1)) as [string]
      await harness.until(() => rig.gateway.of(tag).length === 1, 'the first invocation')
      await harness.until(() => rig.lines.some((line) => line.includes('delivery.retry')), 'the retry is announced')
      if (clock instanceof ManualClock) {
        await clock.advance(delayMs - 1)
        await harness.pause()
        assert.equal(rig.gateway.of(tag).length, 1, 'invoked before the delay was over')
        await clock.advance(1)
      }
      await harness.until(() => rig.gateway.of(tag).length === 2, 'the second invocation')
      await rig.finish()
      const [first, second] = rig.gateway.of(tag) as readonly [Recorded, Recorded]
      const toleranceMs = clock instanceof ManualClock ? 0 : 5
      assert.ok(second.atMs - first.atMs + toleranceMs >= delayMs, 'invoked before the delay was over')
    },
  },
  {
    name: 'through the hub: equal ordering keys never overlap and never change their order, retries included',
    unless: ({ features }) => (features.keys && features.ordered ? undefined : 'events have no ordering keys (features.keys)'), // prettier-ignore
    async run(harness) {
      const keys = ['red', 'green'] as const
      const topic = await harness.topic('lanes')
      await using rig = await HubRig.open(harness, topic)
      rig.gateway.decide = () => undefined
      const keyOf = new Map<string, string>()
      const events = harness.events(12, (index) => ({ key: keys[index % 2] as string }))
      for (const { tag, key } of events) keyOf.set(tag, key as string)
      await harness.broker.publish(topic, events)
      const open = (): Recorded[] => rig.gateway.requests.filter(({ status }) => status === undefined)
      await rig.until(() => {
        const waiting = open()
        const lanes = waiting.map(({ tag }) => keyOf.get(tag))
        assert.equal(new Set(lanes).size, lanes.length, 'two events of one ordering key were invoked at once')
        // The latest first, and every third event fails once: both would bring a careless hub out of order.
        const last = waiting.at(-1)
        const fails = last !== undefined && events.findIndex(({ tag }) => tag === last.tag) % 3 === 0
        last?.answer(fails && rig.gateway.of(last.tag).length === 1 ? 500 : 200)
        return rig.ledger.counts.acked === events.length
      }, 'every event is acked')
      await rig.finish()
      for (const key of keys) {
        const invoked = [...new Set(rig.gateway.requests.map(({ tag }) => tag))].filter((tag) => keyOf.get(tag) === key)
        assert.deepEqual(invoked, events.filter((event) => event.key === key).map(({ tag }) => tag), key) // prettier-ignore
      }
      assert.deepEqual(await rig.deadLetters(topic), [])
    },
  },
  {
    name: 'through the hub: of several functions only the one that failed is invoked again',
    async run(harness) {
      const topic = await harness.topic('fan-out')
      await using rig = await HubRig.open(harness, topic, { functions: ['steady', 'shaky'] })
      rig.gateway.decide = ({ tag, function: name }) => (name === 'shaky' && rig.gateway.of(tag, name).length < 3 ? 500 : 200) // prettier-ignore
      const [tag] = (await harness.publish(topic, 1)) as [string]
      await rig.until(() => rig.ledger.counts.acked >= 1 && rig.gateway.of(tag, 'shaky').length === 3, 'the event is acked') // prettier-ignore
      await rig.finish()
      assert.deepEqual(rig.gateway.of(tag, 'steady').map(({ status }) => status), [200]) // prettier-ignore
      assert.deepEqual(rig.gateway.of(tag, 'shaky').map(({ status }) => status), [500, 500, 200]) // prettier-ignore
      await rig.closeSource()
      const next = await harness.open([topic], { decide: ackAll })
      await harness.quiet(next, topic)
      assert.equal(next.of(tag).length, 0, 'the acked event was delivered again')
    },
  },
  {
    name: 'through the hub: a drain ends with its timeout, and what is unsettled is not lost',
    async run(harness) {
      const { clock } = harness
      const topic = await harness.topic('drain')
      await using rig = await HubRig.open(harness, topic)
      rig.gateway.decide = () => undefined
      const tags = await harness.publish(topic, 2)
      // A broker whose topics are ordered lets the second wait behind the first.
      const running = (): boolean => rig.gateway.of(tags[0] as string).length === 1
      await harness.until(() => running() && rig.ledger.counts.received >= tags.length, 'both events are out')
      const timeoutMs = clock instanceof ManualClock ? DRAIN_MANUAL_MS : DRAIN_MS
      const draining = rig.dispatcher.drain(timeoutMs)
      if (clock instanceof ManualClock) await clock.advance(timeoutMs)
      const { unsettled } = await harness.within(draining, `a drain with a timeout of ${timeoutMs} ms`)
      await harness.within(rig.closeSource(), 'close after the drain')
      assert.equal(rig.ledger.imbalance, 0, `the ledger does not balance: ${JSON.stringify(rig.ledger.counts)}`)
      if (!harness.manifest.capabilities.durable) {
        const kept = (await rig.deadLetters(topic)).length
        assert.ok(kept >= tags.length, `${kept} of ${tags.length} events that nobody delivers again were kept`)
        return
      }
      assert.ok(unsettled >= tags.length, `the drain reports ${unsettled} unsettled deliveries`)
      await harness.arrived(tags, await harness.open([topic], { decide: ackAll }))
    },
  },
]
