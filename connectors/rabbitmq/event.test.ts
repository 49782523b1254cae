// Messages as events: identity, attempts, headers of every kind that AMQP has.

import type { ConsumeMessage, MessageProperties } from 'amqplib'
import { describe, expect, test } from 'vitest'

import { deliveriesOf, toEvent } from './event.ts'
import type { Origin } from './event.ts'

const NOTHING: MessageProperties = {
  contentType: undefined, contentEncoding: undefined, headers: undefined, deliveryMode: undefined, priority: undefined,
  correlationId: undefined, replyTo: undefined, expiration: undefined, messageId: undefined, timestamp: undefined,
  type: undefined, userId: undefined, appId: undefined, clusterId: undefined,
} // prettier-ignore

function message(properties: Partial<MessageProperties> = {}, redelivered = false): ConsumeMessage {
  const fields = { deliveryTag: 1, redelivered, exchange: 'events', routingKey: 'a.b', consumerTag: 'c' }
  return { content: Buffer.from('body'), fields, properties: { ...NOTHING, ...properties } }
}

const origin: Origin = {
  instance: 'rabbitmq',
  queue: 'orders',
  orderingKey: undefined,
  receivedMs: 1_000,
  fallbackId: 'x-1',
  topicOf: () => 'orders',
}

const headers = (table: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> =>
  toEvent(message({ headers: table }), origin, 0).headers

test('an id is that of the message, its place in a stream, or one of this delivery only', () => {
  expect(toEvent(message({ messageId: 'm' }), origin, 0).id).toBe('rabbitmq:orders:m')
  expect(toEvent(message({ messageId: 'm', headers: { 'x-stream-offset': 7 } }), origin, 0).id).toBe(
    'rabbitmq:orders@7',
  )
  expect(toEvent(message({ messageId: '' }), origin, 0).id).toBe('rabbitmq:orders:x-1')
})

describe('attempts', () => {
  /** The header as publishers may send it, too. */
  const died = (queue: string, reason: string, count: number, more: object = {}): ConsumeMessage =>
    message({ headers: { ...more, 'x-death': [{ queue, reason, count }] as never } })

  test.for([
    [message(), 1],
    [message({}, true), 2],
    [message({ headers: { 'x-delivery-count': 4 } }, true), 5],
    [died('orders', 'rejected', 3), 4],
    [died('other', 'rejected', 3), 1],
    [died('orders', 'expired', 3), 1],
    [died('orders', 'delivery_limit', 2, { 'x-delivery-count': 1 }), 4],
    [message({ headers: { 'x-death': ['?'] as never, 'x-delivery-count': 'many' } }), 1],
    [message({ headers: { 'x-death': { count: 9 } as never } }), 1],
  ] as const)('%#', ([received, expected]) => {
    expect(deliveriesOf(received, 'orders')).toBe(expected)
  })

  test('of what the source hands out again by itself', () => {
    expect(toEvent(message({}, true), origin, 3).attempt).toBe(5)
  })
})

test('values of every kind of an AMQP table are text, and what is nested is JSON', () => {
  expect(
    headers({
      text: 'plain',
      number: 1.5,
      flag: true,
      none: null,
      bytes: Buffer.from('printable'),
      binary: Buffer.from([0, 255]),
      when: { '!': 'timestamp', value: 1_700_000_000 },
      wide: { '!': 'int64', value: 5 },
      list: ['a', { b: null }],
    }),
  ).toMatchObject({
    'X-Rabbitmq-text': 'plain',
    'X-Rabbitmq-number': '1.5',
    'X-Rabbitmq-flag': 'true',
    'X-Rabbitmq-none': '',
    'X-Rabbitmq-bytes': 'printable',
    'X-Rabbitmq-binary': 'AP8=',
    'X-Rabbitmq-binary-Enc': 'b64',
    'X-Rabbitmq-when': '2023-11-14T22:13:20.000Z',
    'X-Rabbitmq-wide': '5',
    'X-Rabbitmq-list': '["a",{"b":null}]',
  })
  let deep: unknown = 'end'
  for (let depth = 0; depth < 1000; depth++) deep = [deep]
  expect(headers({ deep })['X-Rabbitmq-deep']?.length).toBeLessThan(200)
})

test('a publisher cannot set the headers of the connector', () => {
  const sent = headers({ 'Routing-Key': 'forged', Redelivered: 'true', 'msg-id': 'forged' })
  expect(sent['X-Rabbitmq-Routing-Key']).toBe('a.b')
  expect(sent['X-Rabbitmq-Redelivered']).toBe('false')
})

test('an encoding that HTTP knows is passed on as one, a character set is not', () => {
  const encoded = (contentEncoding: string): Readonly<Record<string, string>> => toEvent(message({ contentEncoding }), origin, 0).headers // prettier-ignore
  for (const coding of ['gzip', 'GZIP', 'gzip, br']) expect(encoded(coding)['Content-Encoding']).toBe(coding)
  for (const other of ['utf-8', 'gzip\r\nX-Injected: yes']) {
    expect(encoded(other)).not.toHaveProperty('Content-Encoding')
    expect(encoded(other)).toHaveProperty('X-Rabbitmq-Content-Encoding')
  }
  expect(encoded('utf-8')['X-Rabbitmq-Content-Encoding']).toBe('utf-8')
})

test('a time is in seconds, or in milliseconds where it can be nothing else, or that of the arrival', () => {
  const timeOf = (timestamp: unknown): number => toEvent(message({ timestamp }), origin, 0).timestampMs
  expect(timeOf(1_700_000_000)).toBe(1_700_000_000_000)
  expect(timeOf(1_700_000_000_123)).toBe(1_700_000_000_123)
  // The last ones are nanoseconds, and -1 as the 64 bits have it: no date, and no number that SQLite would give back.
  for (const nothing of [undefined, 0, -1, 'soon', Number.NaN, 1_700_000_000_000_000_000, 2 ** 64])
    expect(timeOf(nothing)).toBe(1_000)
})

test.for([
  ['queue', 'orders'],
  ['routing-key', 'a.b'],
  ['correlation-id', 'c-1'],
  ['header:tenant', '42'],
  ['header:none', undefined],
  [undefined, undefined],
] as const)('the ordering key %s', ([orderingKey, expected]) => {
  const received = message({ correlationId: 'c-1', headers: { tenant: 42 } })
  expect(toEvent(received, { ...origin, orderingKey }, 0).orderingKey).toBe(expected)
})
