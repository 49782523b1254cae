// What the brokers tell an autoscaler of a group, without being in it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { noKafka } from '../../test/servers/kafka.ts'
import { ack } from '../../test/source-rig.ts'
import { lagOf } from '../../test/tools-rig.ts'
import { withAdmin } from './broker.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()

describe.skipIf(missing !== undefined)('how much waits', () => {
  let kafka: KafkaRig
  beforeAll(async () => {
    kafka = await KafkaRig.start()
  })
  afterAll(() => kafka[Symbol.asyncDispose]())

  const events = (count: number): readonly { value: string }[] => Array.from({ length: count }, (_, index) => ({ value: `${index}` })) // prettier-ignore

  test('is what is behind the commits of the group, over all partitions', async () => {
    const topic = await kafka.topic(2)
    const group = `g-${topic}`
    const tools = await kafka.tools(group, { initialOffset: 'oldest' })
    await kafka.send(topic, { value: 'a', partition: 0 }, { value: 'b', partition: 1 }, { value: 'c', partition: 1 })
    // A group without a commit begins at the oldest.
    expect(await lagOf(tools, [topic])).toEqual([{ topic, kind: 'known', waiting: 3, unsettled: 0 }])
    const groups = await withAdmin(kafka.client, (admin) => admin.listGroups())
    expect(groups.groups.map(({ groupId }) => groupId)).not.toContain(group)
    const source = await kafka.source(group, { initialOffset: 'oldest' }).opened([topic])
    source.ackAll = true
    await source.arrived(3)
    await source.source.close()
    expect(await lagOf(tools, [topic])).toEqual([{ topic, kind: 'known', waiting: 0, unsettled: 0 }])
    await kafka.send(topic, ...events(4))
    expect(await lagOf(tools, [topic])).toEqual([{ topic, kind: 'known', waiting: 4, unsettled: 0 }])
  })

  test('leaves out what is settled beyond the commit', async () => {
    const topic = await kafka.topic()
    const group = `g-${topic}`
    await kafka.send(topic, ...events(3))
    const source = await kafka.source(group, { initialOffset: 'oldest' }).opened([topic])
    const [, second] = await source.arrived(3)
    await ack(second)
    await source.source.close()
    expect(await kafka.committed(group, topic)).toBe(0)
    expect(await lagOf(await kafka.tools(group), [topic])).toEqual([{ topic, kind: 'known', waiting: 2, unsettled: 0 }]) // prettier-ignore
  })

  test('is unread where a new group begins at the newest: a hub that comes later would miss what comes before', async () => {
    const topic = await kafka.topic()
    const group = `g-${topic}`
    const tools = await kafka.tools(group, { initialOffset: 'newest' })
    expect(await lagOf(tools, [topic])).toEqual([{ topic, kind: 'unread' }])
    await (await kafka.source(group, { initialOffset: 'newest' }).opened([topic])).source.close()
    expect(await lagOf(tools, [topic])).toEqual([{ topic, kind: 'known', waiting: 0, unsettled: 0 }])
  })

  test('counts no record that retention has deleted', async () => {
    const topic = await kafka.topic()
    await kafka.send(topic, ...events(5))
    await withAdmin(kafka.client, async (admin) => {
      // The client deletes only in topics that it was told of before.
      await admin.fetchTopicMetadata({ topics: [topic] })
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
    })
    expect(await lagOf(await kafka.tools(`g-${topic}`, { initialOffset: 'oldest' }), [topic])).toEqual([{ topic, kind: 'known', waiting: 2, unsettled: 0 }]) // prettier-ignore
  })

  test('of a topic that is missing is unknown, and the others are known', async () => {
    const topic = await kafka.topic()
    const found = await lagOf(await kafka.tools('g', { initialOffset: 'oldest' }), ['not-there', topic])
    expect(found).toMatchObject([{ topic: 'not-there', kind: 'unknown', problem: { code: 'HUB_TOPIC_MISSING' } }, { topic, kind: 'known' }]) // prettier-ignore
  })
})
