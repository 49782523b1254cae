// Node handlers: bodies, context and results by the rules of OpenFaaS's Node template.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, startRig } from './rig.ts'
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
    ['a form', 'application/x-www-form-urlencoded', 'a=1&b=x+y&b=%26', { a: '1', b: ['x y', '&'] }],
    ['anything else', 'application/octet-stream', 'bytes', undefined],
  ])('%s', async (_, contentType, body, expected) => {
    expect(await bodyOf('echo', contentType, body)).toEqual(expected)
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
    const json = (length: number): string => `"${'a'.repeat(length - 2)}"`
    expect((await post(name, contentType, json(bytesMax))).status).toBe(200)
    expect((await post(name, contentType, json(bytesMax + 1))).status).toBe(413)
  })

  test('broken JSON is a 400 and not a call', async () => {
    expect((await post('echo', 'application/json', '{"a":')).status).toBe(400)
  })
})

describe('the answer', () => {
  const HTML = 'text/html; charset=utf-8'

  test.each([
    ['text', 200, 'hello', HTML],
    ['object', 200, '{"a":1}', HTML],
    ['array', 200, '[1,2]', HTML],
    ['number', 200, '7', HTML],
    ['nothing', 200, '', 'text/plain'],
    ['bytes', 200, '\u0000\uFFFD\u0001', 'application/octet-stream'],
    ['typed', 200, 'a,b', 'text/csv'],
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
    ['answers', 'failed-falsy', 200, ''],
    ['answers', 'callback-error', 500, 'Error: late'],
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

test('its environment is its own: what the spec says, its name, PATH and HOME; nothing of the gateway', async () => {
  const { env } = JSON.parse((await rig.call('/function/echo')).text) as { env: Record<string, string> }
  expect(env).toMatchObject({ LEVEL: 'debug', OPENFAAS_NAME: 'echo', OPENFAAS_NAMESPACE: 'openfaas-fn', fprocess: '' })
  expect(env).not.toHaveProperty('GATEWAY_SECRET')
  const known = ['LEVEL', 'OPENFAAS_NAME', 'OPENFAAS_NAMESPACE', 'PATH', 'HOME', 'TMPDIR', 'fprocess']
  expect(Object.keys(env).filter((name) => !known.includes(name) && !name.startsWith('NODE_CHANNEL'))).toEqual([])
})
