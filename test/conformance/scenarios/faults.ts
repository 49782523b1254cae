// Things go away: the source, its process, the broker. Nothing is lost, and copies stay within their bound.

import { strict as assert } from 'node:assert'

import { HubError } from '../../../src/sdk/index.ts'
import { CrashingSource } from '../crash.ts'
import type { Harness } from '../harness.ts'
import { ackAll, assertTally } from '../running-source.ts'
import type { Arrival, RunningSource } from '../running-source.ts'
import type { Scenario } from '../scenario.ts'
import { anyOf, unlessDurable } from '../scenario.ts'

const RECONNECT_POLL_MS = 10

function copiesMax(harness: Harness, interruptions: number): number {
  return interruptions * (harness.features.duplicatesPerInterruptionMax ?? harness.unsettledMax)
}

function assertNamed(error: unknown, what: string): asserts error is HubError {
  assert.ok(error instanceof HubError, `${what}: not a HubError but ${String(error)}`)
  assert.match(error.code, /^HUB_SOURCE_/, what)
}

/** Acks a delivery of a connection that is gone: any answer but a hang. */
function settleLate(harness: Harness, arrival: Arrival | undefined): Promise<string | undefined> {
  const answer: Promise<string | undefined> = arrival?.ack() ?? Promise.resolve(undefined)
  return harness.within(
    answer.catch(() => 'refused'),
    'settling a delivery of a connection that is gone',
  )
}

/** As the supervisor does: on the same object, until it works. */
async function reconnect(harness: Harness, running: RunningSource, topics: readonly string[]): Promise<void> {
  const endMs = Date.now() + harness.suite.deadlineMs
  for (;;) {
    try {
      await harness.within(running.open(topics), 'reconnect')
      return
    } catch (error) {
      assertNamed(error, 'connect while the broker starts')
      assert.ok(error.canRetry, `${error.code} of a broker that is away must be retried`)
      if (Date.now() > endMs) throw error
      await new Promise((resolve) => void setTimeout(resolve, RECONNECT_POLL_MS))
    }
  }
}

export const faultScenarios: readonly Scenario[] = [
  {
    name: 'closed with unsettled deliveries: the next instance gets all of them',
    unless: unlessDurable,
    async run(harness) {
      const topic = await harness.topic('closed')
      const source = await harness.open([topic])
      const tags = await harness.publish(topic, harness.unsettledMax)
      await harness.arrived(tags, source)
      await harness.within(source.close(), 'close with unsettled deliveries')
      const late = await settleLate(harness, source.arrivals[0])
      assert.notEqual(late, 'settled', 'a settlement after close cannot be settled')
      const next = await harness.open([topic], { decide: ackAll })
      await harness.arrived(tags, next)
      await next.settled()
      assertTally(tags, [next], 0)
    },
  },
  {
    name: 'killed with unsettled deliveries: the next instance gets all of them',
    unless: unlessDurable,
    async run(harness) {
      const topic = await harness.topic('killed')
      // More than the process may hold: those it never saw must come, too.
      const count = harness.unsettledMax + 4
      let tags: string[] = []
      {
        await using child = new CrashingSource(harness, [topic])
        await child.ready()
        tags = await harness.publish(topic, count)
        await child.holds(harness.unsettledMax)
        await child.kill()
        const held = new Set(child.messages.map(harness.tagOf))
        assert.ok(held.size <= harness.unsettledMax, `the killed process held ${held.size} events`)
      }
      const next = await harness.open([topic], { decide: ackAll })
      await harness.arrived(tags, next)
      await next.settled()
      assertTally(tags, [next], 0)
    },
  },
  {
    name: 'the broker restarts twice in mid-stream: nothing is lost',
    unless: anyOf(unlessDurable, ({ features, broker }) =>
      features.survivesRestart && broker.stop !== undefined && broker.start !== undefined
        ? undefined
        : 'this broker cannot be restarted with its events (features.survivesRestart)',
    ),
    async run(harness) {
      const topic = await harness.topic('restarts')
      const source = await harness.open([topic])
      const tags: string[] = []
      const batch = Math.max(2, Math.floor(harness.unsettledMax / 2))
      for (let restart = 1; restart <= 2; restart++) {
        source.decide = ackAll
        tags.push(...(await harness.publish(topic, batch)))
        await harness.arrived(tags, source)
        await source.settled()
        source.decide = () => undefined
        tags.push(...(await harness.publish(topic, batch)))
        await harness.arrived(tags, source)
        await harness.broker.stop?.()
        await harness.until(() => source.ending !== undefined, 'deliveries ends when the broker is gone')
        assert.ok(typeof source.ending === 'object', 'deliveries ended as if closed, although the connection was lost')
        assertNamed(source.ending.error, 'deliveries')
        const refused = await harness.within(source.source.connect(new AbortController().signal), 'connect without a broker').catch((error: unknown) => error) // prettier-ignore
        assertNamed(refused, 'connect without a broker')
        // Hands of the old connection: whatever they say, the broker has taken the events back.
        for (const arrival of source.arrivals.slice(-batch)) await settleLate(harness, arrival)
        await harness.broker.start?.()
        source.decide = ackAll
        await reconnect(harness, source, [topic])
      }
      tags.push(...(await harness.publish(topic, batch)))
      await harness.until(() => tags.every((tag) => source.of(tag).some(({ result }) => result === 'settled')), 'every event is settled').catch(() => undefined) // prettier-ignore
      await source.settled()
      assertTally(tags, [source], copiesMax(harness, 2))
    },
  },
]
