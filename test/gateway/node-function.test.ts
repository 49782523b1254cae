// Node handlers: bodies, context and results by the rules of OpenFaaS's Node template.

import { gzipSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, open, startRig, until } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

let rig: Rig

beforeAll(async () => {
  process.env['GATEWAY_SECRET'] = 'not for functions'
  rig = await startRig([
    nodeFunction('echo', 'echo', { envVars: { LEVEL: 'debug' } }),
    nodeFunction('raw', 'echo', { envVars: { RAW_BODY: 'true', MAX_RAW_SIZE: '1kb' } }),
    nodeFunction('roomy', 'echo', { envVars: { MAX_JSON_SIZE: '1mb' } }),
    nodeFunction('answers', 'answers'),
    nodeFunction('strict', 'answers', { envVars: { STRICT_ERRORS: 'true' } }),
    nodeFunction('esm', 'esm'),
    nodeFunction('callback', 'callback'),
    nodeFunction('streams', 'streams'),
    nodeFunction('logged', 'answers', { envVars: { log_callid: 'true', prefix_logs: 'true' } }),
  ])
})
afterAll(async () => {
  delete process.env['GATEWAY_SECRET']
  await rig[Symbol.asyncDispose]()
})

function post(name: string, contentType: string | undefined, body: string | Uint8Array): Promise<Answer> {
  return rig.call(`/function/${name}`, {
    method: 'POST',
    body,
    ...(contentType === undefined ? {} : { headers: { 'Content-Type': contentType } }),
  })
}

async function bodyOf(name: string, contentType: string | undefined, body: string | Uint8Array): Promise<unknown> {
  const answer = await post(name, contentType, body)
  expect(answer.status).toBe(200)
  const seen = JSON.parse(answer.text) as { body?: unknown; bodyType: string }
  return seen.bodyType === 'undefined' ? undefined : seen.body
}

describe('event.body', () => {
  test.each([
    ['no content type', undefined, 'plain', 'plain'],
    ['text/plain', 'text/plain; charset=utf-8', 'héllo', 'héllo'],
    ['text/csv', 'text/csv', 'a,b', 'a,b'],
    ['JSON', 'application/json', '{"a":[1,null]}', { a: [1, null] }],
    ['text in another charset', 'text/plain; charset=ISO-8859-1', Buffer.from('h\u00e9', 'latin1'), 'h\u00e9'],
    ['JSON of nothing', 'application/json', '', {}],
    ['a form', 'application/x-www-form-urlencoded', 'a=1&b=x+y&b=%26', { a: '1', b: ['x y', '&'] }],
    ['a form of a form', 'application/x-www-form-urlencoded', 'a[b][c]=d&a[b][e]=', { a: { b: { c: 'd', e: '' } } }],
    [
      'a form with lists',
      'application/x-www-form-urlencoded',
      'a[]=1&a[]=2&b[1]=y&b[0]=x',
      { a: ['1', '2'], b: ['x', 'y'] },
    ],
    ['a form of objects', 'application/x-www-form-urlencoded', 'a[0][b]=1&a[1][b]=2', { a: [{ b: '1' }, { b: '2' }] }],
    ['a form that is rude', 'application/x-www-form-urlencoded', '__proto__[x]=1&a[__proto__]=2&=3&ok', { ok: '' }],
    ['anything else', 'application/octet-stream', 'bytes', undefined],
  ])('%s', async (_, contentType, body, expected) => {
    expect(await bodyOf('echo', contentType, body)).toEqual(expected)
  })

  test('without a body there is none, whatever its type', async () => {
    const { text } = await rig.call('/function/echo', { headers: { 'Content-Type': 'application/json' } })
    expect(JSON.parse(text)).toMatchObject({ bodyType: 'undefined' })
  })

  test('a compressed body is read, and its limit is that of its content', async () => {
    const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
    const answer = await rig.call('/function/echo', { body: gzipSync('{"a":1}'), headers })
    expect(JSON.parse(answer.text)).toMatchObject({ body: { a: 1 } })
    const bomb = gzipSync(`["${'a'.repeat(1024 * 1024)}"]`)
    expect((await rig.call('/function/echo', { body: bomb, headers })).status).toBe(413)
    expect((await rig.call('/function/echo', { body: 'not gzip', headers })).status).toBe(400)
  })

  test('RAW_BODY hands over every byte, whatever the type', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
    expect(await bodyOf('raw', 'application/json', bytes)).toEqual({ base64: Buffer.from(bytes).toString('base64') })
  })

  test.each([
    ['text', 'echo', 'text/plain', 100 * 1024],
    ['JSON', 'echo', 'application/json', 100 * 1024],
    ['JSON with MAX_JSON_SIZE', 'roomy', 'application/json', 1024 * 1024],
    ['RAW_BODY with MAX_RAW_SIZE', 'raw', 'image/png', 1024],
  ])('%s is limited: one byte more is a 413', async (_, name, contentType, bytesMax) => {
    const json = (length: number): string => `["${'a'.repeat(length - 4)}"]`
    expect((await post(name, contentType, json(bytesMax))).status).toBe(200)
    expect((await post(name, contentType, json(bytesMax + 1))).status).toBe(413)
  })

  test.each([
    ['broken JSON', 'application/json', '{"a":', 400, 'SyntaxError'],
    ['JSON that is neither an object nor a list', 'application/json', '"text"', 400, 'SyntaxError'],
    [
      'JSON in another charset',
      'application/json; charset=latin1',
      '{}',
      415,
      'unsupported charset &quot;LATIN1&quot;',
    ],
    ['text in no charset', 'text/plain; charset=x-none', 'x', 415, 'unsupported charset &quot;X-NONE&quot;'],
    ['more than 1,000 fields', 'application/x-www-form-urlencoded', 'a&'.repeat(1001), 413, 'too many parameters'],
  ])('%s is refused with a page of Express, and is not a call', async (_, contentType, body, status, text) => {
    const answer = await post('echo', contentType, body)
    expect(answer.status).toBe(status)
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(answer.text).toContain(text)
  })
})

