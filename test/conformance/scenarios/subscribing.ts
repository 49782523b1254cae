// The wanted set of topics, and what is handed out of it: how many, in which order, to whom.

import { strict as assert } from 'node:assert'

import type { Scenario } from '../scenario.ts'
import { anyOf } from '../scenario.ts'
import { ackAll, assertTally } from '../running-source.ts'

export const subscribingScenarios: readonly Scenario[] = [
  {
    name: 'subscribe is a set: topics are added, removed and added again',
    async run(harness) {
      const [kept, changing] = [await harness.topic('kept'), await harness.topic('changing')]
      const source = await harness.open([kept], { decide: ackAll })
      await harness.within(source.subscribe([kept, changing]), 'add a topic')
      await harness.arrived(await harness.publish(changing, 1), source)
      await harness.within(source.subscribe([kept]), 'remove a topic')
      const unwanted = await harness.publish(changing, 1)
      await harness.quiet(source, kept)
      assert.equal(source.of(unwanted[0] as string).length, 0, 'an event of a removed topic was delivered')
      await harness.within(source.subscribe([changing, kept]), 'add it again')
      await harness.arrived(await harness.publish(changing, 1), source)
    },
  },
  {
    name: 'subscribing to the same set again changes nothing',
    async run(harness) {
      const topic = await harness.topic('same')
      const source = await harness.open([topic], { decide: ackAll })
      await harness.within(source.subscribe([topic]), 'the same set')
      await harness.within(source.subscribe([topic, topic]), 'the same set, a topic twice')
      const tags = await harness.publish(topic, 4)
      await harness.arrived(tags, source)
      tags.push(...(await harness.publish(topic, 1)))
      await harness.arrived(tags, source)
      await harness.pause()
      await source.settled()
      assertTally(tags, [source], 0)
    },
  },
  {
    name: 'never more than unsettledMax deliveries are unsettled',
    async run(harness) {
      const { unsettledMax } = harness
      const topic = await harness.topic('bound')
      const source = await harness.open([topic])
      const tags = await harness.publish(topic, unsettledMax * 3)
      await harness.until(() => source.arrivals.length >= unsettledMax, `${unsettledMax} deliveries are handed out`)
      await harness.pause()
      assert.equal(source.arrivals.length, unsettledMax, 'handed out with nothing settled')
      await source.arrivals[0]?.ack()
      await harness.until(() => source.arrivals.length > unsettledMax, 'one settled, one more handed out')
      await harness.pause()
      assert.equal(source.arrivals.length, unsettledMax + 1, 'handed out with one settled')
      source.decide = ackAll
      for (const arrival of source.arrivals.slice()) await arrival.ack()
      await harness.arrived(tags, source)
      await source.settled()
      assertTally(tags, [source], 0)
    },
  },
  {
    name: 'events of one ordering key are handed out in the order of publishing',
    unless: ({ features }) => (features.ordered ? undefined : 'nothing is ordered (features.ordered)'),
    async run(harness) {
      const keys = harness.features.keys ? ['red', 'green', 'blue'] : [undefined]
      const keyOf = (index: number): string | undefined => keys[index % keys.length]
      const topic = await harness.topic('order')
      const source = await harness.open([topic], { decide: ackAll })
      const tags = await harness.publish(topic, 30, (index) => {
        const key = keyOf(index)
        return key === undefined ? {} : { key }
      })
      await harness.arrived(tags, source)
      const lanes = new Set<string | undefined>()
      for (const key of keys) {
        const published = tags.filter((_, index) => keyOf(index) === key)
        const arrivals = source.arrivals.filter(({ tag }) => published.includes(tag))
        assert.deepEqual(arrivals.map(({ tag }) => tag), published, `out of order with key ${key}`) // prettier-ignore
        const given = new Set(arrivals.map(({ message }) => message.orderingKey))
        assert.equal(given.size, 1, `events of key ${key} have different ordering keys, so they may overlap`)
        lanes.add([...given][0])
      }
      if (harness.features.keys) assert.equal(lanes.has(undefined), false, 'keyed events have no orderingKey')
      if (harness.features.keys) assert.equal(lanes.size, keys.length, 'different keys share an orderingKey')
    },
  },
  {
    name: 'two replicas share the events of a topic, each is settled once',
    unless: anyOf(({ manifest }) => (manifest.capabilities.shared ? undefined : 'replicas do not share (capabilities.shared)')), // prettier-ignore
    async run(harness) {
      const topic = await harness.topic('shared')
      const replicas = [await harness.open([topic], { replica: 0 }), await harness.open([topic], { replica: 1 })]
      for (const replica of replicas) replica.decide = ackAll
      const tags: string[] = []
      const rounds = 20
      for (
        let round = 0;
        round < rounds && (round < 2 || replicas.some(({ arrivals }) => arrivals.length === 0));
        round++
      ) {
        tags.push(...(await harness.publish(topic, 10, (index) => (harness.features.keys ? { key: `k${index}` } : {}))))
        await harness.arrived(tags, replicas)
      }
      for (const [index, { arrivals }] of replicas.entries())
        assert.ok(arrivals.length > 0, `replica ${index} got none of ${tags.length} events`)
      await harness.pause()
      for (const replica of replicas) await replica.settled()
      assertTally(tags, replicas, 0)
    },
  },
]
