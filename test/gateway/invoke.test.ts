// The sync route: names, headers, statuses (OpenFaaS contract, synchronous invocation).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, startRig } from './rig.ts'
import type { Rig } from './rig.ts'

interface Echo {
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, unknown>>
}

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let rig: Rig

beforeAll(async () => {
  rig = await startRig([
    nodeFunction('echo', 'echo'),
    nodeFunction('answers', 'answers'),
    nodeFunction('echo', 'echo', { namespace: 'staging' }),
  ])
})
afterAll(() => rig[Symbol.asyncDispose]())

async function echo(path: string, options: Parameters<Rig['call']>[1] = {}): Promise<Echo> {
  const answer = await rig.call(path, options)
  expect(answer.status).toBe(200)
  return JSON.parse(answer.text) as Echo
}

describe('what the function is given', () => {
  test('sub-path, query and body reach it; the route does not', async () => {
    const seen = await echo('/function/echo/v1/items?limit=5&tag=a&tag=b', { body: 'hello' })
    expect(seen).toMatchObject({
      method: 'POST',
      path: '/v1/items',
      query: { limit: '5', tag: ['a', 'b'] },
      body: 'hello',
    })
  })

  test.each(['/function/echo', '/function/echo/'])('%s has the path /', async (path) => {
    expect((await echo(path)).path).toBe('/')
  })

  test('an encoded slash in the sub-path stays encoded', async () => {
    expect((await echo('/function/echo/a%2Fb')).path).toBe('/a%2Fb')
  })

  test.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('method %s is passed on', async (method) => {
    expect((await echo('/function/echo', { method })).method).toBe(method)
  })

  test('a GET may have a body', async () => {
    const headers = { 'Content-Length': '2', 'Content-Type': 'text/plain' }
    expect(await echo('/function/echo', { method: 'GET', body: 'hi', headers })).toMatchObject({ body: 'hi' })
  })

  test('methods that providers do not know are refused', async () => {
    expect(await rig.call('/function/echo', { method: 'PROPFIND' })).toMatchObject({ status: 405, text: '' })
  })

  test('an id, a start time and where the call came from are added', async () => {
    const { headers } = await echo('/function/echo')
    expect(headers['x-call-id']).toMatch(UUID_V4)
    expect(headers['x-start-time']).toMatch(/^\d{19}$/)
    expect(headers['x-forwarded-host']).toBe(new URL(rig.gateway.address).host)
    expect(headers['x-forwarded-for']).toMatch(/^127\.0\.0\.1:\d+$/)
    expect(headers['user-agent']).toMatch(/^\S+\/\S+$/)
  })

  test('what the caller states is kept; a second start time is appended', async () => {
    const { headers } = await echo('/function/echo', {
      headers: {
        'X-Call-Id': 'mine',
        'X-Start-Time': '1',
        'X-Forwarded-Host': 'shop.example',
        'X-Forwarded-For': '10.0.0.1:5',
        'User-Agent': 'me/1',
        Authorization: 'Bearer t',
        Cookie: 'a=1',
      },
    })
    expect(headers).toMatchObject({
      'x-call-id': 'mine',
      'x-forwarded-host': 'shop.example',
      'x-forwarded-for': '10.0.0.1:5',
      'user-agent': 'me/1',
      authorization: 'Bearer t',
      cookie: 'a=1',
    })
    expect(headers['x-start-time']).toMatch(/^1, \d{19}$/)
  })

  test('hop-by-hop headers end at the gateway, with those that Connection names', async () => {
    const { headers } = await echo('/function/echo', {
      headers: {
        Connection: 'close, X-Hop',
        'X-Hop': '1',
        'Keep-Alive': 'timeout=5',
        'Proxy-Authorization': 'Basic eDp5',
        'Proxy-Connection': 'close',
        Te: 'trailers',
        'X-End-To-End': '1',
      },
    })
    for (const gone of ['x-hop', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te'])
      expect(headers).not.toHaveProperty(gone)
    expect(headers['x-end-to-end']).toBe('1')
  })

  test('40 KiB of headers arrive whole', async () => {
    const value = 'v'.repeat(10 * 1024)
    const names = ['X-A', 'X-B', 'X-C', 'X-D']
    const { headers } = await echo('/function/echo', {
      headers: Object.fromEntries(names.map((name) => [name, value])),
    })
    for (const name of names) expect(headers[name.toLowerCase()]).toBe(value)
  })
})

describe('what the caller is given', () => {
  test('a generated id, the start time, the duration and who served it', async () => {
    const { headers } = await rig.call('/function/answers/text')
    expect(headers['x-call-id']).toMatch(UUID_V4)
    expect(headers['x-start-time']).toMatch(/^\d{19}$/)
    expect(headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
    expect(headers['x-served-by']).toMatch(/^\S+\/\S+$/)
    expect(headers).not.toHaveProperty('x-openfaas-internal')
  })

  test('the start time is the wall clock in nanoseconds', async () => {
    const before = BigInt(Date.now()) * 1_000_000n
    const { headers } = await rig.call('/function/answers/text')
    const after = BigInt(Date.now() + 1) * 1_000_000n
    const startTime = BigInt(headers['x-start-time'] as string)
    expect(startTime >= before && startTime < after).toBe(true)
  })

  test('an id of its own is not echoed', async () => {
    const { headers } = await rig.call('/function/answers/text', { headers: { 'X-Call-Id': 'mine' } })
    expect(headers).not.toHaveProperty('x-call-id')
  })

  test('headers of the function win over those of the gateway', async () => {
    const { rawHeaders } = await rig.call('/function/answers/own-call-id')
    const valuesOf = (wanted: string): string[] =>
      rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === wanted)
    expect(valuesOf('x-call-id')).toEqual(['mine'])
    expect(valuesOf('x-served-by')).toEqual(['me'])
  })

  test('a redirect is passed through, not followed', async () => {
    const { status, headers } = await rig.call('/function/answers/redirect')
    expect(status).toBe(302)
    expect(headers.location).toBe('http://elsewhere.invalid/x')
  })

  test('HEAD has the headers of GET and no body', async () => {
    const { status, text, headers } = await rig.call('/function/answers/text', { method: 'HEAD' })
    expect({ status, text, length: headers['content-length'] }).toEqual({ status: 200, text: '', length: '5' })
  })

  test('an answer without a content type gets that of the request, else text/plain', async () => {
    const given = await rig.call('/function/answers/nothing', {
      body: '{}',
      headers: { 'Content-Type': 'application/json' },
    })
    expect(given.headers['content-type']).toBe('application/json')
    expect((await rig.call('/function/answers/nothing')).headers['content-type']).toBe('text/plain')
  })

  test('the access log has method, path, status and seconds', async () => {
    await rig.call('/function/answers/created?x=1')
    expect(rig.log.requests.at(-1)).toMatch(
      /^Forwarded \[GET\] to \/function\/answers\/created\?x=1 - \[201\] - \d+\.\d{4}s$/,
    )
  })
})

describe('which function is meant', () => {
  test.each(['/function/echo.openfaas-fn', '/function/echo.staging/x'])('%s names its namespace', async (path) => {
    expect((await rig.call(path)).status).toBe(200)
  })

  test.each(['/function/nobody', '/function/echo.elsewhere/x', '/function/_odd-Name_1'])(
    '%s has no endpoints',
    async (path) => {
      const name = path.split('/')[2] as string
      const answer = await rig.call(path, { body: 'x' })
      expect(answer).toMatchObject({ status: 503, text: `No endpoints available for: ${name}.\n` })
      expect(answer.headers).toMatchObject({
        'content-type': 'text/plain; charset=utf-8',
        'x-openfaas-internal': 'proxy',
      })
    },
  )

  test.each(['/function/...', '/function/ec%68o', '/function/%2e%2e', '/function/..%2Fecho', '/function/e:o'])(
    '%s is no name: 404',
    async (path) => {
      expect(await rig.call(path)).toMatchObject({ status: 404, text: '404 page not found\n' })
    },
  )

  test('an empty name is a bad request', async () => {
    expect(await rig.call('/function/')).toMatchObject({
      status: 400,
      text: 'Provide function name in the request path\n',
    })
  })

  test.each([
    ['//function/echo', '/function/echo'],
    ['/function//echo?a=//', '/function/echo?a=//'],
    ['/function/echo///v1/', '/function/echo/v1/'],
    ['/function/./echo/.', '/function/echo'],
    ['/function/echo/a/../b', '/function/echo/b'],
    ['/function/..', '/'],
    ['/../../function/echo', '/function/echo'],
    ['//evil.example/x', '/evil.example/x'],
  ])('%s is redirected to %s', async (path, location) => {
    for (const method of ['GET', 'HEAD'])
      expect(await rig.call(path, { method })).toMatchObject({ status: 301, headers: { location }, text: '' })
  })

  test.each([
    ['//function/echo', '/', {}],
    ['/function//echo///v1/?a=//', '/v1/', { a: '//' }],
    ['/function/nobody/../echo/./v1', '/v1', {}],
  ])('a POST to %s is served where a redirect would lead, body and all', async (path, seen, query) => {
    expect(await echo(path, { method: 'POST', body: 'kept' })).toMatchObject({
      method: 'POST',
      path: seen,
      query,
      body: 'kept',
    })
  })

  test('cleaned, a path that leads nowhere is a 404', async () => {
    expect(await rig.call('/function/echo/..', { method: 'POST' })).toMatchObject({
      status: 404,
      text: '404 page not found\n',
    })
  })
})
