// A cluster of two brokers, one of which dies: partitions and the group move, and the connector moves with them.

import { describe, expect, test, vi } from 'vitest'

import { until } from '../../test/source-rig.ts'
import { noKafka, startKafka } from '../../test/servers/kafka.ts'
import { withAdmin } from './broker.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()
const PARTITIONS = 4
const OFFSETS_PARTITIONS = 4
const REPLICATED = [`offsets.topic.num.partitions=${OFFSETS_PARTITIONS}`, 'offsets.topic.replication.factor=2', 'min.insync.replicas=1'] // prettier-ignore

/** As brokers do it: `String.hashCode` of Java, modulo. */
function offsetsPartition(group: string): number {
  let hash = 0
  for (const character of group) hash = (Math.imul(31, hash) + character.charCodeAt(0)) | 0
  return (hash & 0x7fff_ffff) % OFFSETS_PARTITIONS
}

async function leaders(kafka: KafkaRig, topic: string): Promise<ReadonlyMap<number, number>> {
  const { topics } = await withAdmin(kafka.client, (admin) => admin.fetchTopicMetadata({ topics: [topic] }))
  return new Map(topics[0]?.partitions.map(({ partitionId, leader }) => [partitionId, leader]))
}

/** One whose coordinator is this broker. The topic of offsets is made with the first group. */
async function groupLedBy(kafka: KafkaRig, node: number): Promise<string> {
  await vi.waitFor(() => withAdmin(kafka.client, (admin) => admin.fetchOffsets({ groupId: 'first' })), { timeout: 30_000 }) // prettier-ignore
  const offsets = await leaders(kafka, '__consumer_offsets')
  const names = Array.from({ length: 100 }, (_, index) => `group-${index}`)
  return names.find((name) => offsets.get(offsetsPartition(name)) === node) ?? 'none'
}

describe.skipIf(missing !== undefined)('a cluster', () => {
  test(
    'loses a broker that leads partitions and the group: nothing is lost or repeated, and the session goes on',
    { timeout: 120_000 },
    async () => {
      await using kafka = await KafkaRig.start({ config: REPLICATED })
      await using second = await startKafka({ joins: kafka.server, config: REPLICATED })
      await expect.poll(async () => (await withAdmin(kafka.client, (admin) => admin.describeCluster())).brokers.length, { timeout: 30_000 }).toBe(2) // prettier-ignore
      const topic = 'replicated'
      await kafka.create(topic, PARTITIONS, {}, 2)
      const led = [...(await leaders(kafka, topic)).values()]
      expect(led.filter((node) => node === second.node).length).toBeGreaterThan(0)
      const group = await groupLedBy(kafka, second.node)
      const source = await kafka.source(group, { brokers: [kafka.server.bootstrap, second.bootstrap], sessionTimeout: '20s', rebalanceTimeout: '30s' }).opened([topic]) // prettier-ignore
      source.ackAll = true
      const send = (from: number, count: number): Promise<void> => kafka.send(topic, ...Array.from({ length: count }, (_, index) => ({ value: `${from + index}`, partition: index % PARTITIONS }))) // prettier-ignore
      await send(0, 20)
      await source.arrived(20)
      await second.kill()
      await expect.poll(async () => [...(await leaders(kafka, topic)).values()].every((node) => node === kafka.server.node), { timeout: 30_000 }).toBe(true) // prettier-ignore
      await send(20, 20)
      await expect.poll(() => source.arrivals.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(40)
      await until(() => source.source.backlog?.().every(({ unsettled }) => unsettled === 0) === true, 'the new coordinator has the commits') // prettier-ignore
      expect(source.bodies.map(Number).toSorted((left, right) => left - right)).toEqual(Array.from({ length: 40 }, (_, index) => index)) // prettier-ignore
      expect(source.ending).toBeUndefined()
    },
  )

  test('a partition that only one broker has is read on when that one is back', { timeout: 120_000 }, async () => {
    await using kafka = await KafkaRig.start({ config: REPLICATED })
    await using second = await startKafka({ joins: kafka.server, config: REPLICATED })
    await expect.poll(async () => (await withAdmin(kafka.client, (admin) => admin.describeCluster())).brokers.length, { timeout: 30_000 }).toBe(2) // prettier-ignore
    const topic = 'on-one-broker'
    await kafka.create(topic, PARTITIONS)
    // This client fails where a partition has none.
    const isLed = (): Promise<boolean> => leaders(kafka, topic).then(() => true, () => false) // prettier-ignore
    const group = await groupLedBy(kafka, kafka.server.node)
    const source = await kafka.source(group, { sessionTimeout: '20s', rebalanceTimeout: '30s', topicRefresh: '60s' }).opened([topic]) // prettier-ignore
    source.ackAll = true
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
    const read = (from: number): Set<string | undefined> => new Set(source.arrivals.slice(from).map(({ message: { headers } }) => headers['X-Kafka-Partition'])) // prettier-ignore
    await kafka.send(topic, ...partitions.map((partition) => ({ partition })))
    await source.arrived(PARTITIONS)
    const lone = [...(await leaders(kafka, topic)).values()].filter((node) => node === second.node).length
    await second.kill()
    await expect.poll(isLed, { timeout: 30_000 }).toBe(false)
    // A group that begins meanwhile has nothing to go by for it, and reads the others.
    const other = await kafka.source(`${group}-new`, { topicRefresh: '60s' }).opened([topic])
    other.ackAll = true
    await until(() => other.arrivals.length === PARTITIONS - lone, 'what is there is read')
    await second.start()
    await expect.poll(isLed, { timeout: 30_000 }).toBe(true)
    // The leader is known to one broker sooner than to the other.
    for (const partition of partitions) await vi.waitFor(() => kafka.send(topic, { partition }), { timeout: 30_000 })
    await until(() => read(PARTITIONS).size === PARTITIONS, 'every partition is read again')
    await until(() => other.arrivals.length >= 2 * PARTITIONS, 'nothing of it is left out')
    expect(source.ending).toBeUndefined()
  })
})
