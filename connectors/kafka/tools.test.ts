// What the command line does at a real broker: look without taking, publish, go through dead letters.

import { Partitioners } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Delivery, EventMessage, HubError } from '../../src/sdk/index.ts'
import { noKafka } from '../../test/servers/kafka.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import type { TcpProxy } from '../../test/servers/tcp-proxy.ts'
import { ack } from '../../test/source-rig.ts'
import { Look, letterBodies, withLetters } from '../../test/tools-rig.ts'
import { withAdmin } from './broker.ts'
import { partitionOfKey } from './emit.ts'
import { SPAN_MAX } from './letter-marks.ts'
import { KafkaRig } from './rig.ts'
import type { Sent } from './rig.ts'

const missing = await noKafka()
const never = new AbortController().signal

const byId = (left: EventMessage, right: EventMessage): number => (left.id < right.id ? -1 : 1)
const texts = (count: number, from = 0): readonly Sent[] => Array.from({ length: count }, (_, index) => ({ value: `${from + index}` })) // prettier-ignore

async function refusal(work: Promise<unknown> | undefined): Promise<HubError> {
  return await (work?.then(() => expect.fail('it was not refused'), (error: unknown) => error as HubError) as Promise<HubError>) // prettier-ignore
}

describe.skipIf(missing !== undefined)('at a broker', () => {
  let kafka: KafkaRig
  let proxy: TcpProxy
  beforeAll(async () => {
    // Topics are made for whoever asks: then nobody may ask by accident.
    kafka = await KafkaRig.start({
      config: ['auto.create.topics.enable=true', 'num.partitions=1'],
      advertise: async (port) => (proxy = await startTcpProxy(port)).port,
    })
  })
  afterAll(async () => {
    await kafka[Symbol.asyncDispose]()
    await proxy[Symbol.asyncDispose]()
  })

  const groups = async (): Promise<readonly string[]> =>
    (await withAdmin(kafka.client, (admin) => admin.listGroups())).groups.map(({ groupId }) => groupId)
  const topics = (): Promise<readonly string[]> => withAdmin(kafka.client, (admin) => admin.listTopics())

  describe('a look', () => {
    test('shows what a hub gets, field by field, and leaves all of it, and nothing of itself', async () => {
      const topic = await kafka.topic(3)
      await kafka.send(
        topic,
        { key: 'a', value: '1', headers: { trace: 'x', many: ['1', '2'], 'content-type': 'text/csv' } },
        { key: Buffer.from([1, 254]), value: null, headers: { bytes: Buffer.from([0, 255]) } },
        { value: 'no key', partition: 2 },
        ...Array.from({ length: 20 }, (_, index) => ({ key: `k${index % 4}`, value: `${index}` })),
      )
      const tools = await kafka.tools('looked')
      const look = await Look.open(tools, [topic])
      await look.saw(23)
      await look[Symbol.asyncDispose]()
      expect(look.means).toContain('group looked')
      expect(look.caution).toBeUndefined()
      expect(await groups()).not.toContain('looked')
      const source = await kafka.source('looked').opened([topic])
      await source.arrived(23)
      const got = source.arrivals.map(({ message }) => message)
      expect(look.seen.toSorted(byId)).toEqual(got.toSorted(byId))
      const ofPartition = (all: readonly EventMessage[]): readonly string[] => all.filter(({ headers }) => headers['X-Kafka-Partition'] === '0').map(({ id }) => id) // prettier-ignore
      expect(ofPartition(look.seen)).toEqual(ofPartition(got))
    })

    test('goes on where the group stands: what is settled is left out, and tries are counted on', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...['a', 'b', 'c', 'd'].map((value) => ({ value })))
      const first = await kafka.source('stands').opened([topic])
      const [a, b, , d] = await first.arrived(4)
      b?.tried?.(3)
      await Promise.all([ack(a), ack(d)])
      await first.source.close()
      await using look = await Look.open(await kafka.tools('stands'), [topic])
      await look.saw(2)
      await kafka.send(topic, { value: 'e' })
      await look.saw(3)
      expect(look.seen.map(({ body, attempt }) => `${Buffer.from(body).toString()} ${attempt}`)).toEqual(['b 4', 'c 1', 'e 1']) // prettier-ignore
      expect(await kafka.committed('stands', topic)).toBe(1)
      const second = await kafka.source('stands').opened([topic])
      await second.arrived(3)
      expect(second.bodies).toEqual(['b', 'c', 'e'])
    })

    test('beside a hub takes nothing from it, and both get what comes', async () => {
      const topic = await kafka.topic(2)
      const source = await kafka.source('beside').opened([topic])
      source.ackAll = true
      await using look = await Look.open(await kafka.tools('beside'), [topic])
      await kafka.send(topic, ...Array.from({ length: 50 }, (_, index) => ({ value: `${index}`, key: `${index}` })))
      await Promise.all([source.arrived(50), look.saw(50)])
      expect(look.bodies.toSorted()).toEqual(source.bodies.toSorted())
      expect(source.log.lines.filter((line) => line.includes('kafka.revok'))).toEqual([])
    })

    test('begins with the newest where the group would, and leaves out what was aborted', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, { value: 'before' })
      await using look = await Look.open(await kafka.tools('newest', { initialOffset: 'newest' }), [topic])
      const producer = kafka.client.producer({ transactionalId: 'look', maxInFlightRequests: 1, idempotent: true })
      await producer.connect()
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value: 'aborted' }] })
      await transaction.abort()
      await producer.disconnect()
      await kafka.send(topic, { value: 'after' })
      await look.saw(1)
      expect(look.bodies).toEqual(['after'])
    })

    test('finds topics and partitions that come meanwhile, and makes none', async () => {
      const tools = await kafka.tools('later')
      await using look = await Look.open(tools, ['comes-later'])
      expect(await topics()).not.toContain('comes-later')
      await kafka.create('comes-later', 1)
      await kafka.send('comes-later', { value: '1' })
      await look.saw(1)
      await withAdmin(kafka.client, (admin) => admin.createPartitions({ topicPartitions: [{ topic: 'comes-later', count: 2 }] })) // prettier-ignore
      await expect.poll(() => kafka.send('comes-later', { value: '2', partition: 1 }).then(() => true, () => false), { timeout: 20_000 }).toBe(true) // prettier-ignore
      await look.saw(2)
    })

    test('goes on behind what retention deleted', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...texts(5))
      const first = await kafka.source('retained', {}, { unsettledMax: 1 }).opened([topic])
      await ack((await first.arrived(1))[0])
      await first.source.close()
      await deleteUpTo(topic, 4)
      await using look = await Look.open(await kafka.tools('retained'), [topic])
      await look.saw(1)
      expect(look.bodies).toEqual(['4'])
    })
  })

  const deleteUpTo = (topic: string, offset: number): Promise<void> =>
    withAdmin(kafka.client, async (admin) => {
      // So that this client knows the topic.
      await admin.fetchTopicOffsets(topic)
      await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: `${offset}` }] })
    })

  describe('an event that is published', () => {
    test('arrives with its key, its headers and its content type, where it says', async () => {
      const topic = await kafka.topic(4)
      const source = await kafka.source('published').opened([topic])
      await using emitter = await kafka.emitter('published')
      expect(emitter.place).toContain(kafka.server.bootstrap)
      const event = { topic, body: Buffer.from([0, 255]), contentType: 'text/csv', key: 'user-1', headers: { trace: 'é' } }
      const place = await emitter.emit(event)
      const [delivery] = await source.arrived(1)
      const { message } = delivery as Delivery
      const { headers } = message
      expect(message).toMatchObject({ body: event.body, contentType: 'text/csv', orderingKey: `${topic}/user-1` })
      expect(headers).toMatchObject({ 'X-Kafka-Key': 'user-1', 'X-Kafka-trace': Buffer.from('é').toString('base64') })
      expect(place).toBe(`${topic}/${headers['X-Kafka-Partition']}@${headers['X-Kafka-Offset']}`)
    }) // prettier-ignore

    test("is in the partition where Kafka's own producers put its key", () => {
      const partitionMetadata = Array.from({ length: 12 }, (_, partitionId) => ({ partitionId, leader: 1, partitionErrorCode: 0, replicas: [], isr: [] })) // prettier-ignore
      const theirs = Partitioners.DefaultPartitioner()
      const keys = ['', 'a', 'ab', 'abc', 'abcd', 'user-1', 'ü', 'x'.repeat(99), ...Array.from({ length: 200 }, (_, index) => `key ${index}`)] // prettier-ignore
      for (const key of keys)
        expect([key, partitionOfKey(Buffer.from(key), 12)]).toEqual([key, theirs({ topic: 't', partitionMetadata, message: { key: Buffer.from(key), value: null } })]) // prettier-ignore
      // Of org.apache.kafka.common.utils.UtilsTest: murmur2("foobar") is -790332482.
      expect(partitionOfKey(Buffer.from('foobar'), 2 ** 31)).toBe(-790_332_482 & 0x7fff_ffff)
    })

    test('keeps its order among a thousand that are in flight, though connections are cut, and comes once', async () => {
      const topic = await kafka.topic(2)
      await using emitter = await kafka.emitter('ordered', { requestTimeout: '5s' })
      const send = (index: number): Promise<string> => emitter.emit({ topic, key: 'one', headers: {}, body: Buffer.from(`${index} ${'x'.repeat(1000)}`) }) // prettier-ignore
      const first = Array.from({ length: 500 }, (_, index) => send(index))
      await first[0]
      proxy.cut()
      const rest = Array.from({ length: 500 }, (_, index) => send(500 + index))
      const places = await Promise.all([...first, ...rest])
      expect(new Set(places).size).toBe(1000)
      const source = await kafka.source('ordered', {}, { unsettledMax: 2000 }).opened([topic])
      await source.arrived(1000)
      expect(source.bodies.map((body) => Number.parseInt(body, 10))).toEqual(Array.from({ length: 1000 }, (_, index) => index)) // prettier-ignore
      expect(source.arrivals.map(({ message: { headers } }) => `${topic}/${headers['X-Kafka-Partition']}@${headers['X-Kafka-Offset']}`)).toEqual(places) // prettier-ignore
    })

    test('without a key is spread over the partitions', async () => {
      const topic = await kafka.topic(3)
      await using emitter = await kafka.emitter('spread')
      const places = await Promise.all(['1', '2', '3'].map((body) => emitter.emit({ topic, body: Buffer.from(body), headers: {} }))) // prettier-ignore
      expect(new Set(places)).toEqual(new Set([0, 1, 2].map((one) => `${topic}/${one}@0`)))
    })

    test('for a topic that does not exist is refused with the command, and the topic is not made', async () => {
      await using emitter = await kafka.emitter('nowhere')
      const emit = (topic: string): Promise<HubError> => refusal(emitter.emit({ topic, body: Buffer.from('x'), headers: {} })) // prettier-ignore
      expect(await emit('no-such-topic')).toMatchObject({ code: 'HUB_EMIT_FAILED', hint: expect.stringContaining('kafka-topics --create --topic no-such-topic') }) // prettier-ignore
      expect(await emit('/^orders-.*/')).toMatchObject({ code: 'HUB_USAGE', hint: expect.stringContaining('no wildcards') }) // prettier-ignore
      expect(await topics()).not.toContain('no-such-topic')
    })

    test('that is too large for the topic is refused with what to raise, and the others arrive', async () => {
      const topic = await kafka.topic(1, { 'max.message.bytes': '2000' })
      await using emitter = await kafka.emitter('large')
      const emit = (size: number): Promise<string> => emitter.emit({ topic, body: Buffer.alloc(size, 'x'), headers: {} }) // prettier-ignore
      const sizes = [1000, 1500, 3000, 1600]
      const results = await Promise.allSettled(sizes.map(emit))
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
      expect((results[2] as PromiseRejectedResult).reason).toMatchObject({ code: 'HUB_EMIT_FAILED', hint: expect.stringContaining(`--entity-name ${topic}`) }) // prettier-ignore
      const source = await kafka.source('large').opened([topic])
      await source.arrived(3)
      expect(source.arrivals.map(({ message }) => message.body.length)).toEqual([1000, 1500, 1600])
    })
  })

  describe('dead letters', () => {
    /** One for each function and event, by the way that a hub writes them. */
    async function reject(group: string, topic: string, functions: readonly string[], count: number): Promise<readonly Delivery[]> {
      const source = await kafka.source(group, {}, { unsettledMax: 1000 }).opened([topic])
      const deliveries = (await source.arrived(count)).slice(0, count)
      for (const { settle, message } of deliveries.map((delivery) => ({ settle: delivery.settle.bind(delivery), message: delivery.message }))) // prettier-ignore
        await settle({ kind: 'reject', reason: 'failed', letters: functions.map((name) => ({ message, function: name, reason: `${name} answered 500`, status: 500, attempts: 6, failedAtMs: 1_700_000_000_042 })) }) // prettier-ignore
      await source.source.close()
      return deliveries
    } // prettier-ignore

    test('are listed with their reason and the original event as it was', async () => {
      const topic = await kafka.topic(2)
      const headers = { trace: 'abc', bytes: Buffer.from([0, 255]), 'content-type': 'text/csv', 'hub-status': 'mine', 'hub-function': 'mine' } // prettier-ignore
      await kafka.send(topic, { key: 'k', value: Buffer.from([0, 255, 10]), headers, partition: 1 })
      const [original] = await reject('listed', topic, ['billing', 'audit'], 1)
      await withLetters(await kafka.tools('listed'), { topics: [topic] }, (letters, box) => {
        expect(box.place).toBe(`topic ${topic}.dlq at ${kafka.server.bootstrap}`)
        expect(box.caution).toBeUndefined()
        expect(letters.map(({ letter }) => letter)).toEqual(['billing', 'audit'].map((name) => ({ message: original?.message, function: name, reason: `${name} answered 500`, status: 500, attempts: 6, failedAtMs: 1_700_000_000_042 }))) // prettier-ignore
        expect(letters.map(({ id }) => id)).toEqual([`${topic}.dlq/0@0`, `${topic}.dlq/0@1`])
      })
    })

    test('are removed one by one, in any order; what is not removed is there again', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...texts(6))
      await reject('removing', topic, ['billing'], 6)
      const tools = await kafka.tools('removing')
      const from = { topics: [topic] }
      const removing = (...which: readonly number[]): Promise<readonly string[]> =>
        withLetters(tools, from, async (letters, box) => {
          expect(box.removal).toContain('group removing-dead-letters')
          await Promise.all(which.map(async (one) => await letters[one]?.remove()))
          return letterBodies(letters)
        })
      const low = async (): Promise<string | undefined> =>
        (await withAdmin(kafka.client, (admin) => admin.fetchTopicOffsets(`${topic}.dlq`)))[0]?.low
      expect(await removing(3, 1)).toEqual(['0', '1', '2', '3', '4', '5'])
      expect([await removing(), await low()]).toEqual([['0', '2', '4', '5'], '0'])
      expect([await removing(0), await low()]).toEqual([['0', '2', '4', '5'], '2'])
      expect([await removing(0, 1, 2), await low()]).toEqual([['2', '4', '5'], '6'])
      expect(await removing()).toEqual([])
      await kafka.send(topic, { value: 'new' })
      await reject('removing', topic, ['billing'], 1)
      expect(await removing()).toEqual(['new'])
      expect(await kafka.committed('removing', topic)).toBe(7)
    })

    test('removed by two at the same time are both removed', async () => {
      const topic = await kafka.topic()
      await kafka.send(topic, ...texts(4))
      await reject('both', topic, ['billing'], 4)
      const tools = await kafka.tools('both')
      await withLetters(tools, { topics: [topic] }, (ours) =>
        withLetters(tools, { topics: [topic] }, async (theirs) => {
          await ours[1]?.remove()
          await theirs[3]?.remove()
          await ours[0]?.remove()
        }),
      )
      expect(await withLetters(tools, { topics: [topic] }, letterBodies)).toEqual(['2'])
    })

    test('of somebody else, and with headers that make no sense, break nothing', async () => {
      await kafka.create('strange.dlq', 1)
      const hub = { 'hub-function': 'billing', 'hub-attempts': 'many', 'hub-failed-at': 'yesterday', 'hub-offset': '-1', 'hub-partition': '1e99', 'hub-status': '' } // prettier-ignore
      await kafka.send('strange.dlq', { value: 'foreign', key: 'k', headers: { 'hub-reason': 'x' } }, { value: 'garbage', headers: hub }, { value: null, headers: { ...hub, other: 'behind' } }) // prettier-ignore
      await withLetters(await kafka.tools('strange'), { topics: ['strange'] }, async (letters) => {
        const [foreign, garbage, behind] = letters.map(({ letter }) => letter)
        expect(foreign).toMatchObject({ function: '', attempts: 0, message: { id: 'kafka:strange.dlq/0@0', topic: 'strange.dlq', orderingKey: 'strange.dlq/k', headers: { 'X-Kafka-hub-reason': 'x' } } }) // prettier-ignore
        expect(garbage).toMatchObject({ function: 'billing', attempts: 0, message: { topic: 'strange.dlq', headers: { 'X-Kafka-Offset': '1', 'X-Kafka-Partition': '0' } } }) // prettier-ignore
        expect(garbage).not.toHaveProperty('status')
        expect(garbage?.failedAtMs).toBe(garbage?.message.timestampMs)
        expect(behind).toMatchObject({ function: '', message: { headers: { 'X-Kafka-other': 'behind' } } })
        await letters[0]?.remove()
      })
      expect(await withLetters(await kafka.tools('strange'), { topics: ['strange'] }, letterBodies)).toEqual(['garbage', '']) // prettier-ignore
    })

    test('are read as they are asked for, and those that come meanwhile wait for the next time', async () => {
      await kafka.create('many.dlq', 1)
      await kafka.send('many.dlq', ...texts(3000))
      const tools = await kafka.tools('many', { maxBytes: 1024 })
      const box = await tools.letters?.({ places: ['many.dlq'], topics: [] }, never)
      const letters = box?.letters(never)[Symbol.asyncIterator]()
      expect((await letters?.next())?.value?.id).toBe('many.dlq/0@0')
      await kafka.send('many.dlq', { value: 'late' })
      let read = 1
      for (let next = await letters?.next(); next?.done !== true; next = await letters?.next()) read += 1
      expect(read).toBe(3000)
      await box?.[Symbol.asyncDispose]()
    })

    test('so far behind one that stays that Kafka cannot note it are kept, and said to be', async () => {
      await kafka.create('far.dlq', 1)
      for (let from = 0; from < SPAN_MAX + 2; from += 4000) await kafka.send('far.dlq', ...texts(4000, from))
      const tools = await kafka.tools('far')
      await withLetters(tools, { places: ['far.dlq'] }, async (letters) => {
        await letters[SPAN_MAX - 1]?.remove()
        expect(await refusal(letters[SPAN_MAX]?.remove())).toMatchObject({ code: 'HUB_USAGE', hint: expect.stringContaining('oldest ones first') }) // prettier-ignore
        await letters[0]?.remove()
        await letters[SPAN_MAX]?.remove()
      })
      await withLetters(tools, { places: ['far.dlq'] }, (letters) => {
        expect(letters).toHaveLength(SPAN_MAX + 4000 - (SPAN_MAX % 4000) - 3)
        expect(letters.map(({ id }) => id).slice(SPAN_MAX - 3, SPAN_MAX - 1)).toEqual([`far.dlq/0@${SPAN_MAX - 2}`, `far.dlq/0@${SPAN_MAX + 1}`]) // prettier-ignore
      })
    })

    test('are where they are said to be, else where those of the topics are, else wherever such a topic is', async () => {
      for (const name of ['one.dead', 'two.dead', 'three.dlq']) {
        await kafka.create(name, 1)
        await kafka.send(name, { value: name })
      }
      const tools = await kafka.tools('places', { deadLetterTopic: '{topic}.dead' })
      const found = (places: readonly string[], of: readonly string[]): Promise<readonly string[]> => withLetters(tools, { places, topics: of }, letterBodies) // prettier-ignore
      expect(await found(['three.dlq'], ['one'])).toEqual(['three.dlq'])
      expect(await found([], ['one', 'none'])).toEqual(['one.dead'])
      expect((await found([], [])).toSorted()).toEqual(['one.dead', 'two.dead'])
      expect(await refusal(tools.letters?.({ places: ['one.daed'], topics: [] }, never))).toMatchObject({ code: 'HUB_USAGE', hint: 'Did you mean one.dead?' }) // prettier-ignore
      expect(await topics()).not.toContain('none.dead')
      const hub = await kafka.tools('places', { deadLetters: 'hub' })
      expect(await hub.letters?.({ places: [], topics: ['one'] }, never)).toBeUndefined()
    })
  })

  test('that goes away a look and a publication end with a named error, and nothing begins', async () => {
    const topic = await kafka.topic()
    await kafka.send(topic, { value: 'x' })
    const tools = await kafka.tools('away', { requestTimeout: '1s', connectTimeout: '1s' })
    const peek = await tools.peek([{ kind: 'topic', topic }], never)
    const events = peek.events()[Symbol.asyncIterator]()
    await events.next()
    const emitter = await kafka.emitter('away', { requestTimeout: '1s', connectTimeout: '1s' })
    const next = refusal(events.next())
    await kafka.server.kill()
    expect((await next).code).toMatch(/^HUB_SOURCE_(UNREACHABLE|LOST)$/)
    await peek[Symbol.asyncDispose]()
    const sent = refusal(emitter.emit({ topic, body: Buffer.from('x'), headers: {} }))
    expect(await sent).toMatchObject({ code: 'HUB_EMIT_FAILED', canRetry: true })
    await emitter[Symbol.asyncDispose]()
    for (const begin of [
      () => tools.peek([{ kind: 'topic', topic }], never),
      () => tools.emitter?.(never),
      () => tools.letters?.({ places: [], topics: [] }, never),
    ])
      expect((await refusal(begin())).code).toBe('HUB_SOURCE_UNREACHABLE')
  }) // prettier-ignore
})
