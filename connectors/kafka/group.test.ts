// Several members of one group on a real broker: who has what, what happens to what is out when it moves.

import { Connection, leaveGroupV4 } from '@platformatic/kafka'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Delivery } from '../../src/sdk/index.ts'
import { ack, until } from '../../test/source-rig.ts'
import type { SourceRig } from '../../test/source-rig.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { withAdmin } from './broker.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()
const PARTITIONS = 4

function assigned({ gauges }: SourceRig): number {
  return gauges['kafka_partitions_assigned']?.()[0]?.value ?? 0
}

function said({ log }: SourceRig, event: string): number {
  return log.lines.filter((line) => line.includes(`"${event}"`)).length
}

async function membersOf(kafka: KafkaRig, group: string): Promise<readonly { readonly memberId: string }[]> {
  const { groups } = await withAdmin(kafka.client, (admin) => admin.describeGroups([group]))
  return groups[0]?.members.map(({ memberId }) => ({ memberId })) ?? []
}

/** As the coordinator does it to members whose session ends. */
async function expel(kafka: KafkaRig, group: string, members: readonly { readonly memberId: string }[]): Promise<void> {
  const connection = new Connection('expels')
  await connection.connect('127.0.0.1', kafka.server.plainPort)
  await leaveGroupV4.api.async(connection, group, [...members])
  await connection.close()
}

const idOf = ({ message }: Delivery): string => message.id

