// Queued calls as OpenFaaS's gateways and workers exchange them.

import { describe, expect, test } from 'vitest'

import { callHeaders, lastValue } from '../../src/gateway/queue/call.ts'
import type { QueuedCall } from '../../src/gateway/queue/call.ts'
import { decodeRequest, encodeRequest } from '../../src/gateway/queue/queue-request.ts'

const CALL: QueuedCall = {
  callId: '5f3c',
  function: 'orders.openfaas-fn',
  path: '/v1?a=1',
  host: 'gateway:8080',
  contentType: 'application/json',
  headers: { 'x-call-id': '5f3c', 'X-Start-Time': '1', 'X-Tag': 'a' },
  moreHeaders: ['X-Tag', 'b', 'X-Start-Time', '1767607201123456789'],
  body: Buffer.from('{"id":1}'),
  callbackUrl: 'http://gateway:8080/function/done',
  annotations: {},
}

const encoded = (call: Partial<QueuedCall>, queue?: string): Record<string, unknown> =>
  JSON.parse(encodeRequest({ ...CALL, ...call }, queue).toString()) as Record<string, unknown>
const decoded = (request: unknown): QueuedCall | string => decodeRequest(Buffer.from(JSON.stringify(request)))

describe('headers', () => {
  test('several values of a name are kept, under its first spelling; the connection’s own are not', () => {
    const flat = ['X-A', '1', 'Host', 'h', 'x-a', '2', 'Content-Type', 't', 'Content-Length', '3', 'User-Agent', 'u']
    expect(callHeaders(flat)).toEqual({ headers: { 'X-A': '1' }, moreHeaders: ['X-A', '2'], contentType: 't' })
  })

  test('the last value of several counts', () => {
    expect([lastValue(CALL, 'X-start-time'), lastValue(CALL, 'X-CALL-ID'), lastValue(CALL, 'X-None')]).toEqual(['1767607201123456789', '5f3c', undefined]) // prettier-ignore
  })
})

test('what concerned the caller of another gateway alone is not sent to the function', () => {
  const Header = { Expect: ['100-continue'], Connection: ['keep-alive, X-Hop'], 'Keep-Alive': ['timeout=5'], 'X-Hop': ['1'], 'X-Tag': ['a'] } // prettier-ignore
  expect(decoded({ Function: 'orders', Header })).toMatchObject({ headers: { 'X-Tag': 'a' } })
  expect(decoded({ Function: 'orders', Header })).not.toHaveProperty('headers.Expect')
})

describe('writing', () => {
  test('is what OpenFaaS reads', () => {
    expect(encoded({})).toEqual({
      Header: {
        'Content-Type': ['application/json'],
        'X-Call-Id': ['5f3c'],
        'X-Start-Time': ['1', '1767607201123456789'],
        'X-Tag': ['a', 'b'],
      },
      Host: 'gateway:8080',
      Body: 'eyJpZCI6MX0=',
      Method: 'POST',
      Path: '/v1',
      QueryString: 'a=1',
      Function: 'orders.openfaas-fn',
      CallbackUrl: { Scheme: 'http', Host: 'gateway:8080', Path: '/function/done' },
    })
  })

  test('names the queue and the annotations where there are any, and no callback where there is none', () => {
    const annotations = { 'com.openfaas.retry.attempts': '3' }
    const request = encoded({ callbackUrl: undefined, annotations, path: '' }, 'slow')
    expect(request).toMatchObject({ QueueName: 'slow', Annotations: annotations, Path: '', QueryString: '' })
    expect(request).not.toHaveProperty('CallbackUrl')
  })
})

describe('reading', () => {
  test.each([
    'http://gateway:8080/function/done',
    'https://user:pass@host/a%2Fb/c%20d?x=1%2F2',
    '/function/done?x=1',
    'done',
    '/a%2Fb',
    'http://host/',
  ])('gives back what was written, callback %s', (callbackUrl) => {
    const call = { ...CALL, callbackUrl }
    expect(decodeRequest(encodeRequest(call, undefined))).toEqual({ ...call, headers: { 'X-Call-Id': '5f3c', 'X-Start-Time': '1', 'X-Tag': 'a' }, moreHeaders: ['X-Start-Time', '1767607201123456789', 'X-Tag', 'b'] }) // prettier-ignore
  })

  test('takes what Go writes: null maps, decoded paths, empty parts of URLs', () => {
    const call = decoded({
      Header: null,
      Host: '',
      Body: null,
      Method: 'GET',
      Path: '/a b//ü?',
      QueryString: 'q=ä#',
      Function: 'echo',
      CallbackUrl: { Scheme: 'http', Opaque: '', User: null, Host: 'h:1', Path: '/x y', RawPath: '', OmitHost: false, ForceQuery: false, RawQuery: 'k=v', Fragment: '', RawFragment: '' }, // prettier-ignore
    })
    expect(call).toEqual({
      callId: '',
      function: 'echo',
      path: '/a%20b/%C3%BC%3F?q=%C3%A4%23',
      host: '',
      headers: {},
      body: Buffer.alloc(0),
      callbackUrl: 'http://h:1/x%20y?k=v',
      annotations: {},
    })
  })

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['no function', '{}'],
    ['a function that is a path', '{"Function":"../system/functions"}'],
    ['a body that is a number', '{"Function":"f","Body":1}'],
    ['headers that are text', '{"Function":"f","Header":"x"}'],
    ['a header that is no list', '{"Function":"f","Header":{"A":"b"}}'],
    ['a header of numbers', '{"Function":"f","Header":{"A":[1]}}'],
    ['bytes', '\u0000\u00ff'],
  ])('says why not: %s', (_, text) => {
    expect(decodeRequest(Buffer.from(text))).toEqual(expect.any(String))
  })
})
