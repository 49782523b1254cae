// What the command line does at a real broker: look at what waits by the least harmful means, publish, go through dead letters.

import { describe, expect, test } from 'vitest'

import type { Delivery, EventMessage, HubError } from '../../src/sdk/index.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import { Look, letterBodies, withLetters } from '../../test/tools-rig.ts'
import { HELD_MAX } from './queue-look.ts'
import { MemoryState, Place, ack, placeForEachTest, until } from './rig.ts'

const QUORUM = { 'x-queue-type': 'quorum' }
const never = new AbortController().signal
let place: Place
await placeForEachTest((opened) => (place = opened))

async function refusal(work: Promise<unknown> | undefined): Promise<HubError> {
  return await (work?.then(() => expect.fail('it was not refused'), (error: unknown) => error as HubError) as Promise<HubError>) // prettier-ignore
}

async function sendAll(queue: string, bodies: readonly string[], exchange = ''): Promise<void> {
  for (const body of bodies) await place.send(queue, body, { messageId: `m-${body}`, timestamp: 1_700_000_000 }, exchange)
} // prettier-ignore

/** But for what the caution says to change. */
const apart = ({ message }: Delivery): EventMessage => {
  const { 'X-Rabbitmq-x-delivery-count': _counted, ...headers } = message.headers
  return { ...message, attempt: 1, headers: { ...headers, 'X-Rabbitmq-Redelivered': 'false' } }
}

