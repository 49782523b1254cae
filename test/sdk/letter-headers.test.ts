import fc from 'fast-check'
import { expect, test } from 'vitest'

import { LETTER_EVENT, base64Body, eventOfLetter, letterEvent } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

const token = fc.stringMatching(/^[A-Za-z][-A-Za-z0-9]{0,12}$/)
const value = fc.stringMatching(/^[\x21-\x7e]{1,12}$/)
const events: fc.Arbitrary<EventMessage> = fc.record(
  {
    id: fc.constant('mqtt:a#1'),
    source: fc.constant('mqtt'),
    topic: fc.string({ unit: 'binary' }),
    body: fc.uint8Array(),
    headers: fc.dictionary(token, value),
    attempt: fc.integer({ min: 1, max: 99 }),
    timestampMs: fc.integer({ min: 0, max: 2 ** 42 }),
    moreHeaders: fc.array(fc.tuple(token, value), { minLength: 1, maxLength: 3 }).map((pairs) => pairs.flat()),
    contentType: fc.constantFrom('text/plain', 'application/json; charset=utf-8'),
    orderingKey: fc.string({ unit: 'binary' }),
    path: fc.constantFrom('/v1/a?b=c', '?x=1'),
  },
  { requiredKeys: ['id', 'source', 'topic', 'body', 'headers', 'attempt', 'timestampMs'] },
)

test('an event is read as it was written, with its bytes as they are or in base64', () => {
  fc.assert(
    fc.property(events, fc.boolean(), (event, isEncoded) => {
      const text = letterEvent(event, isEncoded ? 'base64' : undefined)
      expect(text).toMatch(/^[\x20-\x7e]+$/)
      const body = isEncoded ? base64Body(event.body) : event.body
      const known = { id: event.id, source: event.source, timestampMs: 7 }
      const read = eventOfLetter(text, body, known)
      expect({ ...read, body: [...(read?.body ?? [])] }).toEqual({ ...event, body: [...event.body] })
      expect(eventOfLetter(JSON.parse(text), body, known)).toEqual(read)
    }),
  )
})

test('a body in base64 is text and never empty', () => {
  expect(Buffer.from(base64Body(Buffer.alloc(0))).toString()).toBe('base64,')
  expect(Buffer.from(base64Body(Buffer.from([0, 255]))).toString()).toBe('base64,AP8=')
})

test('what nobody has checked becomes no header that HTTP would refuse, and throws nothing', () => {
  const known = { id: 'i', source: 's', timestampMs: 7 }
  const body = Buffer.from('x')
  expect(LETTER_EVENT).toBe('hub-event')
  for (const none of [undefined, '', '{', '[]', 'null', '7', '{"headers":{}}', '{"topic":1}', 7, null, ['topic']])
    expect(eventOfLetter(none, body, known)).toBeUndefined()
  const odd = {
    topic: 't',
    headers: { 'X-Fine': 'a', 'X Bad': 'b', 'X-Line': 'a\r\nb', 'X-Number': 7 },
    moreHeaders: ['X-More', 'a\nb'],
    attempt: -1,
    timestampMs: 'yesterday',
    contentType: 'a\r\nSet-Cookie: b',
    key: {},
    path: '//\r\nHost: elsewhere',
    encoding: 'base64',
  }
  expect(eventOfLetter(odd, body, known)).toEqual({ id: 'i', source: 's', topic: 't', body, headers: { 'X-Fine': 'a' }, attempt: 1, timestampMs: 7 }) // prettier-ignore
})