describe('event', () => {
  test('has the method, the path, the query with its repeated keys, and headers in lower case', async () => {
    const answer = await rig.call('/function/echo/v1/a%20b?x=1&y=2&y=3&z=%26', {
      method: 'PATCH',
      headers: { 'X-Mine': 'yes' },
    })
    expect(JSON.parse(answer.text)).toMatchObject({
      method: 'PATCH',
      path: '/v1/a%20b',
      query: { x: '1', y: ['2', '3'], z: '&' },
      headers: { 'x-mine': 'yes', 'content-type': 'text/plain' },
    })
  })
})

describe('the answer', () => {
  const HTML = 'text/html; charset=utf-8'

  test.each([
    ['text', 200, 'hello', HTML],
    ['object', 200, '{"a":1}', HTML],
    ['array', 200, '[1,2]', HTML],
    ['number', 200, '7', 'application/json; charset=utf-8'],
    ['instance', 200, '"2026-01-05T10:00:00.000Z"', 'application/json; charset=utf-8'],
    ['nothing', 200, '', 'text/plain'],
    ['bytes', 200, '\u0000\uFFFD\u0001', 'application/octet-stream'],
    ['typed', 200, 'a,b', 'text/csv; charset=utf-8'],
    ['typed-bytes', 200, 'x', 'text/plain; charset=utf-8'],
    ['picture', 200, 'x', 'image/png'],
    ['framed', 200, 'from elsewhere', HTML],
    ['framed-nothing', 204, '', 'text/plain'],
    ['reset-content', 205, '', HTML],
    ['created', 201, 'made', HTML],
    ['getters', 200, '{"status":200,"zero":200,"headers":{}}', HTML],
    ['callback', 200, 'later', HTML],
    ['status-only', 204, '', 'text/plain'],
    ['twice', 200, 'first', HTML],
  ])('%s: %i', async (way, status, text, contentType) => {
    const answer = await rig.call(`/function/answers/${way}`)
    expect({ status: answer.status, text: answer.text }).toEqual({ status, text })
    expect(answer.headers['content-type']).toBe(contentType)
  })

  test('context.headers replaces what was set before', async () => {
    const { headers } = await rig.call('/function/answers/replaced')
    expect(headers).toMatchObject({ 'x-two': '2' })
    expect(headers).not.toHaveProperty('x-one')
  })

  test.each([
    ['answers', 'thrown', 200, 'Error: boom'],
    ['answers', 'thrown-after-status', 418, 'Error: boom'],
    ['answers', 'failed', 500, 'Error: refused'],
    ['answers', 'failed-404', 404, 'not here'],
    ['answers', 'failed-falsy', 500, ''],
    ['answers', 'callback-error', 200, 'Error: late'],
    ['strict', 'callback-error', 500, 'Error: late'],
    ['strict', 'thrown', 500, 'Error: boom'],
    ['strict', 'thrown-after-status', 418, 'Error: boom'],
    ['strict', 'text', 200, 'hello'],
  ])('%s/%s: %i', async (name, way, status, text) => {
    expect(await rig.call(`/function/${name}/${way}`)).toMatchObject({ status, text })
  })

  test('fail leaves out the headers that were set, unless there was nothing to fail with', async () => {
    expect((await rig.call('/function/answers/failed')).headers).not.toHaveProperty('x-mine')
    expect((await rig.call('/function/answers/failed-falsy')).headers).toHaveProperty('x-mine', 'yes')
  })

  test('a value that JSON cannot carry is an error, not a call without an end', async () => {
    expect((await rig.call('/function/answers/circular')).status).toBe(500)
  })

  test('a header that HTTP cannot carry injects nothing and is an error of the function', async () => {
    const { status, headers, text } = await rig.call('/function/answers/bad-header')
    expect(status).toBe(500)
    expect(text).toContain('X-Bad')
    expect(headers).not.toHaveProperty('set-cookie')
  })

  test('an ES module works as well', async () => {
    expect((await post('esm', 'text/plain', 'too')).text).toBe('esm too')
  })
})