describe('a look at a queue', () => {
  test.each([
    ['classic', {}, 'marked as redelivered', 2],
    ['quorum', QUORUM, 'its delivery count grows by one', 2],
  ] as const)('%s shows what a hub gets, in its order, and gives all of it back as the caution says', async (_kind, args, caution, attempt) => {
    await place.queue('orders', args)
    const properties = { messageId: 'm-0', timestamp: 1_700_000_000, contentType: 'text/csv', correlationId: 'c', headers: { tenant: 'a' } }
    await place.send('orders', Buffer.from([0, 255]), properties)
    await sendAll('orders', ['1', '2', '3'])
    const look = await Look.open(await place.tools({ orderingKey: 'header:tenant' }), ['orders'])
    expect(look.caution).toContain(caution)
    await look.saw(4)
    await sendAll('orders', ['new'])
    await look.saw(5)
    await look[Symbol.asyncDispose]()
    await expect.poll(() => place.ready('orders')).toBe(5)
    expect(await place.names('queues')).toEqual(['orders'])
    await using source = await place.source({ orderingKey: 'header:tenant' }).opened(['orders'])
    await source.arrived(5)
    expect(source.arrivals.map(apart)).toEqual(look.seen)
    // What it says is true.
    expect(source.arrivals.map(({ message }) => message.attempt)).toEqual(Array(5).fill(attempt))
    expect(look.seen.map(({ attempt: seen }) => seen)).toEqual(Array(5).fill(1))
  }) // prettier-ignore

  test('takes nothing before its caution was shown', async () => {
    await place.queue('orders', QUORUM)
    await sendAll('orders', ['1'])
    const peek = await (await place.tools()).peek([{ kind: 'topic', topic: 'orders' }], never)
    expect(peek.caution).toContain('orders')
    await peek[Symbol.asyncDispose]()
    await using source = await place.source().opened(['orders'])
    expect((await source.arrived(1))[0]?.message.attempt).toBe(1)
  })

  // Quorum queues count what is got, and not settled, among their consumers.
  test.each([
    ['classic', {}],
    ['quorum', QUORUM],
  ] as const)('of kind %s shows what comes until a hub does, and gives all of it back then', async (_kind, args) => {
    await place.queue('orders', args)
    await sendAll('orders', ['1', '2', '3'])
    const log = new LogRecord()
    await using look = await Look.open(await place.tools({}, { log }), ['orders'])
    await look.saw(3)
    // Over several of its questions who reads the queue.
    const later = Array.from({ length: 10 }, (_none, index) => String(index + 4))
    for (const [index, body] of later.entries()) {
      await sendAll('orders', [body])
      await look.saw(4 + index)
    }
    await using source = await place.source().opened(['orders'])
    source.ackAll = true
    await source.arrived(13)
    expect(source.bodies).toEqual(['1', '2', '3', ...later])
    expect(log.lines.some((line) => line.includes('a consumer has come'))).toBe(true)
    await sendAll('orders', ['last'])
    await source.arrived(14)
    expect(look.bodies).toEqual(['1', '2', '3', ...later])
  })

  test('that a hub reads shows what it has not taken yet, gives that back at once, and all of it arrives in order', async () => {
    await place.queue('orders')
    await using source = await place.source({}, { unsettledMax: 2 }).opened(['orders'])
    await sendAll('orders', ['1', '2', '3', '4', '5'])
    await source.arrived(2)
    await expect.poll(() => place.ready('orders')).toBe(3)
    await using look = await Look.open(await place.tools(), ['orders'])
    expect(look.caution).toContain('it has 1 consumer, and what comes to them now is not shown')
    await look.saw(3)
    expect(look.bodies).toEqual(['3', '4', '5'])
    await expect.poll(() => place.ready('orders')).toBe(3)
    for (const settled of [0, 1, 2, 3, 4]) await ack((await source.arrived(settled + 1))[settled])
    expect(source.bodies).toEqual(['1', '2', '3', '4', '5'])
  })

  test('holds no more than it says, and says when it is enough', async () => {
    await place.queue('orders')
    for (let sent = 0; sent < HELD_MAX + 1; sent++) place.channel.sendToQueue('orders', Buffer.from(`${sent}`))
    await place.channel.waitForConfirms()
    const log = new LogRecord()
    const look = await Look.open(await place.tools({}, { log }), ['orders'])
    await look.saw(HELD_MAX)
    await until(() => log.lines.some((line) => line.includes(`${HELD_MAX} messages are held`)), 'it is said')
    expect(await place.ready('orders')).toBe(1)
    await look[Symbol.asyncDispose]()
    await expect.poll(() => place.ready('orders')).toBe(HELD_MAX + 1)
    expect(look.seen).toHaveLength(HELD_MAX)
  })

  test('names what cannot be looked at, looks at the others, and makes nothing', async () => {
    await place.queue('there')
    await place.queue('closed')
    await place.queue('single', { ...QUORUM, 'x-single-active-consumer': true })
    await sendAll('there', ['1'])
    const log = new LogRecord()
    const { username, password } = await place.user({ read: '^(there|single|missing)$' })
    const tools = await place.tools({ username, password, declare: true }, { log })
    await using look = await Look.open(tools, ['there', 'closed', 'missing', 'single'])
    await look.saw(1)
    const said = log.lines.join('\n')
    expect(said).toContain('queue closed may not be read by this user')
    expect(said).toContain('queue missing does not exist')
    await until(() => log.lines.some((line) => line.includes('queue single has a single active consumer')), 'it is said') // prettier-ignore
    expect((await place.names('queues')).toSorted()).toEqual(['closed', 'single', 'there'])
    expect(await refusal(tools.peek([{ kind: 'topic', topic: 'missing' }], never))).toMatchObject({ code: 'HUB_TOPIC_MISSING', hint: expect.stringContaining('rabbitmqadmin declare queue name="missing"') }) // prettier-ignore
    expect(await refusal(tools.peek([{ kind: 'topic', topic: 'closed' }], never))).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('set_permissions') }) // prettier-ignore
    const peek = await tools.peek([{ kind: 'topic', topic: 'single' }], never)
    const next = peek.events()[Symbol.asyncIterator]().next()
    expect(await refusal(next)).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', message: expect.stringContaining('single active consumer') }) // prettier-ignore
    await peek[Symbol.asyncDispose]()
  })

  test('whose messages the broker takes back in the middle of it says so, and stays open', async () => {
    await place.queue('orders')
    await sendAll('orders', ['1'])
    const log = new LogRecord()
    // Read by channels when they are opened. By default it is half an hour.
    await place.server.evaluate('application:set_env(rabbit, consumer_timeout, 1000).')
    await using look = await Look.open(await place.tools({}, { log }), ['orders'])
    await look.saw(1)
    await place.server.evaluate('application:unset_env(rabbit, consumer_timeout).')
    await until(() => log.lines.some((line) => line.includes('has taken back what was held')), 'it is said')
    await expect.poll(() => place.ready('orders')).toBe(1)
    expect(look.bodies).toEqual(['1'])
  })

  test('ends with a named error when the connection is lost, and what was held is back', async () => {
    await place.queue('orders')
    await sendAll('orders', ['1'])
    await using proxy = await startTcpProxy(place.server.port)
    const url = place.vhost.url.replace(`:${place.server.port}`, `:${proxy.port}`)
    const peek = await (await place.tools({ url })).peek([{ kind: 'topic', topic: 'orders' }], never)
    const events = peek.events()[Symbol.asyncIterator]()
    expect((await events.next()).value?.id).toBe('rabbitmq:orders:m-1')
    const next = refusal(events.next())
    proxy.cut()
    expect(await next).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true })
    await peek[Symbol.asyncDispose]()
    await expect.poll(() => place.ready('orders')).toBe(1)
  })
})

