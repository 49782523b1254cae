// Binding keys on an exchange, and streams, on a real server.

import { describe, expect, test } from 'vitest'

import type { StateStore } from '../../src/sdk/index.ts'
import { MemoryState, Place, ack, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const EXCHANGE = { exchange: 'events', declare: true }
const bindings = async (): Promise<readonly string[]> => {
  const all = (await place.server.manage('GET', `bindings/${place.vhost.name}`)) as readonly { source: string; routing_key: string }[] // prettier-ignore
  return all.filter(({ source }) => source === 'events').map(({ routing_key: key }) => key).toSorted() // prettier-ignore
}

describe('binding keys', () => {
  test('wildcards match as the exchange has them, and a message that several keys match comes once', async () => {
    await using source = await place.source(EXCHANGE).opened(['orders.*.created', 'orders.#', 'invoices'])
    source.ackAll = true
    for (const key of ['orders.eu.created', 'orders', 'orders.eu.paid', 'other', 'invoices', 'invoices.eu'])
      await place.send(key, key, {}, 'events')
    await source.arrived(4)
    await expect.poll(() => place.ready('connector-hub-rabbitmq')).toBe(0)
    expect(source.bodies).toEqual(['orders.eu.created', 'orders', 'orders.eu.paid', 'invoices'])
    const [first] = source.arrivals
    expect(first?.message.topic).toBe('orders.eu.created')
    expect(first?.message.headers).toMatchObject({ 'X-Rabbitmq-Exchange': 'events', 'X-Rabbitmq-Routing-Key': 'orders.eu.created' }) // prettier-ignore
  })

  test('the binding of a function that is gone goes, also when it went while the hub was away', async () => {
    const state = new MemoryState()
    {
      await using source = await place.source(EXCHANGE, { state }).opened(['a', 'b.*', 'c'])
      expect(await bindings()).toEqual(['a', 'b.*', 'c'])
      await source.subscribe(['a', 'c'])
      expect(await bindings()).toEqual(['a', 'c'])
    }
    await using again = await place.source(EXCHANGE, { state }).opened(['a', 'd'])
    expect(await bindings()).toEqual(['a', 'd'])
    await place.send('d', 'new', {}, 'events')
    await again.arrived(1)
  })

  test('so does that of the last function, and what is published then does not pile up', async () => {
    const state = new MemoryState()
    {
      await using source = await place.source(EXCHANGE, { state }).opened(['a', 'b'])
      await source.subscribe([])
      expect(await bindings()).toEqual([])
      await place.send('a', 'for nobody', {}, 'events')
      expect(await place.ready('connector-hub-rabbitmq')).toBe(0)
      await source.subscribe(['b'])
      expect(await bindings()).toEqual(['b'])
    }
    await using again = await place.source(EXCHANGE, { state }).opened([])
    expect(await bindings()).toEqual([])
    await again.subscribe(['c'])
    await place.channel.deleteExchange('events')
    await place.channel.deleteQueue('connector-hub-rabbitmq')
    await again.subscribe([])
    expect(await place.names('exchanges')).not.toContain('events')
    await again.subscribe(['d'])
    expect(await bindings()).toEqual(['d'])
  })

  test('without declare nothing is made: exchange and queue must be there, and the bindings are theirs who made them', async () => {
    const config = { exchange: 'events', queue: 'mine' }
    await expect(place.source(config).opened(['a'])).rejects.toMatchObject({
      code: 'HUB_SOURCE_FORBIDDEN',
      message: expect.stringContaining('exchange events does not exist') as string,
      hint: expect.stringContaining('rabbitmqadmin declare exchange name="events"') as string,
    })
    await place.channel.assertExchange('events', 'topic', { durable: true })
    await expect(place.source(config).opened(['a'])).rejects.toThrow('queue mine does not exist')
    await place.queue('mine')
    await using source = await place.source(config).opened(['a'])
    expect(await bindings()).toEqual([])
    await place.channel.bindQueue('mine', 'events', 'a')
    await place.send('a', 'x', {}, 'events')
    await source.arrived(1)
    const { topics } = await source.source.probe(['a'], new AbortController().signal)
    expect(topics).toEqual([{ topic: 'a', ok: true, detail: 'through the classic queue mine of exchange events' }])
  })

  test('an exchange of another type, and a wildcard on a direct one, are named', async () => {
    await place.channel.assertExchange('events', 'fanout', { durable: true })
    await expect(place.source(EXCHANGE).opened(['a'])).rejects.toThrow('exists with other properties')
    const direct = { ...EXCHANGE, exchange: 'straight', exchangeType: 'direct' }
    await using source = await place.source(direct).opened(['a', 'b.*'])
    expect(source.log.lines.join('\n')).toContain('b.*: a direct exchange has no wildcards')
    await place.send('a', 'x', {}, 'straight')
    await source.arrived(1)
  })

  test('what comes back through a dead letter exchange keeps its topic', async () => {
    await using source = await place.source({ ...EXCHANGE, queue: 'mine' }).opened(['orders.*'])
    await place.queue('wait', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'mine', 'x-message-ttl': 1 })
    await place.channel.assertExchange('later', 'topic', { durable: true })
    await place.channel.bindQueue('wait', 'later', '#')
    await place.send('orders.eu', 'later', {}, 'later')
    const [delivery] = await source.arrived(1)
    expect(delivery?.message).toMatchObject({ topic: 'orders.eu', attempt: 1 })
    expect(delivery?.message.headers['X-Rabbitmq-Routing-Key']).toBe('mine')
  })
})

