// What goes wrong at the broker's side: dead letters that nobody takes, alarms, time limits, silence. On a real server.

import { describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import type { Delivery, Settlement } from '../../src/sdk/index.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { Place, ack, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

function rejection(delivery: Delivery | undefined, ...functions: readonly string[]): Settlement {
  if (delivery === undefined) throw new Error('no delivery')
  const { message } = delivery
  const letters = functions.map((name) => ({ message, function: name, reason: 'answered 500 after 3 attempts', status: 500, attempts: 3, failedAtMs: Date.UTC(2026, 0, 1) })) // prettier-ignore
  return { kind: 'reject', reason: 'answered 500 after 3 attempts', letters }
}

describe('dead letters at the broker', () => {
  const LETTERS = { deadLetterExchange: 'letters' }
  const withExchange = async (queue?: string): Promise<void> => {
    await place.channel.assertExchange('letters', 'topic', { durable: true })
    if (queue !== undefined) await place.channel.bindQueue(await place.queue(queue), 'letters', '#')
    await place.queue('orders')
  }

  test('one for each function, with what was wrong and all that the message had, before it is acknowledged', async () => {
    await withExchange('graveyard')
    await using source = await place.source(LETTERS).opened(['orders'])
    await place.send('orders', 'body', {
      messageId: 'm-1',
      contentType: 'text/plain',
      expiration: '600000',
      headers: { tenant: 'a', CC: ['elsewhere'] },
    })
    const [delivery] = await source.arrived(1)
    expect(await delivery?.settle(rejection(delivery, 'billing', 'audit.prod'))).toBe('settled')
    const letters = [await place.take('graveyard'), await place.take('graveyard')]
    expect(letters.map((letter) => letter?.properties.headers?.['hub-function'] as unknown)).toEqual(['billing', 'audit.prod']) // prettier-ignore
    const [first] = letters
    expect(first?.content.toString()).toBe('body')
    expect(first?.fields.routingKey).toBe('orders')
    expect(first?.properties).toMatchObject({
      messageId: 'm-1',
      contentType: 'text/plain',
      deliveryMode: 2,
      headers: {
        tenant: 'a',
        'hub-reason': 'answered 500 after 3 attempts',
        'hub-attempts': 3,
        'hub-status': 500,
        'hub-failed-at': '2026-01-01T00:00:00.000Z',
        'hub-connector': 'rabbitmq',
        'hub-event-id': 'rabbitmq:orders:m-1',
        'hub-queue': 'orders',
        'hub-exchange': '',
        'hub-routing-key': 'orders',
      },
    })
    // It would be removed by its own expiration, or go where the original was copied to.
    expect(first?.properties.expiration).toBeUndefined()
    expect(first?.properties.headers).not.toHaveProperty('CC')
    await source[Symbol.asyncDispose]()
    expect(await place.ready('orders')).toBe(0)
  })

  test('that no queue takes leave the message unsettled: it is handed out again, and stays with the broker', async () => {
    await withExchange()
    const clock = new ManualClock()
    await using source = await place.source(LETTERS, { clock }).opened(['orders'])
    await place.send('orders', 'kept')
    const [delivery] = await source.arrived(1)
    await expect(delivery?.settle(rejection(delivery, 'billing'))).rejects.toMatchObject({
      code: 'HUB_DEAD_LETTER_FAILED',
      canRetry: true,
      message: expect.stringContaining('no queue is bound for the routing key orders') as string,
    })
    expect(source.arrivals).toHaveLength(1)
    await clock.advance(5000)
    const [, again] = await source.arrived(2)
    expect(again?.message).toMatchObject({ topic: 'orders', attempt: 2 })
    await source[Symbol.asyncDispose]()
    expect(await place.ready('orders')).toBe(1)
  })

  test('whose exchange has gone leave it unsettled, and are taken again when it is back', async () => {
    await withExchange('graveyard')
    await using source = await place.source(LETTERS).opened(['orders'])
    await place.channel.deleteExchange('letters')
    await place.send('orders', 'one')
    await place.send('orders', 'two')
    const [one, two] = await source.arrived(2)
    await expect(one?.settle(rejection(one, 'billing'))).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED' })
    await withExchange('graveyard')
    expect(await two?.settle(rejection(two, 'billing'))).toBe('settled')
    expect(source.ending).toBeUndefined()
  })

  test('have headers of every value that a message can bring', async () => {
    await withExchange('graveyard')
    await using source = await place.source(LETTERS).opened(['orders'])
    const headers = {
      // As a microsecond clock in Python has it.
      at: { '!': 'double', value: 1_700_000_000_000_000.25 },
      low: { '!': 'double', value: -1e300 },
      list: [{ '!': 'double', value: -1e300 }, { low: { '!': 'double', value: -1e300 } }],
      half: { '!': 'float', value: 0.5 },
      whole: -7,
      long: 2 ** 53,
      when: { '!': 'timestamp', value: 1_700_000_000 },
      price: { '!': 'decimal', value: { places: 2, digits: 199 } },
      bytes: Buffer.from([0, 255]),
      nothing: null,
    }
    await place.send('orders', 'body', { messageId: 'm-1', headers })
    const [delivery] = await source.arrived(1)
    expect(await delivery?.settle(rejection(delivery, 'billing'))).toBe('settled')
    const letter = await place.take('graveyard')
    const numbers = { at: 1_700_000_000_000_000.25, low: -1e300, list: [-1e300, { low: -1e300 }], half: 0.5 }
    expect(letter?.properties.headers).toMatchObject({ ...headers, ...numbers })
  })

  test('that cannot be made leave the message unsettled, and nothing else behind', async () => {
    await withExchange('graveyard')
    const clock = new ManualClock()
    await using source = await place.source(LETTERS, { clock }).opened(['orders'])
    // With those of a letter there are more than the client has room for.
    await place.send('orders', 'body', { headers: { long: 'x'.repeat(65_400) } })
    const [delivery] = await source.arrived(1)
    await expect(delivery?.settle(rejection(delivery, 'billing'))).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED' }) // prettier-ignore
    // Longer than a letter is waited for.
    await clock.advance(60_000)
    expect(source.ending).toBeUndefined()
  })

  test('need their exchange from the start', async () => {
    await using source = place.source(LETTERS)
    const error = await source.refused()
    expect([error.code, error.message]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('exchange letters does not exist')]) // prettier-ignore
  })

  test('wait while the broker is short of memory, and acknowledgements do not', async () => {
    await withExchange('graveyard')
    await place.queue('calm')
    await using source = await place.source({ ...LETTERS, connectTimeout: '1s' }).opened(['orders', 'calm'])
    for (const [queue, body] of [['orders', 'one'], ['orders', 'two'], ['calm', 'calm']] as const) await place.send(queue, body) // prettier-ignore
    const arrivals = await source.arrived(3)
    const [one, two] = arrivals.filter(({ message }) => message.topic === 'orders')
    await alarm(true)
    try {
      await expect(one?.settle(rejection(one, 'billing'))).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED' })
      await until(() => source.log.lines.some((line) => line.includes('rabbitmq.blocked')), 'the broker says so')
      expect(source.counts['rabbitmq_interruptions_total']).toBe(1)
      // Not even written any more.
      await expect(two?.settle(rejection(two, 'billing'))).rejects.toThrow('the broker takes no messages')
      expect(await ack(arrivals.find(({ message }) => message.topic === 'calm'))).toBe('settled')
      await expect.poll(async () => await unacknowledged('calm')).toBe(0)
    } finally {
      await alarm(false)
    }
    await until(() => source.log.lines.some((line) => line.includes('rabbitmq.unblocked')), 'the broker says so')
  })
})

