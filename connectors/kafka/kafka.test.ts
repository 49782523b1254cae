// The connector against a real broker: what a record becomes, which topics are read, where a group begins and goes on.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { instanceConfig } from '../../src/sdk/index.ts'
import { ack, until } from '../../test/source-rig.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { withAdmin, readLetters } from './broker.ts'
import connector from './connector.ts'
import { KafkaRig } from './rig.ts'

const missing = await noKafka()

describe.skipIf(missing !== undefined)('Kafka', () => {
  let kafka: KafkaRig
  beforeAll(async () => {
    kafka = await KafkaRig.start({ config: ['auto.create.topics.enable=false', 'log.retention.check.interval.ms=500'] })
  })
  afterAll(() => kafka[Symbol.asyncDispose]())

  describe('an event', () => {
    test('has partition, offset, time and key of its record, and every header', async () => {
      const topic = await kafka.topic(2)
      const before = Date.now()
      const headers = { trace: 'abc', many: ['one', 'two'], bytes: Buffer.from([0, 255]), Key: 'impostor', 'content-type': 'text/csv' } // prettier-ignore
      await kafka.send(topic, { key: 'user-1', value: 'a;b', headers, partition: 1 })
      const source = await kafka.source('headers').opened([topic])
      const [delivery] = await source.arrived(1)
      const { headers: got, timestampMs, ...message } = delivery?.message ?? { headers: {}, timestampMs: 0 }
      expect(message).toMatchObject({
        id: `kafka:${topic}/1@0`,
        topic,
        contentType: 'text/csv',
        orderingKey: `${topic}/user-1`,
        attempt: 1,
      })
      expect(timestampMs).toBeGreaterThanOrEqual(before - 1000)
      expect(got).toEqual({
        'X-Kafka-Partition': '1',
        'X-Kafka-Offset': '0',
        'X-Kafka-Timestamp': String(timestampMs),
        'X-Kafka-Key': 'user-1',
        'X-Kafka-trace': 'abc',
        'X-Kafka-many': 'one, two',
        'X-Kafka-bytes': 'AP8=',
        'X-Kafka-bytes-Enc': 'b64',
        'X-Kafka-content-type': 'text/csv',
      })
      await ack(delivery)
    })

    test('with a binary key has it as base64, one without a key has none, and a tombstone has no bytes', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, { key: Buffer.from([1, 254]), value: null }, { value: 'x' })
      const source = await kafka.source('keys').opened([topic])
      const [binary, none] = await source.arrived(2)
      expect(binary?.message.headers).toMatchObject({ 'X-Kafka-Key': 'Af4=', 'X-Kafka-Key-Enc': 'b64' })
      expect(binary?.message.body).toHaveLength(0)
      expect(none?.message.headers).not.toHaveProperty('X-Kafka-Key')
      expect(none?.message.orderingKey).toBeUndefined()
    })

    test.each([
      ['partition', (topic: string) => `${topic}/0`],
      ['none', () => undefined],
    ] as const)('with order: %s', async (order, expected) => {
      const topic = await kafka.topic()
      await kafka.send(topic, { key: 'a' })
      const [delivery] = await (await kafka.source(`order-${order}`, { order }).opened([topic])).arrived(1)
      expect(delivery?.message.orderingKey).toBe(expected(topic))
    })

    test.each(['gzip', 'snappy', 'lz4', 'zstd'])(
      'is read from batches that the broker compressed with %s',
      async (codec) => {
        const topic = await kafka.topic(1, { 'compression.type': codec })
        const values = Array.from({ length: 50 }, (_, index) => `event ${index} `.repeat(20))
        await kafka.send(topic, ...values.map((value) => ({ value })))
        const source = await kafka.source(`codec-${codec}`, {}, { unsettledMax: 100 }).opened([topic])
        await source.arrived(50)
        expect(source.bodies).toEqual(values)
      },
    )

    test('of an aborted transaction is not delivered, one of a committed is', async () => {
      const topic = await kafka.topic()
      const producer = kafka.client.producer({ transactionalId: 'test', maxInFlightRequests: 1, idempotent: true })
      await producer.connect()
      for (const [value, commit] of [['aborted', false], ['committed', true]] as const) {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: [{ value }] })
        await (commit ? transaction.commit() : transaction.abort())
      } // prettier-ignore
      await producer.disconnect()
      await kafka.send(topic, { value: 'plain' })
      const source = await kafka.source('transactions').opened([topic])
      await source.arrived(2)
      expect(source.bodies).toEqual(['committed', 'plain'])
      await Promise.all(source.arrivals.map(ack))
      // Markers are behind us, too.
      await expect.poll(() => kafka.committed('transactions', topic)).toBe(5)
    })
  })

  describe('topics', () => {
    test('come and go at run time, and the group keeps its place', async () => {
      const [first, second] = [await kafka.topic(), await kafka.topic()]
      const source = await kafka.source('changing').opened([first])
      source.ackAll = true
      await kafka.send(first, { value: 'first 1' })
      await kafka.send(second, { value: 'second 1' })
      await source.arrived(1)
      await source.subscribe([first, second])
      await source.arrived(2)
      await source.subscribe([first])
      await kafka.send(second, { value: 'second 2' })
      await kafka.send(first, { value: 'first 2' })
      await source.arrived(3)
      await source.subscribe([first, second])
      await source.arrived(4)
      expect(source.bodies).toEqual(['first 1', 'second 1', 'first 2', 'second 2'])
      expect(source.log.lines.filter((line) => line.includes(`gave up ${first}`))).toEqual([])
    })

    test('that do not exist are said to be missing, and read once they are there', async () => {
      const topic = 'not-there-yet'
      const source = await kafka.source('missing', { topicRefresh: '60s' }).opened([topic])
      expect(source.log.lines.filter((line) => line.includes('kafka.topic-missing'))).toHaveLength(1)
      await kafka.create(topic, 2)
      await kafka.send(topic, { value: 'late', partition: 1 })
      await source.arrived(1)
      expect(source.log.lines.some((line) => line.includes('kafka.topic-found'))).toBe(true)
    })

    test.each([['shorter', 1], ['longer', 3]])('that are deleted and made anew at once are read from their beginning: %s', async (name, count) => {
      const topic = `made-anew-${name}`
      await kafka.create(topic, 1)
      const source = await kafka.source(topic, { topicRefresh: '60s' }).opened([topic])
      source.ackAll = true
      await kafka.send(topic, { value: 'old' }, { value: 'old' })
      await source.arrived(2)
      await expect.poll(() => kafka.committed(topic, topic)).toBe(2)
      await withAdmin(kafka.client, (admin) => admin.deleteTopics({ topics: [topic] }))
      await kafka.create(topic, 1)
      const values = Array.from({ length: count }, (_, index) => `new ${index}`)
      await kafka.send(topic, ...values.map((value) => ({ value })))
      await source.arrived(2 + count)
      expect(source.bodies).toEqual(['old', 'old', ...values])
      await expect.poll(() => kafka.committed(topic, topic)).toBe(count)
    }) // prettier-ignore

    test('that are deleted while records are out, and made anew, are read: what was out is stale', async () => {
      const topic = 'made-anew-out'
      await kafka.create(topic, 1)
      const source = await kafka.source(topic, { topicRefresh: '60s' }).opened([topic])
      await kafka.send(topic, { value: 'old' })
      const [old] = await source.arrived(1)
      await withAdmin(kafka.client, (admin) => admin.deleteTopics({ topics: [topic] }))
      expect(await ack(old)).toBe('stale')
      await kafka.create(topic, 1)
      await kafka.send(topic, { value: 'new' })
      const [, fresh] = await source.arrived(2)
      expect(await ack(fresh)).toBe('settled')
      expect(source.bodies).toEqual(['old', 'new'])
    })

    test('get new partitions, which are read', async () => {
      const topic = await kafka.topic(1)
      const source = await kafka.source('growing').opened([topic])
      await withAdmin(kafka.client, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] }))
      await expect.poll(async () => {
        await kafka.send(topic, { value: 'x', partition: 2 }).catch(() => undefined)
        return source.arrivals.length
      }, { timeout: 15_000 }).toBeGreaterThan(0) // prettier-ignore
    })

    test('are those that match a configured pattern, also later ones, and none of Kafka itself', async () => {
      await kafka.create('match-one', 1)
      const source = await kafka.source('pattern', { topics: ['/^match-|consumer/'] }).opened(['ignored'])
      await kafka.send('match-one', { value: 'one' })
      await source.arrived(1)
      await kafka.create('match-two', 1)
      await kafka.send('match-two', { value: 'two' })
      await source.arrived(2)
      expect(source.arrivals.map(({ message }) => message.topic)).toEqual(['match-one', 'match-two'])
    })
  })

  describe('a group', () => {
    test.each([
      ['oldest', ['before', 'after']],
      ['newest', ['after']],
    ] as const)('that is new begins with the %s', async (initialOffset, expected) => {
      const topic = await kafka.topic()
      await kafka.send(topic, { value: 'before' })
      const source = await kafka.source(`initial-${initialOffset}`, { initialOffset }).opened([topic])
      await kafka.send(topic, { value: 'after' })
      await source.arrived(expected.length)
      expect(source.bodies).toEqual(expected)
    })

    test('that began with the newest loses nothing when it stops before it settled anything', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, { value: 'before' })
      const first = await kafka.source('newest-kept', { initialOffset: 'newest' }).opened([topic])
      await expect.poll(() => kafka.committed('newest-kept', topic)).toBe(1)
      await first.source.close()
      await kafka.send(topic, { value: 'meanwhile' })
      const second = await kafka.source('newest-kept', { initialOffset: 'newest' }).opened([topic])
      await second.arrived(1)
      expect(second.bodies).toEqual(['meanwhile'])
    })

    test('does not repeat what was settled behind an unsettled record, and counts its tries on', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...['a', 'b', 'c', 'd'].map((value) => ({ value })))
      const first = await kafka.source('holes').opened([topic])
      const [a, b, c, d] = await first.arrived(4)
      b?.tried?.(3)
      expect(await Promise.all([ack(a), ack(d)])).toEqual(['settled', 'settled'])
      await first.source.close()
      expect(await kafka.committed('holes', topic)).toBe(1)
      expect([await ack(c), b?.signal?.aborted]).toEqual(['stale', true])
      const second = await kafka.source('holes').opened([topic])
      await kafka.send(topic, { value: 'e' })
      await second.arrived(3)
      expect(second.arrivals.map(({ message }) => `${Buffer.from(message.body).toString()} ${message.attempt}`)).toEqual(['b 4', 'c 1', 'e 1']) // prettier-ignore
      await Promise.all(second.arrivals.map(ack))
      await expect.poll(() => kafka.committed('holes', topic)).toBe(5)
    })

    test('pauses a partition that runs too far ahead, says so, and goes on', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...Array.from({ length: 10 }, (_, index) => ({ value: `${index}` })))
      const source = await kafka.source('ahead', { uncommittedMax: 4 }).opened([topic])
      await source.arrived(4)
      const paused = (): unknown => source.gauges['kafka_partitions_paused']?.()
      expect(paused()).toEqual([{ labels: [topic], value: 1 }])
      await Promise.all(source.arrivals.slice(1).map(ack))
      expect(source.arrivals).toHaveLength(4)
      const [oldest] = source.arrivals
      await ack(oldest)
      await source.arrived(8)
      await Promise.all(source.arrivals.slice(4).map(ack))
      await source.arrived(10)
      expect(paused()).toEqual([{ labels: [topic], value: 0 }])
    })

    test('knows how far it is behind', async () => {
      const topic = await kafka.topic(1)
      await kafka.send(topic, ...Array.from({ length: 7 }, () => ({})))
      const source = await kafka.source('lag', {}, { unsettledMax: 3 }).opened([topic])
      const [first] = await source.arrived(3)
      expect(source.source.backlog?.()).toEqual([
        {
          topic,
          waiting: 4,
          unsettled: 3,
          oldestWaitingMs: first?.message.timestampMs,
          oldestUnsettledMs: first?.message.timestampMs,
        },
      ])
      source.ackAll = true
      await Promise.all(source.arrivals.map(ack))
      await source.arrived(7)
      await until(() => source.source.backlog?.()[0]?.unsettled === 0, 'all of it is settled')
      expect(source.source.backlog?.()).toEqual([{ topic, waiting: 0, unsettled: 0, oldestWaitingMs: undefined, oldestUnsettledMs: undefined }]) // prettier-ignore
    })

    test('goes on behind what retention deleted, and says how much that was', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...Array.from({ length: 5 }, (_, index) => ({ value: `${index}` })))
      const first = await kafka.source('expired', {}, { unsettledMax: 1 }).opened([topic])
      const [zero] = await first.arrived(1)
      await ack(zero)
      await first.source.close()
      await withAdmin(kafka.client, async (admin) => {
        // So that this client knows the topic.
        await admin.fetchTopicOffsets(topic)
        await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
      })
      const second = await kafka.source('expired').opened([topic])
      await second.arrived(1)
      expect(second.bodies).toEqual(['4'])
      expect(second.counts['kafka_expired_total']).toBe(3)
      expect(second.log.lines.some((line) => line.includes('3 records were deleted'))).toBe(true)
    })

    test('with members of another kind is refused, with what to do', async () => {
      const topic = await kafka.topic()
      const other = kafka.client.consumer({ groupId: 'others' })
      await other.connect()
      await other.subscribe({ topic })
      await other.run({ eachMessage: () => Promise.resolve() })
      try {
        await expect.poll(async () => (await withAdmin(kafka.client, (admin) => admin.describeGroups(['others']))).groups[0]?.state, { timeout: 15_000 }).toBe('Stable') // prettier-ignore
        await expect(kafka.source('others').opened([topic])).rejects.toMatchObject({
          code: 'HUB_SOURCE_PROTOCOL',
          hint: expect.stringContaining('choose another group'),
        })
      } finally {
        await other.disconnect()
      }
    })
  })

  describe('dead letters', () => {
    const rejection = (message: object, name = 'billing'): unknown => ({
      kind: 'reject',
      reason: 'answered 500',
      letters: [{ message, function: name, reason: 'answered 500', status: 500, attempts: 6, failedAtMs: 42 }],
    })

    test('wait for their topic, whose missing is said with the command, and hold the record with its headers', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, { key: 'k', value: 'broken', headers: { trace: 'abc' } })
      const source = await kafka.source('letters', { deadLetterTopic: 'dead.{topic}' }).opened([topic])
      const [delivery] = await source.arrived(1)
      let result: string | undefined
      const settling = delivery?.settle(rejection(delivery.message) as never).then((value) => (result = value))
      await until(() => source.log.lines.some((line) => line.includes('kafka.dead-letter-failed')), 'it is reported')
      expect(source.log.lines.join()).toContain(`kafka-topics --create --topic dead.${topic}`)
      expect([result, await kafka.committed('letters', topic)]).toEqual([undefined, 0])
      await kafka.create(`dead.${topic}`, 1)
      await settling
      expect(result).toBe('settled')
      expect(await kafka.committed('letters', topic)).toBe(1)
      const letters = await readLetters(kafka.client, `dead.${topic}`)
      expect(letters).toEqual([{ body: Buffer.from('broken'), topic, function: 'billing', reason: 'answered 500', attempts: 6 }]) // prettier-ignore
      const copy = await kafka.source('letters-copy').opened([`dead.${topic}`])
      const [letter] = await copy.arrived(1)
      expect(letter?.message.headers).toMatchObject({
        'X-Kafka-Key': 'k',
        'X-Kafka-trace': 'abc',
        'X-Kafka-hub-topic': topic,
        'X-Kafka-hub-partition': '0',
        'X-Kafka-hub-offset': '0',
        'X-Kafka-hub-status': '500',
        'X-Kafka-hub-timestamp': String(delivery?.message.timestampMs),
        'X-Kafka-hub-failed-at': '1970-01-01T00:00:00.042Z',
      })
    })

    test('that cannot be written are given up when the source closes, and the event comes again', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, { value: 'broken' })
      const source = await kafka.source('unwritten').opened([topic])
      const [delivery] = await source.arrived(1)
      const settling = delivery?.settle(rejection(delivery.message) as never)
      await until(() => source.log.lines.some((line) => line.includes('kafka.dead-letter-failed')), 'it is reported')
      await source.source.close()
      expect(await settling).toBe('stale')
      await (await kafka.source('unwritten').opened([topic])).arrived(1)
    })
  })
})

describe('the configuration', () => {
  test.each([
    [{ brokers: [] }, 'brokers is empty'],
    [{ brokers: ['kafka://user:secret@host:1'] }, 'brokers holds an entry'],
    [{ username: 'u' }, 'username and password, which belong together'],
    [{ saslMechanism: 'scram-sha-256' }, 'scram-sha-256 needs a username'],
    [{ saslMechanism: 'oauthbearer' }, 'oauth is not complete'],
    [{ saslMechanism: 'oauthbearer', oauth: { tokenFile: '/t' }, username: 'u', password: 'p' }, 'oauthbearer has no'],
    [{ tls: { certFile: '/c' } }, 'certFile and keyFile, which belong together'],
    [{ topics: ['/(/'] }, 'is no regular expression'],
    [{ revokeTimeout: '60s' }, 'revokeTimeout is not below'],
  ])('%j is refused, without its secrets', (config, expected) => {
    const create = (): unknown => instanceConfig(connector.manifest, config) // prettier-ignore
    expect(create).toThrowError(expect.objectContaining({ code: 'HUB_CONFIG_INVALID', message: expect.stringContaining(expected) })) // prettier-ignore
    expect(create).not.toThrowError(/secret/)
  })
})