/** Nothing can be written while it is full. */
class Disk extends MemoryState {
  isFull = false
  override readonly store: StateStore = {
    get: (key) => Promise.resolve(this.get(key)),
    set: (key, value) => (this.isFull ? Promise.reject(new Error('the disk is full')) : Promise.resolve(void this.set(key, value))), // prettier-ignore
    delete: (key) => Promise.resolve(void this.delete(key)),
    keys: () => Promise.resolve([...this.keys()]),
  }
}

describe('streams', () => {
  const STREAM = { 'x-queue-type': 'stream' }
  const sendAll = async (bodies: readonly string[]): Promise<void> => {
    for (const body of bodies) await place.send('log', body)
  }

  test('are read from the first message on, and after a restart from the first that was not settled', async () => {
    await place.queue('log', STREAM)
    await sendAll(['0', '1', '2', '3', '4'])
    const state = new MemoryState()
    {
      await using source = await place.source({}, { state }).opened(['log'])
      await source.arrived(5)
      expect(source.arrivals.map(({ message }) => message.id)).toEqual(['0', '1', '2', '3', '4'].map((offset) => `rabbitmq:log@${offset}`)) // prettier-ignore
      // 2 stays open, so 3 must come again with it.
      for (const index of [0, 1, 3]) expect(await ack(source.arrivals[index])).toBe('settled')
    }
    await using again = place.source({}, { state })
    // Before it is connected: the first may arrive at once.
    again.ackAll = true
    await again.connect(['log'])
    await sendAll(['5'])
    await again.arrived(4)
    expect(again.bodies).toEqual(['2', '3', '4', '5'])
    await until(() => state.get('stream:log') === '6', 'the place is stored')
  })

  test('more than the window go through, however they are settled', async () => {
    await place.queue('log', STREAM)
    await using source = await place.source({}, { unsettledMax: 4 }).opened(['log'])
    await sendAll(Array.from({ length: 40 }, (_, index) => String(index)))
    for (let settled = 0; settled < 40; settled += 4) {
      await source.arrived(settled + 4)
      for (const delivery of source.arrivals.slice(settled, settled + 4).toReversed()) await ack(delivery)
    }
    expect(source.bodies).toHaveLength(40)
  })

  test('go on when their place could not be stored for a while', async () => {
    await place.queue('log', STREAM)
    const state = new Disk()
    await using source = await place.source({}, { state, unsettledMax: 4 }).opened(['log'])
    await sendAll(['0'])
    await source.arrived(1)
    await until(() => state.get('stream:log') === '0', 'the place is stored')
    state.isFull = true
    await sendAll(['1', '2', '3', '4', '5', '6', '7'])
    await source.arrived(4)
    for (const delivery of source.arrivals.slice(0, 4)) await expect(ack(delivery)).rejects.toThrow('full')
    state.isFull = false
    await source.arrived(8)
    for (const delivery of source.arrivals.slice(4)) expect(await ack(delivery)).toBe('settled')
    await until(() => state.get('stream:log') === '8', 'the place is stored')
  })

  test('next means what comes after the first start, also when nothing was settled before the second', async () => {
    await place.queue('log', STREAM)
    await sendAll(['before'])
    const state = new MemoryState()
    {
      await using source = await place.source({ streamOffset: 'next' }, { state }).opened(['log'])
      await sendAll(['after'])
      await source.arrived(1)
      expect(source.bodies).toEqual(['after'])
      await until(() => state.get('stream:log') === '1', 'the place is stored')
    }
    await sendAll(['while away'])
    await using again = await place.source({ streamOffset: 'next' }, { state }).opened(['log'])
    await again.arrived(2)
    expect(again.bodies).toEqual(['after', 'while away'])
  })
})