describe.skipIf(missing !== undefined)('a group of several members', () => {
  let kafka: KafkaRig
  beforeAll(async () => {
    kafka = await KafkaRig.start()
  })
  afterAll(() => kafka[Symbol.asyncDispose]())

  const spread = (topic: string, count: number): Promise<void> => kafka.send(topic, ...Array.from({ length: count }, (_, index) => ({ value: `${index}`, partition: index % PARTITIONS }))) // prettier-ignore

  test('shares the partitions; what stays goes on, what moves was settled and committed before', async () => {
    const topic = await kafka.topic(PARTITIONS)
    await spread(topic, 16)
    const patient = { revokeTimeout: '20s', rebalanceTimeout: '30s', sessionTimeout: '10s' }
    const first = await kafka.source('share', patient).opened([topic])
    await first.arrived(16)
    const second = kafka.source('share', patient)
    const joining = second.opened([topic])
    // The first is asked to give up two partitions while all of its events are out.
    await until(() => said(first, 'kafka.revoking') > 0, 'the group rebalances')
    expect(await Promise.all(first.arrivals.map(ack))).toEqual(first.arrivals.map(() => 'settled'))
    await joining
    await until(() => assigned(first) === 2 && assigned(second) === 2, 'each has two partitions')
    first.ackAll = true
    second.ackAll = true
    await spread(topic, 16)
    await until(() => first.arrivals.length + second.arrivals.length >= 32, 'everything arrives')
    const ids = [...first.arrivals, ...second.arrivals].map(idOf)
    expect(new Set(ids).size).toBe(32)
    expect(ids).toHaveLength(32)
    expect(second.arrivals).toHaveLength(8)
    await second.source.close()
    await until(() => assigned(first) === PARTITIONS, 'the first has all of them again')
    await spread(topic, 8)
    await first.arrived(16 + 8 + 8)
  })

  test('what is not settled within the bound is withdrawn and goes to the other member, and only that', async () => {
    const topic = await kafka.topic(PARTITIONS)
    await spread(topic, 8)
    const first = await kafka.source('bound', {}, { unsettledMax: 8 }).opened([topic])
    await first.arrived(8)
    // One of each partition is settled, one stays out.
    const [out, settled] = [first.arrivals.filter((_, index) => index >= 4), first.arrivals.slice(0, 4)]
    await Promise.all(settled.map(ack))
    const second = await kafka.source('bound').opened([topic])
    await until(() => second.arrivals.length > 0, 'the other gets something')
    await until(() => assigned(second) === 2, 'the other has two partitions')
    const withdrawn = first.arrivals.filter(({ signal }) => signal?.aborted)
    await second.arrived(withdrawn.length)
    expect(second.arrivals.map(idOf).toSorted()).toEqual(withdrawn.map(idOf).toSorted())
    expect(await Promise.all(withdrawn.map(ack))).toEqual(withdrawn.map(() => 'stale'))
    expect(first.log.lines.join()).toContain(`${withdrawn.length} records were not settled in time`)
    expect(await Promise.all(out.filter((one) => !withdrawn.includes(one)).map(ack))).toEqual(['settled', 'settled'])
    // What was withdrawn holds no room.
    await spread(topic, 32)
    await first.arrived(8 + 8)
  })

  test('one that is expelled while it gives up partitions settles nothing of them any more, and comes back', async () => {
    const topic = await kafka.topic(PARTITIONS)
    await spread(topic, 8)
    const patient = { revokeTimeout: '20s', rebalanceTimeout: '30s', sessionTimeout: '10s' }
    const first = await kafka.source('expelled', patient).opened([topic])
    await first.arrived(8)
    const members = await membersOf(kafka, 'expelled')
    const second = kafka.source('expelled', patient)
    const joining = second.opened([topic])
    await until(() => said(first, 'kafka.revoking') > 0, 'the group rebalances')
    await expel(kafka, 'expelled', members)
    expect(await Promise.all(first.arrivals.map(ack))).toEqual(first.arrivals.map(() => 'stale'))
    await joining
    first.ackAll = true
    second.ackAll = true
    await until(() => assigned(first) === 2 && assigned(second) === 2, 'each has two partitions')
    expect(first.ending).toBeUndefined()
  })

  test('a static member comes back without moving partitions, and its name is taken only once', async () => {
    const topic = await kafka.topic(PARTITIONS)
    const other = await kafka.source('static', { instanceId: 'other', sessionTimeout: '10s' }).opened([topic])
    const member = await kafka.source('static', { instanceId: 'member', sessionTimeout: '10s' }).opened([topic])
    await until(() => assigned(other) === 2 && assigned(member) === 2, 'each has two partitions')
    const before = said(other, 'kafka.assigned') + said(other, 'kafka.revoked')
    await member.source.close()
    await spread(topic, 8)
    const again = await kafka.source('static', { instanceId: 'member', sessionTimeout: '10s' }).opened([topic])
    await again.arrived(4)
    expect(said(other, 'kafka.assigned') + said(other, 'kafka.revoked')).toBe(before)
    const twin = await kafka.source('static', { instanceId: 'member', sessionTimeout: '10s' }).opened([topic])
    const error = await again.lost()
    expect(error).toMatchObject({ code: 'HUB_SOURCE_LOST', hint: expect.stringContaining('instanceId of its own') })
    await twin.source.close()
  })

  test('a static member that comes back reads what it wants now, and partitions that are made later', async () => {
    const [topic, other] = [await kafka.topic(1), await kafka.topic(1)]
    const config = { instanceId: 'back', sessionTimeout: '10s' }
    const before = await kafka.source('static-back', config).opened([topic])
    await before.source.close()
    const after = await kafka.source('static-back', config).opened([topic, other])
    await kafka.send(other, { value: 'of another topic' })
    await after.arrived(1)
    await withAdmin(kafka.client, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
    const held = (): number => (after.gauges['kafka_partitions_assigned']?.() ?? []).reduce((sum, { value }) => sum + value, 0) // prettier-ignore
    await expect.poll(held, { timeout: 30_000 }).toBe(3)
  })

  test(
    'one that is cut off is left behind: its events go to the others, its settlements are stale, and it comes back',
    { timeout: 90_000 },
    async () => {
      const proxies: Awaited<ReturnType<typeof startTcpProxy>>[] = []
      const advertise = async (port: number): Promise<number> => {
        proxies.push(await startTcpProxy(port))
        return proxies[0]?.port ?? 0
      }
      await using own = await KafkaRig.start({ advertise })
      const topic = await own.topic(PARTITIONS)
      const cut = await own.source('cut', { requestTimeout: '1s' }).opened([topic])
      const other = await own.source('cut', { brokers: [`127.0.0.1:${own.server.plainPort}`] }).opened([topic])
      await until(() => assigned(cut) === 2 && assigned(other) === 2, 'each has two partitions')
      await own.send(topic, ...Array.from({ length: 8 }, (_, index) => ({ value: `${index}`, partition: index % PARTITIONS }))) // prettier-ignore
      await cut.arrived(4)
      proxies[0]?.silence(true)
      await other.arrived(8)
      expect(await cut.lost()).toMatchObject({ code: expect.stringMatching(/^HUB_SOURCE_(LOST|UNREACHABLE)$/), canRetry: true }) // prettier-ignore
      expect(await Promise.all(cut.arrivals.map(ack))).toEqual(['stale', 'stale', 'stale', 'stale'])
      expect(new Set(other.arrivals.map(idOf)).size).toBe(8)
      proxies[0]?.cut()
      proxies[0]?.silence(false)
      await cut.reconnect([topic])
      await until(() => assigned(cut) === 2, 'it has two partitions again')
      await proxies[0]?.[Symbol.asyncDispose]()
    },
  )
})