describe('a look at an exchange', () => {
  const EXCHANGE = { exchange: 'events', declare: true, queueType: 'classic' }

  test('shows new events beside a hub and takes none of them from it; nothing is left behind', async () => {
    await using source = await place.source(EXCHANGE).opened(['orders.*', 'invoices'])
    source.ackAll = true
    const [queues, bindings] = [await place.names('queues'), await place.names('bindings')]
    const look = await Look.open(await place.tools(EXCHANGE), ['orders.*', 'invoices'])
    expect(look.caution).toBeUndefined()
    for (const key of ['orders.eu', 'other', 'invoices', 'orders.us']) await sendAll(key, [key], 'events')
    await Promise.all([look.saw(3), source.arrived(3)])
    expect(look.seen).toEqual(source.arrivals.map(({ message }) => message))
    await look[Symbol.asyncDispose]()
    await expect.poll(() => place.names('queues')).toEqual(queues)
    expect(await place.names('bindings')).toEqual(bindings)
  })

  test('first shows what waits for the hub, gives it back at once, and shows nothing twice', async () => {
    await (await place.source(EXCHANGE).opened(['orders.*']))[Symbol.asyncDispose]()
    await sendAll('orders.a', ['1', '2'], 'events')
    const look = await Look.open(await place.tools(EXCHANGE), ['orders.*'])
    expect(look.caution).toContain('connector-hub-rabbitmq is kept from others for a moment')
    await look.saw(2)
    await sendAll('orders.b', ['3'], 'events')
    await look.saw(3)
    await expect.poll(() => place.ready('connector-hub-rabbitmq')).toBe(3)
    await look[Symbol.asyncDispose]()
    expect(look.bodies).toEqual(['1', '2', '3'])
    await using source = await place.source(EXCHANGE).opened(['orders.*'])
    await source.arrived(3)
    expect(source.arrivals.map(apart)).toEqual(look.seen)
    expect(source.arrivals.map(({ message }) => message.attempt)).toEqual([2, 2, 1])
  })

  test('that does not exist is named, and not made; without the queue of a hub only new events are shown', async () => {
    const tools = await place.tools(EXCHANGE)
    expect(await refusal(tools.peek([{ kind: 'topic', topic: 'a' }], never))).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', message: expect.stringContaining('exchange events does not exist') }) // prettier-ignore
    expect(await place.names('exchanges')).not.toContain('events')
    await place.channel.assertExchange('events', 'topic', { durable: true })
    await using look = await Look.open(tools, ['a'])
    await sendAll('a', ['new'], 'events')
    await look.saw(1)
    expect(look.seen[0]).toMatchObject({ id: 'rabbitmq:connector-hub-rabbitmq:m-new', topic: 'a' })
  })
})