/** When it answers, every connection has been told. */
async function alarm(on: boolean): Promise<void> {
  const watermark = on ? '0.00001' : '0.4'
  const alarms = await place.server.evaluate(`vm_memory_monitor:set_vm_memory_high_watermark(${watermark}), rabbit_alarm:get_alarms().`) // prettier-ignore
  expect(alarms.includes('{resource_limit, memory,')).toBe(on)
}

async function unacknowledged(queue: string): Promise<unknown> {
  const { messages_unacknowledged: count } = (await place.server.manage('GET', `queues/${place.vhost.name}/${queue}`)) as { messages_unacknowledged?: number } // prettier-ignore
  return count
}

test('a channel that the broker closes takes only its own queue with it: that is read again', async () => {
  await place.queue('slow')
  await place.queue('quick')
  // Read by channels when they are opened. By default it is half an hour.
  await place.server.evaluate('application:set_env(rabbit, consumer_timeout, 1000).')
  await using source = await place.source().opened(['slow', 'quick'])
  await place.server.evaluate('application:unset_env(rabbit, consumer_timeout).')
  await place.send('slow', 'takes too long')
  const [slow] = await source.arrived(1)
  await until(() => source.log.lines.some((line) => line.includes('delivery acknowledgement on channel')), 'the broker closes it') // prettier-ignore
  const again = (await source.arrived(2))[1]
  expect([again?.message.topic, again?.message.attempt]).toEqual(['slow', 2])
  expect(await ack(slow)).toBe('stale')
  expect(await ack(again)).toBe('settled')
  await place.send('quick', 'not concerned')
  expect(await ack((await source.arrived(3))[2])).toBe('settled')
  expect(source.ending).toBeUndefined()
})

test('a broker that is silent is noticed by its heartbeat', async () => {
  await place.queue('silent')
  await using proxy = await startTcpProxy(place.server.port)
  const url = place.vhost.url.replace(`:${place.server.port}`, `:${proxy.port}`)
  await using source = await place.source({ url, heartbeat: '1s' }).opened(['silent'])
  proxy.silence(true)
  const error = await source.lost()
  expect([error.code, error.canRetry]).toEqual(['HUB_SOURCE_LOST', true])
  expect(error.message).toContain('Heartbeat timeout')
  proxy.cut()
  proxy.silence(false)
  await place.send('silent', 'after')
  await source.reconnect(['silent'])
  await source.arrived(1)
})

test('closing does not wait for a broker that is silent', async () => {
  await place.queue('silent')
  await using proxy = await startTcpProxy(place.server.port)
  const url = place.vhost.url.replace(`:${place.server.port}`, `:${proxy.port}`)
  const source = await place.source({ url }).opened(['silent'])
  proxy.silence(true)
  await source[Symbol.asyncDispose]()
  expect(source.ending).toBe('ended')
})
