// The RabbitMQ source and its queues on a real server: what is read, what happens when a queue is missing or goes away.

import { describe, expect, test } from 'vitest'

import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { Place, ack, placeForEachTest, until } from './rig.ts'

const QUORUM = { 'x-queue-type': 'quorum' }
let place: Place
await placeForEachTest((opened) => (place = opened))

const retry = { kind: 'retry', delayMs: 0, reason: 'answered 500' } as const

describe('what is read', () => {
  test('a message has its properties, its headers and its time', async () => {
    await using source = await place.source({ orderingKey: 'header:tenant' }).opened([await place.queue('orders')])
    await place.send('orders', '{}', {
      messageId: 'm-1',
      contentType: 'application/json',
      contentEncoding: 'gzip',
      correlationId: 'c-1',
      timestamp: 1_700_000_000,
      headers: { tenant: 42, table: { deep: [1, Buffer.from('bytes')] } },
    })
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({
      id: 'rabbitmq:orders:m-1',
      topic: 'orders',
      orderingKey: '42',
      attempt: 1,
      contentType: 'application/json',
      timestampMs: 1_700_000_000_000,
      headers: {
        'X-Rabbitmq-Msg-Id': 'm-1',
        'X-Rabbitmq-Routing-Key': 'orders',
        'X-Rabbitmq-Exchange': '',
        'X-Rabbitmq-Redelivered': 'false',
        'X-Rabbitmq-Correlation-Id': 'c-1',
        'X-Rabbitmq-tenant': '42',
        'X-Rabbitmq-table': '{"deep":[1,"Ynl0ZXM="]}',
        'Content-Encoding': 'gzip',
      },
    })
  })

  test('one busy queue leaves room for the others, and all together stay within the bound', async () => {
    await place.queue('busy')
    await place.queue('calm')
    await using source = await place.source({}, { unsettledMax: 4 }).opened(['busy', 'calm'])
    for (let count = 0; count < 20; count++) await place.send('busy', `busy ${count}`)
    await source.arrived(4)
    await place.send('calm', 'calm')
    for (const delivery of source.arrivals.slice(0, 2)) await ack(delivery)
    await source.arrived(6)
    // The broker sends the next one of the busy queue as soon as one is acknowledged; the calm one has waited longer.
    expect(source.bodies.toSorted()).toEqual(['busy 0', 'busy 1', 'busy 2', 'busy 3', 'busy 4', 'calm'])
  })

  test('a queue that is not wanted any more gives back what the hub has not seen, and settles the rest', async () => {
    await place.queue('leaving')
    await using source = await place.source({}, { unsettledMax: 2 }).opened(['leaving'])
    for (const body of ['1', '2', '3', '4']) await place.send('leaving', body)
    const [first, second] = await source.arrived(2)
    await source.subscribe([])
    expect(await ack(first)).toBe('settled')
    expect(await second?.settle(retry)).toBe('settled')
    await expect.poll(() => place.ready('leaving')).toBe(3)
    expect(source.arrivals).toHaveLength(2)
  })

  test('how much waits and how much is unsettled is known', async () => {
    await place.queue('deep')
    for (let count = 0; count < 10; count++) await place.send('deep', `${count}`, { timestamp: 1_700_000_000 + count })
    await using source = await place.source({}, { unsettledMax: 2 }).opened(['deep'])
    await source.arrived(2)
    const known = { topic: 'deep', waiting: 8, unsettled: 2, oldestWaitingMs: undefined, oldestUnsettledMs: 1_700_000_000_000 } // prettier-ignore
    await expect.poll(() => source.source.backlog?.()).toEqual([known])
  })

  test('acknowledgements reach the broker before a clean close', async () => {
    await place.queue('all')
    for (let count = 0; count < 200; count++) await place.send('all', `${count}`)
    {
      await using source = place.source()
      source.ackAll = true
      await source.connect(['all'])
      await source.arrived(200)
    }
    expect(await place.ready('all')).toBe(0)
  })
})