describe('a handler that', () => {
  test.each([
    ['value', 200, 'by callback'],
    ['error', 200, 'Error: by callback'],
    ['promise', 200, 'by promise'],
  ])('takes a callback answers by it, however late, or by its promise (%s)', async (way, status, text) => {
    expect(await rig.call(`/function/callback/${way}`)).toMatchObject({ status, text })
  })

  test('returns a stream or an async iterable is sent as it comes', async () => {
    expect(await rig.call('/function/streams/stream')).toMatchObject({ status: 200, text: 'abc' })
    const response = await open(rig.gateway.address, '/function/streams/events', { method: 'GET' })
    expect(response.headers['content-type']).toBe('text/event-stream')
    let seen = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      seen += chunk
      // The second event is sent once the first has been seen: nothing on the way holds it back.
      if (seen === 'data: 1\n\n') await rig.call('/function/streams/go')
    }
    expect(seen).toBe('data: 1\n\ndata: 2\n\n')
  })

  test('fails in the middle of a stream breaks it, and the next call is served', async () => {
    await expect(rig.call('/function/streams/broken')).rejects.toThrow('aborted')
    expect((await rig.call('/function/streams/stream')).text).toBe('abc')
  })
})

test('the log has what of-watchdog writes about each call', async () => {
  await rig.call('/function/logged/failed?x=1', { method: 'PUT', headers: { 'X-Call-Id': 'call-7' } })
  const line = /^PUT \/failed\?x=1 - 500 Internal Server Error - ContentLength: 14B \(\d+\.\d{4}s\) \[call-7\]$/
  expect(rig.log.requests.filter((each) => line.test(each))).toHaveLength(1)
  const printed = (): boolean =>
    rig.log.output.some(({ name, line: text }) => name === 'logged' && text.startsWith('stderr: Error: refused'))
  await until('its output is there, with the name of the stream', printed)
})

test('its environment is its own: what the spec says, its name, PATH and HOME; nothing of the gateway', async () => {
  const { env } = JSON.parse((await rig.call('/function/echo')).text) as { env: Record<string, string> }
  expect(env).toMatchObject({ LEVEL: 'debug', OPENFAAS_NAME: 'echo', OPENFAAS_NAMESPACE: 'openfaas-fn', fprocess: '' })
  expect(env).not.toHaveProperty('GATEWAY_SECRET')
  const known = ['LEVEL', 'OPENFAAS_NAME', 'OPENFAAS_NAMESPACE', 'PATH', 'HOME', 'TMPDIR', 'fprocess']
  expect(Object.keys(env).filter((name) => !known.includes(name) && !name.startsWith('NODE_CHANNEL'))).toEqual([])
})
