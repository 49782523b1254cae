// Several queues of a real server, by name and by URL; messages of several events; groups.

import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { describe, expect, test, vi } from 'vitest'

import { Gateway, runHub } from '../../test/hub/rig.ts'
import { CREDENTIALS, REGION, createQueue } from './broker.ts'
import { Place, WAIT, ack, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const s3Event = (...keys: readonly string[]): string =>
  JSON.stringify({ Records: keys.map((key) => ({ eventName: 'ObjectCreated:Put', s3: { bucket: { name: 'photos' }, object: { key } } })) }) // prettier-ignore

describe('queues', { timeout: 60_000 }, () => {
  test('are read side by side, by name, by URL, and by the URL that the configuration has for a name', async () => {
    const [named, addressed, listed] = [await place.queue(), await place.queue(), await place.queue()]
    const url = place.urlOf(addressed)
    for (const queue of [named, addressed, listed]) await place.send(queue, queue)
    const source = await place.source({ queues: [place.urlOf(listed)] }).opened([named, url, listed])
    await source.arrived(3)
    const topics = source.arrivals.map(({ message: { topic, body } }) => `${topic} ${Buffer.from(body).toString()}`)
    expect(topics.toSorted()).toEqual([`${named} ${named}`, `${url} ${addressed}`, `${listed} ${listed}`].toSorted())
  })

  test('a busy queue gets its share beside quiet ones', async () => {
    const [busy, ...quiet] = await Promise.all(Array.from({ length: 5 }, () => place.queue()))
    const source = await place.source({ waitTime: '20s' }, { unsettledMax: 8 }).opened([busy ?? '', ...quiet])
    source.ackAll = true
    for (let sent = 0; sent < 30; sent++) await place.send(busy ?? '', `event ${sent}`)
    expect(new Set((await source.arrived(30)).map(({ message: { id } }) => id)).size).toBe(30)
  })

  test('one that is missing is named with the command that creates it, and the others are read', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    const source = await place.source().opened([queue, 'not-there.fifo'])
    await source.arrived(1)
    const line = source.log.lines.find((one) => one.includes('sqs.refused')) ?? ''
    expect(line).toContain('HUB_SOURCE_FORBIDDEN')
    expect(line).toContain('aws sqs create-queue --queue-name not-there.fifo --attributes FifoQueue=true')
    await expect(place.source().opened(['not-there'])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', canRetry: true }) // prettier-ignore
  })

  test('the only one, deleted while it is read, ends the connection; made again, it is read again', async () => {
    const queue = await place.queue()
    const source = await place.source().opened([queue])
    await place.client.send(new DeleteQueueCommand({ QueueUrl: place.urlOf(queue) }))
    // ElasticMQ may leave a poll unanswered that was open meanwhile.
    expect(['HUB_SOURCE_FORBIDDEN', 'HUB_SOURCE_LOST']).toContain((await source.lost()).code)
    await expect(source.connect([queue])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN' })
    await createQueue(place.client, queue)
    await source.reconnect([queue])
    await place.send(queue, 'back')
    await source.arrived(1)
  })

  test('one under two topics is read under one of them, and the other is refused by name', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    const source = await place.source().opened([queue, place.urlOf(queue)])
    await source.arrived(1)
    expect(source.arrivals[0]?.message.topic).toBe(queue)
    expect(source.log.lines.some((line) => line.includes('HUB_TOPIC_INVALID') && line.includes('are the same queue'))).toBe(true) // prettier-ignore
  })

  test('say how many wait and how many are out', async () => {
    const queue = await place.queue()
    for (let sent = 0; sent < 5; sent++) await place.send(queue, `event ${sent}`)
    const source = await place.source({}, { unsettledMax: 2 }).opened([queue])
    await source.arrived(2)
    await until(() => source.source.backlog?.()[0] !== undefined, 'the backlog is known')
    const [backlog] = source.source.backlog?.() ?? []
    expect(backlog).toMatchObject({ topic: queue, unsettled: 2, oldestUnsettledMs: source.arrivals[0]?.message.timestampMs }) // prettier-ignore
    // Asked when the first two had been received, or just before.
    expect([3, 5]).toContain(backlog?.waiting)
  })
})

describe('a message of several events', { timeout: 60_000 }, () => {
  test('is deleted when the last of them is settled, and a retry of one leaves the others settled', async () => {
    const queue = await place.queue()
    await place.send(queue, s3Event('a', 'b', 'c'))
    const source = await place.source({ unwrap: 's3' }).opened([queue])
    await source.arrived(3)
    const [a, b, c] = source.arrivals
    await ack(a)
    await b?.settle({ kind: 'retry', delayMs: 0, reason: 'answered 500' })
    await ack(c)
    await source.arrived(4)
    expect(await place.count(queue)).toBe(1)
    const again = source.arrivals[3]
    expect([again?.message.id, again?.message.attempt]).toEqual([b?.message.id, 2])
    expect(await ack(again)).toBe('settled')
    expect(await place.count(queue)).toBe(0)
    expect(source.arrivals).toHaveLength(4)
  })

  test('of more events than may be out at once gets through', async () => {
    const queue = await place.queue()
    await place.send(queue, s3Event(...Array.from({ length: 20 }, (_, index) => `key-${index}`)))
    const source = await place.source({ unwrap: 's3' }, { unsettledMax: 3 }).opened([queue])
    source.ackAll = true
    await source.arrived(20)
    await vi.waitFor(async () => expect(await place.count(queue)).toBe(0), WAIT)
  })

  test('of none at all is deleted, and the log says so: the test event of S3', async () => {
    const queue = await place.queue()
    await place.send(queue, '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}')
    const source = await place.source({ unwrap: 's3' }).opened([queue])
    await vi.waitFor(async () => expect(await place.count(queue)).toBe(0), WAIT)
    expect(source.arrivals).toEqual([])
    expect(source.log.lines.some((line) => line.includes('sqs.no-event') && line.includes('test event of S3'))).toBe(true) // prettier-ignore
  })
})

describe('groups of a FIFO queue', { timeout: 60_000 }, () => {
  test('a message that is given back takes the later ones of its group along, and leaves other groups alone', async () => {
    const queue = await place.queue({ fifo: true })
    for (const body of ['a1', 'a2', 'a3']) await place.send(queue, body, { group: 'a' })
    await place.send(queue, 'b1', { group: 'b' })
    const source = await place.source({}, { unsettledMax: 160 }).opened([queue])
    await source.arrived(4)
    const first = source.arrivals.find(({ message: { body } }) => Buffer.from(body).toString() === 'a1')
    await first?.settle({ kind: 'retry', delayMs: 1000, reason: 'answered 500' })
    const late = source.arrivals.filter(({ message: { orderingKey } }) => orderingKey === 'a').slice(1)
    expect(late.map(({ signal }) => signal?.aborted)).toEqual([true, true])
    expect(await Promise.all(late.map(ack))).toEqual(['stale', 'stale'])
    await source.arrived(7)
    expect(source.bodies.slice(4)).toEqual(['a1', 'a2', 'a3'])
    expect(await ack(source.arrivals.find(({ message: { orderingKey } }) => orderingKey === 'b'))).toBe('settled')
  })

  test('through the hub stay in order when their functions fail, and groups do not wait for each other', async () => {
    const queue = await place.queue({ fifo: true })
    await using gateway = await new Gateway().start()
    gateway.functions = { sink: { topic: queue } }
    // Each event fails once.
    const failed = new Set<string>()
    gateway.answer = (_name, body) => {
      const isFirst = !failed.has(body)
      failed.add(body)
      return isFirst ? { status: 500, headers: {}, body: '' } : undefined
    }
    for (let index = 0; index < 12; index++) await place.send(queue, `${index % 3}-${Math.floor(index / 3)}`, { group: `g${index % 3}` }) // prettier-ignore
    const env = {
      HUB_SQS_ENDPOINT: place.server.url,
      AWS_DEFAULT_REGION: REGION,
      HUB_SQS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      HUB_SQS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      wait_time: '1s',
      initial_retry_wait: '10ms',
    }
    await using running = await runHub(gateway.url, env, { types: ['sqs'] })
    await vi.waitFor(() => expect(gateway.invoked).toHaveLength(24), WAIT)
    expect(running.log.some((line) => line.includes('delivery.retry'))).toBe(true)
    const bodies = gateway.invoked.map(({ body }) => body)
    for (const group of ['0', '1', '2'])
      expect(bodies.filter((body) => body.startsWith(`${group}-`))).toEqual([0, 0, 1, 1, 2, 2, 3, 3].map((index) => `${group}-${index}`)) // prettier-ignore
    await vi.waitFor(async () => expect(await place.count(queue)).toBe(0), WAIT)
  })
})
