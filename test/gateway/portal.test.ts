// `/ui/` over HTTP: what is served, to whom, with which headers; and which changes a page of another site may not ask for.

import { readdirSync } from 'node:fs'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { isForeign } from '../../src/gateway/portal/foreign.ts'
import { Secret } from '../../src/sdk/index.ts'
import { nodeFunction, startRig } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

const AUTH = `Basic ${Buffer.from('admin:secret').toString('base64')}`
const PAGE = new URL('../../src/gateway/portal/page/', import.meta.url)
const FILES = readdirSync(PAGE).filter((name) => /\.(css|js|svg)$/.test(name))

let rig: Rig

beforeAll(async () => {
  rig = await startRig([])
})
afterAll(() => rig[Symbol.asyncDispose]())

describe('the page', () => {
  test.each([
    ['/', 307],
    ['/ui', 301],
  ])('%s leads to /ui/ with a %i', async (path, status) => {
    expect(await rig.call(path)).toMatchObject({ status, headers: { location: '/ui/' } })
  })

  test.each([
    ['', 'text/html; charset=utf-8', /^<!doctype html>/],
    ['portal.js', 'text/javascript; charset=utf-8', /import /],
    ['portal.css', 'text/css; charset=utf-8', /color-scheme/],
    ['favicon.svg', 'image/svg+xml', /^<svg /],
  ])('/ui/%s is served as %s', async (name, type, text) => {
    const answer = await rig.call(`/ui/${name}`)
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': type } })
    expect(answer.headers['content-length']).toBe(String(answer.body.byteLength))
    expect(answer.text).toMatch(text)
  })

  test.each([
    'index.html',
    'nothing',
    'tsconfig.json',
    'page/portal.js',
    '..%2fassets.ts',
    '%2e%2e/portal.ts',
    'portal.js/',
  ])('/ui/%s is not there: 404', async (name) => {
    expect(await rig.call(`/ui/${name}`)).toMatchObject({ status: 404, text: '404 page not found\n' })
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s is a 405, empty', async (method) => {
    for (const path of ['/ui', '/ui/', '/ui/portal.js'])
      expect(await rig.call(path, { method })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' }, text: '' })
  })

  test('HEAD has the headers of GET and no body', async () => {
    const [head, get] = [await rig.call('/ui/', { method: 'HEAD' }), await rig.call('/ui/')]
    const { date: _, ...headers } = get.headers
    expect(head).toMatchObject({ status: 200, headers, text: '' })
  })

  test('nothing else may be loaded, run, framed or sent to', async () => {
    const { headers } = await rig.call('/ui/')
    expect(new Set(String(headers['content-security-policy']).split('; '))).toEqual(
      new Set([
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self' blob:",
        "require-trusted-types-for 'script'",
        "script-src 'self'",
        "style-src 'self'",
        "trusted-types 'none'",
      ]),
    )
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
  })

  test('no file names another host', async () => {
    for (const name of ['', ...FILES]) {
      const { text } = await rig.call(`/ui/${name}`)
      expect(text.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|["'(]\/\//)
    }
  })

  test('every module is announced to the browser at once', async () => {
    const { text } = await rig.call('/ui/')
    const named = new Set(Array.from(text.matchAll(/(?:href|src)="([\w-]+\.js)"/g), ([, name]) => name))
    expect(named).toEqual(new Set(FILES.filter((name) => name.endsWith('.js'))))
  })

  test('all of it takes less than 30 kB on its way', async () => {
    let bytes = 0
    for (const name of ['', ...FILES])
      bytes += (await rig.call(`/ui/${name}`, { headers: { 'Accept-Encoding': 'gzip, br' } })).body.byteLength
    expect(bytes).toBeLessThan(30_000)
  })
})

describe('forms and copies', () => {
  const plain = (body: Buffer): Buffer => body

  test.each([
    ['gzip, deflate, br, zstd', 'br', brotliDecompressSync],
    ['gzip, deflate', 'gzip', gunzipSync],
    ['br;q=0, gzip;q=0.5', 'gzip', gunzipSync],
    ['GZIP', 'gzip', gunzipSync],
    ['br;q=0.0, gzip;q=0', undefined, plain],
    ['identity', undefined, plain],
  ])('Accept-Encoding: %s gets %s', async (accepted, encoding, decode) => {
    const answer = await rig.call('/ui/portal.css', { headers: { 'Accept-Encoding': accepted } })
    expect(answer.headers['content-encoding']).toBe(encoding)
    expect(answer.headers.vary).toBe('Accept-Encoding')
    expect(decode(answer.body).equals((await rig.call('/ui/portal.css')).body)).toBe(true)
  })

  test('each form has a tag of its own, and who has it gets no second copy', async () => {
    const tags = new Set<string>()
    for (const accepted of ['br', 'gzip', 'identity']) {
      const headers = { 'Accept-Encoding': accepted }
      const { etag = '' } = (await rig.call('/ui/', { headers })).headers
      tags.add(etag)
      for (const match of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const again = await rig.call('/ui/', { headers: { ...headers, 'If-None-Match': match } })
        expect(again).toMatchObject({ status: 304, headers: { etag, 'cache-control': 'no-cache' }, text: '' })
        expect(again.headers).toHaveProperty('content-security-policy')
      }
      expect((await rig.call('/ui/', { headers: { ...headers, 'If-None-Match': '"other"' } })).status).toBe(200)
    }
    expect(tags.size).toBe(3)
  })
})

describe('with basic auth on', () => {
  let closed: Rig
  beforeAll(async () => {
    closed = await startRig([nodeFunction('answers', 'answers')], {
      auth: { username: 'admin', password: new Secret('secret') },
    })
  })
  afterAll(() => closed[Symbol.asyncDispose]())

  test.each(['', 'portal.js', 'portal.css', 'favicon.svg'])('/ui/%s asks for a password', async (name) => {
    expect(await closed.call(`/ui/${name}`)).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="Restricted"' },
      text: 'invalid credentials',
    })
    const etag = (await closed.call(`/ui/${name}`, { headers: { Authorization: AUTH } })).headers.etag ?? ''
    expect(etag).not.toBe('')
    expect((await closed.call(`/ui/${name}`, { headers: { 'If-None-Match': etag } })).status).toBe(401)
  })

  test('an unknown path is a 404 all the same, and the way there is open', async () => {
    expect((await closed.call('/ui/nothing')).status).toBe(404)
    expect((await closed.call('/ui')).status).toBe(301)
  })
})

describe('a change that a page of another site asks for', () => {
  const host = 'gateway.example:8080'
  const own = 'http://gateway.example:8080'
  const foreign = 'http://elsewhere.example'

  test.each([
    ['no browser', {}, false],
    ['the portal', { 'sec-fetch-site': 'same-origin', origin: own }, false],
    [
      'the portal behind a proxy that speaks TLS',
      { 'sec-fetch-site': 'same-origin', origin: 'https://gateway.example:8080' },
      false,
    ],
    ['an address typed in', { 'sec-fetch-site': 'none' }, false],
    ['another site', { 'sec-fetch-site': 'cross-site', origin: foreign }, true],
    ['another port of this host', { 'sec-fetch-site': 'same-site', origin: 'http://gateway.example:9090' }, true],
    ['another site without Origin', { 'sec-fetch-site': 'cross-site' }, true],
    ['a word of a later browser', { 'sec-fetch-site': 'adjacent' }, true],
    ['the portal, in an older browser', { origin: own }, false],
    ['another site, in an older browser', { origin: foreign }, true],
    ['another port, in an older browser', { origin: 'http://gateway.example:9090' }, true],
    ['a sandboxed frame, in an older browser', { origin: 'null' }, true],
    [
      'the portal behind a proxy with a name of its own',
      { origin: 'https://ui.example', 'x-forwarded-host': 'ui.example' },
      false,
    ],
  ])('%s', (_, headers, refused) => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      expect(isForeign({ method, headers: { host, ...headers } })).toBe(refused)
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
      expect(isForeign({ method, headers: { host, ...headers } })).toBe(false)
  })

  test('is a 403, and nothing is deployed or removed', async () => {
    const deployment = JSON.stringify({ service: 'planted', image: 'local/planted', envProcess: 'cat' })
    const headers = { 'Sec-Fetch-Site': 'cross-site', 'Content-Type': 'text/plain' }
    await rig.gateway.deploy(nodeFunction('mine', 'answers'))
    const refusals: Answer[] = [
      await rig.call('/system/functions', { method: 'POST', headers, body: deployment }),
      await rig.call('/system/functions', { method: 'PUT', headers, body: deployment }),
      await rig.call('/system/functions', { method: 'DELETE', headers, body: '{"functionName":"mine"}' }),
      await rig.call('/system/scale-function/mine', { method: 'POST', headers, body: '{"replicas":0}' }),
      await rig.call('/system/secrets', { method: 'POST', headers, body: '{"name":"s","value":"v"}' }),
    ]
    for (const refusal of refusals)
      expect(refusal).toMatchObject({ status: 403, text: 'a page of another site may not do this\n' })
    expect(rig.gateway.functions().map(({ name }) => name)).toEqual(['mine'])
    // The same without a browser's word for it.
    const client = { 'Content-Type': 'application/json' }
    expect((await rig.call('/system/functions', { method: 'POST', headers: client, body: deployment })).status).toBe(
      202,
    )
    expect(rig.gateway.functions().map(({ name }) => name)).toContain('planted')
  })

  test('reading is left to the same-origin policy: no answer says that others may', async () => {
    const headers = { 'Sec-Fetch-Site': 'cross-site', Origin: foreign }
    const answer = await rig.call('/system/functions', { headers })
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
  })
})