describe('a look at a stream', () => {
  test('begins where the hub stands, and changes nothing', async () => {
    await place.queue('log', { 'x-queue-type': 'stream' })
    await sendAll('log', ['0', '1', '2', '3'])
    const state = new MemoryState()
    {
      await using source = await place.source({}, { state }).opened(['log'])
      await source.arrived(4)
      for (const index of [0, 1, 3]) await ack(source.arrivals[index])
    }
    const look = await Look.open(await place.tools({}, { state }), ['log'])
    expect(look.caution).toBeUndefined()
    await look.saw(2)
    await sendAll('log', ['4'])
    await look.saw(3)
    await look[Symbol.asyncDispose]()
    await using again = await place.source({}, { state }).opened(['log'])
    await again.arrived(3)
    expect(again.arrivals.map(({ message }) => message)).toEqual(look.seen)
    expect(look.bodies).toEqual(['2', '3', '4'])
  })

  test('that was never read begins where streamOffset says', async () => {
    await place.queue('log', { 'x-queue-type': 'stream' })
    await sendAll('log', ['before'])
    await using look = await Look.open(await place.tools({ streamOffset: 'next' }), ['log'])
    await sendAll('log', ['after'])
    await look.saw(1)
    expect(look.bodies).toEqual(['after'])
  })
})

