import { describe, expect, test } from 'vitest'

import { compileFilter, FILTER_BODY_BYTES_MAX } from '../../src/discovery/index.ts'
import type { EventFilter, EventMessage } from '../../src/sdk/index.ts'
import { message } from './fixtures.ts'

function compiled(expression: string): EventFilter {
  const { filter, problem } = compileFilter(expression)
  if (filter === undefined) throw new Error(problem)
  return filter
}

function verdict(expression: string, event: EventMessage): string {
  const result = compiled(expression).test(event)
  return result.kind === 'error' ? `error: ${result.reason}` : result.kind
}

const json = (value: unknown, more: Partial<EventMessage> = {}): EventMessage =>
  message('orders/eu', { body: Buffer.from(JSON.stringify(value)), ...more })

describe('a filter', () => {
  test.each([
    ['topic == "orders/eu"', 'pass'],
    ['topic.startsWith("orders/")', 'pass'],
    ['source == "mqtt"', 'pass'],
    ['key == "k1"', 'pass'],
    ['attempt > 1', 'fail'],
    ['headers["x-mqtt-qos"] == "1"', 'pass'],
    ['"X-Mqtt-Qos" in headers', 'fail'],
    ['headers[?"x-none"].orValue("no") == "no"', 'pass'],
    ['data.amount > 100', 'pass'],
    ['data.amount == 150', 'pass'],
    ['data.amount >= 150.5', 'fail'],
    ['has(data.missing)', 'fail'],
    ['data.customer.tags.exists(tag, tag == "vip")', 'pass'],
    ['data.list.all(n, n > 0)', 'pass'],
    ['text.contains("vip")', 'pass'],
    ['text.matches("\\"amount\\":1\\\\d0")', 'pass'],
    ['size > 1', 'pass'],
    ['topic == "other" || (data.amount > 100 && attempt == 1)', 'pass'],
  ])('%s gives %s', (expression, expected) => {
    const event = json(
      { amount: 150, customer: { tags: ['vip', 'new'] }, list: [1, 2] },
      { orderingKey: 'k1', headers: { 'X-Mqtt-Qos': '1' } },
    )
    expect(verdict(expression, event)).toBe(expected)
  })

  test("an absent ordering key is ''", () => {
    expect(verdict('key == ""', message('a'))).toBe('pass')
  })

  test('that needs JSON gives an error on a body that is none, without quoting it', () => {
    const event = message('a', { body: Buffer.from('secret, not json') })
    expect(verdict('data.x == 1', event)).toBe('error: the body is not JSON')
    expect(verdict('data == null', message('a'))).toBe('error: the body is not JSON')
  })

  test('that does not use the body leaves it unparsed', () => {
    expect(verdict('topic == "a"', message('a', { body: Buffer.from('{') }))).toBe('pass')
    expect(verdict('topic == "a" || data.x == 1', message('a', { body: Buffer.from('{') }))).toBe('pass')
  })

  test('bytes that are no UTF-8 are replaced in text', () => {
    expect(verdict('text == "\\ufffd"', message('a', { body: Uint8Array.of(0xff) }))).toBe('pass')
  })

  test('does not read a body above the bound, but knows its size', () => {
    const event = message('a', { body: new Uint8Array(FILTER_BODY_BYTES_MAX + 1) })
    expect(verdict('text == ""', event)).toMatch(/^error: the body has /)
    expect(verdict('data.x == 1', event)).toMatch(/^error: the body has /)
    expect(verdict(`size == ${FILTER_BODY_BYTES_MAX + 1}`, event)).toBe('pass')
  })

  test('reports a missing key and a result that is not boolean as errors', () => {
    expect(verdict('data.b == 1', json({ a: 1 }))).toMatch(/^error: .*b/)
    expect(verdict('data.a', json({ a: 'yes' }))).toMatch(/^error: .*string.*not true or false/)
    expect(verdict('data.a', json({ a: null }))).toMatch(/^error: .*null/)
    expect(verdict('data.constructor == null', json({ a: 1 }))).toMatch(/^error: /)
  })

  test('is ended when a regular expression backtracks for ever', () => {
    const event = message('a'.repeat(64) + '!')
    expect(verdict('topic.matches("^(a+)+$")', event)).toBe('error: the expression took longer than 100ms')
    expect(verdict('topic.matches("^a+!$")', event)).toBe('pass')
  })

  test('is ended when its loops multiply', () => {
    const expression = 'data.all(a, data.all(b, data.all(c, a + b + c > 0.0)))'
    expect(verdict(expression, json(Array.from({ length: 5000 }, () => 1)))).toMatch(/^error: .*longer than 100ms/)
    expect(verdict(expression, json([1, 2]))).toBe('pass')
  })

  test('sees each event for itself', () => {
    const filter = compiled('data.a == 1')
    expect([{ a: 1 }, { a: 2 }, { a: 1 }].map((value) => filter.test(json(value)).kind)).toEqual([
      'pass',
      'fail',
      'pass',
    ])
  })
})

describe('a filter is refused when it', () => {
  test.each([
    ['misspells a variable', 'topc == "a"', /topc/],
    ['compares different types', 'topic == 1', /overload/],
    ['is not boolean', 'topic', /true or false/],
    ['calls what does not exist', 'shout(topic)', /shout/],
    ['ends too early', 'topic ==', /EOF/],
    ['is empty', ' ', /empty/],
    ['is too long', `topic == "${'a'.repeat(3000)}"`, /at most/],
    ['is nested too deep', `${'('.repeat(100)}true${')'.repeat(100)}`, /./],
    ['holds a broken regular expression', 'topic.matches("(")', /regular expression/i],
  ])('%s', (_name, expression, problem) => {
    expect(compileFilter(expression).problem).toMatch(problem)
  })
})