describe('the attempt', () => {
  test('of a quorum queue goes on after the connection is lost', async () => {
    await place.queue('counted', QUORUM)
    await place.send('counted', 'again', { messageId: 'm' })
    await using proxy = await startTcpProxy(place.server.port)
    const url = place.vhost.url.replace(`:${place.server.port}`, `:${proxy.port}`)
    await using source = await place.source({ url }).opened(['counted'])
    const [first] = await source.arrived(1)
    proxy.cut()
    expect((await source.lost()).code).toBe('HUB_SOURCE_LOST')
    expect(await ack(first)).toBe('stale')
    // The queue is not to blame.
    expect(source.counts).toEqual({})
    expect(source.log.lines.join('\n')).not.toContain('rabbitmq.interrupted')
    await source.reconnect(['counted'])
    const [, again] = await source.arrived(2)
    expect(again?.message).toMatchObject({ id: first?.message.id, attempt: 2 })
    expect(again?.message.headers['X-Rabbitmq-Redelivered']).toBe('true')
  })

  test('of a classic queue grows with requeue, although the broker does not count', async () => {
    await place.queue('classic')
    await place.send('classic', 'again')
    await using source = await place.source({ requeue: true }).opened(['classic'])
    for (const attempt of [1, 2, 3]) {
      await source.arrived(attempt)
      expect(source.arrivals.at(-1)?.message.attempt).toBe(attempt)
      await source.arrivals.at(-1)?.settle(retry)
    }
  })

  test('beyond the delivery limit that it knows, a message is kept rather than given to the broker to drop', async () => {
    await place.queue('limited', { ...QUORUM, 'x-delivery-limit': 2 })
    await place.send('limited', 'poison')
    await using source = await place.source({ requeue: true, deliveryLimit: 2 }).opened(['limited'])
    for (const attempt of [1, 2, 3, 4, 5]) {
      await source.arrived(attempt)
      expect(source.arrivals.at(-1)?.message.attempt).toBe(attempt)
      await source.arrivals.at(-1)?.settle(retry)
    }
  })

  test('beyond one that it does not know, the broker moves it to the dead letter exchange of the queue', async () => {
    await place.queue('dead')
    await place.queue('unknown', { ...QUORUM, 'x-delivery-limit': 2, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }) // prettier-ignore
    await place.send('unknown', 'poison')
    await using source = await place.source({ requeue: true }).opened(['unknown'])
    for (const attempt of [1, 2, 3]) {
      await source.arrived(attempt)
      await source.arrivals.at(-1)?.settle(retry)
    }
    await expect.poll(() => place.ready('dead')).toBe(1)
    const letter = await place.take('dead')
    expect(letter?.properties.headers?.['x-death']?.[0]).toMatchObject({ queue: 'unknown', reason: 'delivery_limit' })
    expect(source.arrivals).toHaveLength(3)
  })

  test('goes on with what x-death says of this queue, and not of others', async () => {
    // A loop of two queues: rejected in one, it waits in the other until it expires.
    const loop = (to: string): object => ({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': to })
    await place.queue('work', { ...loop('wait') })
    await place.queue('wait', { ...loop('work'), 'x-message-ttl': 1 })
    await place.send('work', 'loop')
    for (const round of [1, 2]) {
      await expect.poll(() => place.ready('work')).toBe(1)
      const message = await place.channel.get('work')
      if (message === false) throw new Error(`round ${round}: nothing there`)
      place.channel.nack(message, false, false)
    }
    await using source = await place.source().opened(['work'])
    const [delivery] = await source.arrived(1)
    expect(delivery?.message.attempt).toBe(3)
  })
})

describe('what is missing or goes away', () => {
  test('a queue that does not exist is named with the command; it is read once it is there, and the others at once', async () => {
    await place.queue('there')
    await using source = await place.source().opened(['there', 'not-yet'])
    expect(source.log.lines.join('\n')).toContain(
      'queue not-yet does not exist. Create it: rabbitmqadmin declare queue',
    )
    await place.send('there', 'fine')
    await source.arrived(1)
    await place.queue('not-yet')
    await place.send('not-yet', 'now')
    await source.arrived(2)
    expect(source.bodies).toEqual(['fine', 'now'])
    expect(source.log.lines.filter((one) => one.includes('not-yet does not exist'))).toHaveLength(1)
    await expect(place.source().opened(['nowhere'])).rejects.toMatchObject({ code: 'HUB_TOPIC_MISSING', canRetry: true }) // prettier-ignore
    const { topics, server: name } = await source.source.probe(['there', 'nowhere'], new AbortController().signal)
    expect(topics.map(({ ok }) => ok)).toEqual([true, false])
    expect(name).toContain(`RabbitMQ ${place.server.version}`)
    expect(name).not.toContain('hub-test')
  })

  test('a queue that is deleted while it is read leaves the others alone, and is read again when it is back', async () => {
    await place.queue('stays')
    await place.queue('goes', QUORUM)
    await using source = await place.source().opened(['stays', 'goes'])
    await place.send('stays', 'kept')
    const [kept] = await source.arrived(1)
    await place.channel.deleteQueue('goes')
    await until(() => source.log.lines.some((line) => line.includes('queue goes does not exist')), 'it is reported')
    expect(source.counts['rabbitmq_interruptions_total']).toBe(1)
    // Of another type than before.
    await place.queue('goes')
    await place.send('goes', 'back')
    await source.arrived(2)
    expect(source.bodies).toEqual(['kept', 'back'])
    expect(await ack(kept)).toBe('settled')
    expect(source.ending).toBeUndefined()
  })

  test('what may not be read is named; the others work', async () => {
    await place.queue('open')
    await place.queue('secret')
    const user = `reader-${place.vhost.name}`
    await place.server.manage('PUT', `users/${user}`, { password: 'reader-secret', tags: '' })
    await place.server.manage('PUT', `permissions/${place.vhost.name}/${user}`, {
      configure: '',
      write: '',
      read: '^open$',
    })
    await using source = await place.source({ username: user, password: 'reader-secret' }).opened(['open', 'secret'])
    const said = source.log.lines.join('\n')
    expect(said).toContain('queue secret may not be read by this user')
    expect(said).toContain('HUB_SOURCE_FORBIDDEN')
    await place.send('open', 'fine')
    await source.arrived(1)
    await place.server.manage('DELETE', `users/${user}`)
  })
})

describe('what is declared', () => {
  test("OpenFaaS's list, with its properties; one that is there already is read as it is", async () => {
    await place.queue('durable-already')
    const queues = [
      { name: 'listed', durable: true },
      { name: 'own', durable: false, exclusive: true },
      { name: 'quorum', type: 'quorum' },
      { name: 'durable-already', durable: false },
    ]
    await using source = await place.source({ queues }).opened(['listed', 'own', 'quorum', 'durable-already'])
    const listed = (await place.server.manage('GET', `queues/${place.vhost.name}`)) as readonly Record<
      string,
      unknown
    >[]
    const found = Object.fromEntries(listed.map(({ name, durable, exclusive, type }) => [name, [durable, exclusive, type]])) // prettier-ignore
    expect(found).toEqual({
      listed: [true, false, 'classic'],
      own: [false, true, 'classic'],
      quorum: [true, false, 'quorum'],
      'durable-already': [true, false, 'classic'],
    })
    expect(source.log.lines.join('\n')).toContain('queue durable-already exists with other properties')
    await place.send('durable-already', 'read all the same')
    await source.arrived(1)
  })

  test('one of the list again, when it has gone while it was read', async () => {
    await using source = await place.source({ queues: ['listed'] }).opened(['listed'])
    await place.channel.deleteQueue('listed')
    await until(() => source.log.lines.some((line) => line.includes('created the queue listed')), 'it is made anew')
    await place.send('listed', 'anew')
    await source.arrived(1)
    expect(source.bodies).toEqual(['anew'])
  })

  test('the queues of the topics, when told to', async () => {
    await using source = await place.source({ declare: true, deliveryLimit: 7 }).opened(['made'])
    const made = await place.server.manage('GET', `queues/${place.vhost.name}/made`)
    expect(made).toMatchObject({ durable: true, type: 'quorum', arguments: { 'x-delivery-limit': 7 } })
    await place.send('made', 'x')
    await source.arrived(1)
  })
})