describe('an event that is published', () => {
  const event = (topic: string, more: object = {}) => ({ topic, body: Buffer.from('x'), headers: {}, ...more }) // prettier-ignore

  test.each([
    ['header:tenant', {}],
    ['correlation-id', { 'X-Rabbitmq-Correlation-Id': 'a' }],
  ])('arrives with its key in %s, its headers and its content type', async (orderingKey, headers) => {
    await place.queue('orders')
    await using emitter = await place.emitter({ orderingKey })
    expect(emitter.place).toContain(`RabbitMQ ${place.server.version}`)
    expect(emitter.place).not.toContain('hub-test')
    const body = Buffer.from([0, 255])
    const at = await emitter.emit({ topic: 'orders', body, key: 'a', contentType: 'text/csv', headers: { trace: 'é' } })
    const message = await place.take('orders')
    expect(message?.properties.deliveryMode).toBe(2)
    await emitter.emit({ topic: 'orders', body, key: 'a', contentType: 'text/csv', headers: { trace: 'é' } })
    await using source = await place.source({ orderingKey }).opened(['orders'])
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({ body, orderingKey: 'a', contentType: 'text/csv', headers: { ...headers, 'X-Rabbitmq-trace': Buffer.from('é').toString('base64') } }) // prettier-ignore
    expect(at).toBe(`orders:${message?.properties.messageId}`)
  })

  test('keeps its order among a thousand that are in flight', async () => {
    await place.queue('orders', QUORUM)
    await using emitter = await place.emitter()
    const places = await Promise.all(Array.from({ length: 1000 }, (_, index) => emitter.emit(event('orders', { body: Buffer.from(`${index}`) })))) // prettier-ignore
    expect(new Set(places).size).toBe(1000)
    await using source = await place.source({}, { unsettledMax: 1000 }).opened(['orders'])
    await source.arrived(1000)
    expect(source.bodies).toEqual(Array.from({ length: 1000 }, (_, index) => `${index}`))
  })

  test('with an exchange has the topic as its routing key', async () => {
    const config = { exchange: 'events', declare: true }
    await using source = await place.source(config).opened(['orders.#'])
    await using emitter = await place.emitter({ exchange: 'events', orderingKey: 'routing-key' })
    expect(await emitter.emit(event('orders.eu', { key: 'orders.eu' }))).toMatch(/^events\/orders\.eu:/)
    const [delivery] = await source.arrived(1)
    expect(delivery?.message.topic).toBe('orders.eu')
    expect(await refusal(emitter.emit(event('nobody')))).toMatchObject({ code: 'HUB_EMIT_FAILED', hint: expect.stringContaining('rabbitmqadmin declare binding source="events"') }) // prettier-ignore
    expect(await refusal(emitter.emit(event('orders.*')))).toMatchObject({ code: 'HUB_USAGE' })
    expect(await refusal(emitter.emit(event('orders.eu', { key: 'other' })))).toMatchObject({ code: 'HUB_USAGE', hint: expect.stringContaining('Leave out the key') }) // prettier-ignore
  })

  test('that no queue takes, or that the broker cannot carry, is refused by name, and makes nothing', async () => {
    await place.queue('orders')
    await using emitter = await place.emitter({ declare: true })
    const emit = (...given: Parameters<typeof event>): Promise<HubError> => refusal(emitter.emit(event(...given)))
    expect(await emit('missing')).toMatchObject({ code: 'HUB_EMIT_FAILED', message: expect.stringContaining('queue missing does not exist'), hint: expect.stringContaining('declare queue name="missing"') }) // prettier-ignore
    expect(await emit('orders', { key: 'k' })).toMatchObject({ code: 'HUB_USAGE', hint: expect.stringContaining('orderingKey') }) // prettier-ignore
    expect(await emit('orders', { headers: { CC: 'elsewhere' } })).toMatchObject({ code: 'HUB_USAGE' })
    expect(await emit('orders', { headers: { ['x'.repeat(256)]: '' } })).toMatchObject({ code: 'HUB_USAGE' })
    expect(await emit('x'.repeat(256))).toMatchObject({ code: 'HUB_USAGE' })
    expect(await place.names('queues')).toEqual(['orders'])
    expect(await emitter.emit(event('orders'))).toMatch(/^orders:/)
    expect(await refusal(place.emitter({ exchange: 'nowhere' }))).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('declare exchange name="nowhere"') }) // prettier-ignore
  })

  test('by a user who may not write is refused with the command, and the next one is tried anew', async () => {
    await place.channel.assertExchange('events', 'topic', { durable: true })
    const { username, password } = await place.user({})
    await using emitter = await place.emitter({ username, password, exchange: 'events' })
    for (const _ of [1, 2]) {
      const error = await refusal(emitter.emit(event('a')))
      expect(error).toMatchObject({ code: 'HUB_EMIT_FAILED', canRetry: false, hint: expect.stringContaining("set_permissions -p <vhost> <user> '' '^events$'") }) // prettier-ignore
      expect(error.message).toContain('ACCESS_REFUSED')
    }
  })

  test('to nobody, or with a wrong password, is a named error of each tool', async () => {
    const expected = [
      [{ url: 'amqp://127.0.0.1:1' }, 'HUB_SOURCE_UNREACHABLE'],
      [{ username: 'hub', password: 'wrong-secret' }, 'HUB_SOURCE_AUTH'],
    ] as const
    for (const [config, code] of expected) {
      const tools = await place.tools({ ...config, deadLetterExchange: 'letters' })
      const begins = [
        () => tools.peek([{ kind: 'topic', topic: 'x' }], never),
        () => tools.emitter?.(never),
        () => tools.letters?.({ places: ['x'], topics: [] }, never),
      ]
      for (const begin of begins) {
        const error = await refusal(begin())
        expect(error.code).toBe(code)
        expect(error.message).not.toContain('wrong-secret')
      }
    }
  })
})

