import fc from 'fast-check'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { expect, test } from 'vitest'

import { HeaderWriter } from '../../src/sdk/index.ts'

const writer = (): HeaderWriter => new HeaderWriter('X-Mqtt-')
const b64 = (text: string): string => Buffer.from(text).toString('base64')

test('plain values pass unchanged, absent ones are left out', () => {
  const headers = writer()
    .own('X-Mqtt-Qos', 1)
    .own('X-Mqtt-Retain', false)
    .own('X-Mqtt-Key', Buffer.from('abc'))
    .own('X-Mqtt-None', undefined)
    .broker('trace', 'a b\tc')
    .broker('empty', '')
    .build()
  expect(headers).toEqual({ 'X-Mqtt-Qos': '1', 'X-Mqtt-Retain': 'false', 'X-Mqtt-Key': 'abc', trace: 'a b\tc', empty: '' }) // prettier-ignore
})

test.each([
  ['CR and LF', 'a\r\nX-Injected: 1'],
  ['LF alone', 'a\nb'],
  ['NUL', 'a\0b'],
  ['another control character', 'a\u007fb'],
  ['characters beyond ASCII', 'grün 🎉'],
  ['a leading space', ' a'],
  ['a trailing tab', 'a\t'],
  ['a space alone', ' '],
])('%s cannot be injected: the value is encoded and says so', (_, value) => {
  expect(writer().broker('note', value).build()).toEqual({ note: b64(value), 'note-Enc': 'b64' })
  expect(writer().own('X-Mqtt-Note', value).build()).toEqual({ 'X-Mqtt-Note': b64(value), 'X-Mqtt-Note-Enc': 'b64' })
})

test('bytes that are not printable ASCII are encoded as they are', () => {
  const bytes = Uint8Array.of(0, 255, 10)
  expect(writer().broker('raw', bytes).build()).toEqual({ raw: 'AP8K', 'raw-Enc': 'b64' })
  // A view into a larger buffer is only its own bytes.
  expect(writer().own('X-Mqtt-View', Buffer.from('xabcx').subarray(1, 4)).build()).toEqual({ 'X-Mqtt-View': 'abc' })
})

test.each(['Host', 'content-length', 'Transfer-Encoding', 'Connection', 'Authorization', 'X-Topic', 'x-callback-url', 'X-Call-Id', 'X-Connector', 'Content-Type', 'Cookie', 'Upgrade', 'TE', 'x-topic-enc'])(
  'a publisher cannot set %s of the invocation',
  (name) => {
    expect(writer().broker(name, 'x').build()).toEqual({ [`X-Mqtt-${name}`]: 'x' })
  },
) // prettier-ignore

test.each([
  ['', 'X-Mqtt-Header'],
  ['with space', 'X-Mqtt-with-space'],
  ['a:b', 'X-Mqtt-a-b'],
  ['a\r\nb', 'X-Mqtt-a--b'],
  ['größe', 'X-Mqtt-gr--e'],
])('a name that is no token, %j, becomes one with the prefix', (name, expected) => {
  expect(writer().broker(name, 'x').build()).toEqual({ [expected]: 'x' })
})

test('repeated names are joined in order, compared without case', () => {
  expect(writer().broker('Tag', 'a').broker('tag', 'b').broker('TAG', Buffer.from('c')).build()).toEqual({
    Tag: 'a, b, c',
  })
})

test('a header of the connector wins over one of the publisher', () => {
  expect(writer().broker('x-mqtt-qos', '2').own('X-Mqtt-Qos', 1).build()).toEqual({ 'X-Mqtt-Qos': '1' })
})

test('a publisher cannot mark a plain value as encoded', () => {
  expect(writer().own('X-Mqtt-Qos', 1).broker('x-mqtt-qos-enc', 'b64').build()).toEqual({ 'X-Mqtt-Qos': '1' })
  expect(writer().broker('note-enc', 'b64').broker('note', 'plain').build()).toEqual({ note: 'plain' })
  expect(writer().broker('note-enc', 'no').broker('note', 'ü').build()).toEqual({ note: b64('ü'), 'note-Enc': 'b64' })
  expect(writer().broker('video-enc', 'h264').build()).toEqual({ 'video-enc': 'h264' })
})

test('names that mean something to JavaScript objects are names like others', () => {
  const headers = writer().broker('__proto__', 'a').broker('constructor', 'b').build()
  expect(Object.entries(headers)).toEqual([['__proto__', 'a'], ['constructor', 'b']]) // prettier-ignore
})

test('whatever a publisher sends, Node accepts the result and the value can be read back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, value) => {
      const headers = writer().broker(name, value).build()
      for (const [key, text] of Object.entries(headers)) {
        validateHeaderName(key)
        validateHeaderValue(key, text)
        expect(text).toMatch(/^[\t\x20-\x7e]*$/)
      }
      const [first] = Object.entries(headers)
      const encoded = Object.keys(headers).length === 2
      const back = encoded ? Buffer.from(String(first?.[1]), 'base64').toString() : first?.[1]
      expect(back).toBe(Buffer.from(value).toString())
    }),
    { numRuns: 500 },
  )
})