describe('dead letters', () => {
  const LETTERS = { deadLetterExchange: 'letters' }
  const failedAtMs = 1_700_000_000_042

  /** A queue of letters, and what a hub puts there: one for each function and event. */
  async function reject(functions: readonly string[], bodies: readonly string[], type: object = {}): Promise<readonly Delivery[]> {
    await place.channel.assertExchange('letters', 'topic', { durable: true })
    await place.queue('dead', { ...type })
    await place.channel.bindQueue('dead', 'letters', 'orders')
    await place.queue('orders')
    for (const body of bodies) await place.send('orders', body, { messageId: `m-${body}`, contentType: 'text/csv', correlationId: 'c', headers: { tenant: 'a', 'x-own': 1 } }) // prettier-ignore
    await using source = await place.source({ ...LETTERS, orderingKey: 'header:tenant' }).opened(['orders'])
    const deliveries = (await source.arrived(bodies.length)).slice()
    for (const delivery of deliveries) {
      const { message } = delivery
      const letters = functions.map((name) => ({ message, function: name, reason: `${name} answered 500`, status: 500, attempts: 6, failedAtMs })) // prettier-ignore
      await delivery.settle({ kind: 'reject', reason: 'failed', letters })
    }
    return deliveries
  } // prettier-ignore

  test('are listed with their reason and the original event as it was', async () => {
    const [original] = await reject(['billing', 'audit'], ['1'])
    const tools = await place.tools({ ...LETTERS, orderingKey: 'header:tenant' })
    await withLetters(tools, { places: ['dead'], topics: ['orders'] }, (letters, box) => {
      expect(box.place).toContain('queue dead at amqp://')
      expect(box.place).not.toContain('hub-test')
      expect(box.caution).toContain('marked as redelivered')
      expect(letters.map(({ letter }) => letter)).toEqual(['billing', 'audit'].map((name) => ({ message: original?.message, function: name, reason: `${name} answered 500`, status: 500, attempts: 6, failedAtMs }))) // prettier-ignore
      expect(new Set(letters.map(({ id }) => id)).size).toBe(2)
    })
  })

  test.each([['classic', {}], ['quorum', QUORUM]] as const)('in a %s queue are removed one by one, and the others are back in their places', async (kind, type) => {
    await reject(['billing'], ['1', '2', '3', '4'], type)
    const tools = await place.tools(LETTERS)
    const removing = (...which: readonly number[]): Promise<readonly string[]> =>
      withLetters(tools, { places: ['dead'] }, async (letters, { caution }) => {
        expect(caution?.includes('delivery count')).toBe(kind === 'quorum')
        await Promise.all(which.map(async (one) => await letters[one]?.remove()))
        return letterBodies(letters)
      })
    await expect.poll(() => place.ready('dead')).toBe(4)
    expect(await removing(2)).toEqual(['1', '2', '3', '4'])
    await expect.poll(() => place.ready('dead')).toBe(3)
    expect(await removing(0, 2)).toEqual(['1', '2', '4'])
    await expect.poll(() => place.ready('dead')).toBe(1)
    expect(await removing(0)).toEqual(['2'])
    await expect.poll(() => place.ready('dead')).toBe(0)
    expect(await removing()).toEqual([])
  }) // prettier-ignore

  test('of an exchange have the routing key as their topic', async () => {
    const config = { exchange: 'events', declare: true, deadLetterExchange: 'letters' }
    await place.channel.assertExchange('letters', 'fanout', { durable: true })
    await place.queue('dead')
    await place.channel.bindQueue('dead', 'letters', '')
    await using source = await place.source(config).opened(['orders.*'])
    await place.send('orders.eu', 'x', { messageId: 'm' }, 'events')
    const [delivery] = await source.arrived(1)
    const { message } = delivery as Delivery
    await delivery?.settle({ kind: 'reject', reason: 'failed', letters: [{ message, function: 'f', reason: 'failed', attempts: 1, failedAtMs }] }) // prettier-ignore
    await withLetters(await place.tools(config), { places: ['dead'], topics: ['orders.*'] }, ([letter]) => {
      expect(letter?.letter.message).toMatchObject({ topic: 'orders.eu', id: 'rabbitmq:connector-hub-rabbitmq:m' })
      expect(letter?.letter).not.toHaveProperty('status')
    })
  })

  test('of the broker, of somebody else, and with headers that make no sense, break nothing', async () => {
    await place.queue('dead')
    await place.queue('expired', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead', 'x-message-ttl': 1 }) // prettier-ignore
    await place.send('expired', 'broker')
    await expect.poll(() => place.ready('dead')).toBe(1)
    await place.send('dead', 'foreign', { messageId: 'm' })
    const garbage = { 'hub-function': 'billing', 'hub-attempts': 'many', 'hub-failed-at': { deep: [1] }, 'hub-status': -1, 'hub-queue': 7, 'hub-timestamp': 'now' } // prettier-ignore
    await place.send('dead', 'garbage', { headers: garbage, timestamp: 1_700_000_000 })
    const tools = await place.tools(LETTERS)
    await withLetters(tools, { places: ['dead'] }, async (letters) => {
      const [broker, foreign, strange] = letters.map(({ letter }) => letter)
      expect(broker).toMatchObject({ function: '', reason: 'dead-lettered by the broker: expired', message: { topic: 'expired' } }) // prettier-ignore
      expect(foreign).toMatchObject({ function: '', attempts: 0, message: { id: 'rabbitmq:dead:m', topic: 'dead' } })
      expect(strange).toMatchObject({ function: 'billing', attempts: 0, message: { topic: 'dead', timestampMs: 1_700_000_000_000 } }) // prettier-ignore
      expect(strange).not.toHaveProperty('status')
      await letters[1]?.remove()
    })
    await expect.poll(() => place.ready('dead')).toBe(2)
    expect(await withLetters(tools, { places: ['dead'] }, letterBodies)).toEqual(['broker', 'garbage'])
  })

  test('are read as they are asked for, and those that come meanwhile wait for the next time', async () => {
    await place.queue('dead')
    await sendAll('dead', ['1', '2', '3'])
    const box = await (await place.tools(LETTERS)).letters?.({ places: ['dead'], topics: [] }, never)
    const letters = box?.letters(never)[Symbol.asyncIterator]()
    const first = (await letters?.next())?.value
    expect(await place.ready('dead')).toBe(2)
    await sendAll('dead', ['late'])
    await first?.remove()
    expect([(await letters?.next())?.value?.id, (await letters?.next())?.value?.id]).toEqual(['dead:m-2', 'dead:m-3'])
    expect((await letters?.next())?.done).toBe(true)
    await box?.[Symbol.asyncDispose]()
    await expect.poll(() => place.ready('dead')).toBe(3)
  })

  test('have to be named: AMQP cannot list them; and a stream or a missing queue is none', async () => {
    const tools = await place.tools(LETTERS)
    const open = (...places: readonly string[]): Promise<HubError> => refusal(tools.letters?.({ places, topics: ['orders'] }, never)) // prettier-ignore
    expect(await open()).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining('exchange letters'), hint: expect.stringContaining('--place <queue>') }) // prettier-ignore
    await place.queue('log', { 'x-queue-type': 'stream' })
    expect(await open('log')).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining('is a stream') })
    expect(await open('missing')).toMatchObject({ code: 'HUB_TOPIC_MISSING' })
    expect(await (await place.tools()).letters?.({ places: ['dead'], topics: [] }, never)).toBeUndefined()
  })
})

describe('a probe', () => {
  test('says of each queue what it is, or what is missing, and takes nothing', async () => {
    await place.queue('classic')
    await place.queue('quorum', QUORUM)
    await place.queue('log', { 'x-queue-type': 'stream' })
    await place.queue('closed')
    await sendAll('quorum', ['1'])
    const { username, password } = await place.user({ read: '^(classic|quorum|log|missing)$' })
    const probe = async (config: object): Promise<readonly unknown[]> => {
      await using source = place.source({ username, password, ...config })
      const { topics } = await source.source.probe(['classic', 'quorum', 'log', 'closed', 'missing'], never)
      return topics.map(({ ok, code, detail, fix }) => (ok ? detail : [code, detail.split(': ')[1], fix]))
    }
    expect(await probe({})).toEqual([
      'the classic queue is there',
      'the quorum queue is there',
      'the stream is there',
      ['HUB_SOURCE_FORBIDDEN', 'queue closed may not be read by this user', expect.stringContaining('set_permissions')],
      ['HUB_TOPIC_MISSING', 'queue missing does not exist', expect.stringContaining('declare queue name="missing"')],
    ])
    const noExchange = ['HUB_SOURCE_FORBIDDEN', 'exchange letters does not exist', expect.stringContaining('declare exchange name="letters"')] // prettier-ignore
    expect(await probe({ deadLetterExchange: 'letters' })).toEqual([1, 2, 3, 4, 5].map(() => noExchange))
    await using source = await place.source().opened(['quorum'])
    expect((await source.arrived(1))[0]?.message.attempt).toBe(1)
  })
})
