// The async route, its worker and its callbacks (OpenFaaS contract, asynchronous invocation).

import { connect } from 'node:net'
import { text } from 'node:stream/consumers'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { VERSION } from '../../src/telemetry/version.ts'
import { startReceiver } from './receiver.ts'
import type { Received, Receiver } from './receiver.ts'
import { nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

const QUICK = { 'com.openfaas.retry.min_wait': '10ms', 'com.openfaas.retry.max_wait': '20ms' }
const UUID = /^[0-9a-f-]{36}$/

let rig: Rig
let receiver: Receiver

beforeAll(async () => {
  rig = await startRig([
    nodeFunction('echo', 'echo'),
    processFunction('cat', 'cat'),
    nodeFunction('thrice', 'misbehave', { annotations: { ...QUICK, 'com.openfaas.retry.attempts': '2' } }),
    nodeFunction('odd', 'misbehave', {
      annotations: { ...QUICK, 'com.openfaas.retry.attempts': '1', 'com.openfaas.retry.codes': '404, 418' },
    }),
    nodeFunction('once', 'misbehave', { annotations: { 'com.openfaas.retry.attempts': '0' } }),
  ])
  receiver = await startReceiver()
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await receiver[Symbol.asyncDispose]()
})

function post(path: string, headers: Record<string, string> = {}, body: string | Uint8Array = ''): Promise<Answer> {
  return rig.call(`/async-function/${path}`, { method: 'POST', headers, body })
}

let calls = 0
/** Queues a call with a callback of its own and waits for that. */
async function callback(path: string, headers: Record<string, string> = {}, body = ''): Promise<Received> {
  const url = `/done/${++calls}`
  const answer = await post(path, { 'X-Callback-Url': `${receiver.url}${url}`, ...headers }, body)
  expect(answer).toMatchObject({ status: 202, text: '' })
  const mine = (): Received[] => receiver.received.filter((one) => one.url === url)
  await until(`the callback of ${path}`, () => mine().length > 0)
  expect(mine()).toHaveLength(1)
  return mine()[0] as Received
}

describe('accepting', () => {
  test('202, nothing in the body, an id and a start time', async () => {
    const answer = await post('echo', {}, 'hello')
    expect(answer).toMatchObject({ status: 202, text: '' })
    expect(answer.headers['x-call-id']).toMatch(UUID)
    expect(answer.headers['x-start-time']).toMatch(/^\d{19}$/)
    expect(answer.headers).toHaveProperty('x-served-by')
    expect(rig.log.requests).toContain(`[${answer.headers['x-call-id'] as string}] Queueing (5) bytes for: echo.`)
  })

  test('an id of its own is not echoed', async () => {
    expect((await post('echo', { 'X-Call-Id': 'mine' })).headers).not.toHaveProperty('x-call-id')
  })

  test.each(['GET', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'])('%s is a 405', async (method) => {
    expect(await rig.call('/async-function/echo', { method })).toMatchObject({ status: 405, text: '' })
  })

  test.each(['/async-function/', '/async-function/...', '/async-function/a%2Fb'])('%s is a 404', async (path) => {
    expect((await rig.call(path, { method: 'POST' })).status).toBe(404)
  })

  test.each(['http://[::1', ':no-scheme', 'http://host/%zz', 'http://host:port/', 'two words'])(
    'callback URL %s is a 400',
    async (url) => {
      expect((await post('echo', { 'X-Callback-Url': url })).status).toBe(400)
    },
  )

  test('a relative callback URL is not refused', async () => {
    expect((await post('echo', { 'X-Callback-Url': '/function/echo' })).status).toBe(202)
  })

  test('an empty callback URL asks for none', async () => {
    await using own = await startRig([processFunction('cat', 'cat')])
    await own.call('/async-function/cat', { method: 'POST', headers: { 'X-Callback-Url': '' }, body: 'hello' })
    await until('it is over', () => own.gateway.queueLength === 0)
    expect(own.log.requests.filter((line) => line.includes('Invoked: cat [200]'))).toHaveLength(1)
    expect(own.log.requests.filter((line) => line.includes('Callback'))).toEqual([])
  })

  test('of several ids and callback URLs the first counts', async () => {
    const [first, second] = [`${receiver.url}/first`, `${receiver.url}/second`]
    await rig.call('/async-function/cat', { method: 'POST', headers: { 'X-Call-Id': ['one', 'two'], 'X-Callback-Url': [first, second] } }) // prettier-ignore
    const sent = (url: string): Received[] => receiver.received.filter((one) => one.url === url)
    await until('it is called back', () => sent('/first').length > 0)
    expect(sent('/first').map(({ headers }) => headers['x-call-id'])).toEqual(['one'])
    expect(sent('/second')).toEqual([])
  })

  test('an empty id is replaced, for the function too', async () => {
    const { body, headers } = await callback('echo', { 'X-Call-Id': '' })
    expect(headers['x-call-id']).toMatch(UUID)
    expect(JSON.parse(body)).toMatchObject({ headers: { 'x-call-id': headers['x-call-id'] } })
  })

  test('1 MiB is accepted and arrives; one byte more is a 413', async () => {
    const body = 'abcdefgh'.repeat(128 * 1024)
    expect((await callback('cat', {}, body)).body).toBe(body)
    expect((await post('cat', {}, `${body}x`)).status).toBe(413)
  })

  test('as many headers as the later call can carry; a 431 for more', async () => {
    await using own = await startRig([processFunction('cat', 'cat')])
    const status = async (bytes: number): Promise<number> => {
      const headers = { 'X-Long': 'a'.repeat(bytes) }
      return (await own.call('/async-function/cat', { method: 'POST', headers })).status
    }
    // A request may have 64 KiB of them.
    const statuses = await Promise.all([60_000, 64_000, 64_500, 65_000, 65_300, 65_500].map(status))
    expect(statuses).toEqual([202, 202, 431, 431, 431, 431])
    await until('all are over', () => own.gateway.queueLength === 0)
    expect(own.log.requests.filter((line) => line.includes('Invoked: cat [200]'))).toHaveLength(2)
  })

  test('an id of odd bytes comes back as it was, and cancels; one of 64 KiB is a 431', async () => {
    await using own = await startRig([processFunction('cat', 'cat')], { holdsQueue: true })
    const id = '\u00e9\u009b31m"\\ %00/?#'
    const queue = (callId: string): Promise<Answer> =>
      own.call('/async-function/cat', { method: 'POST', headers: { 'X-Call-Id': callId, 'X-Callback-Url': `${receiver.url}/odd` } }) // prettier-ignore
    expect((await queue('x'.repeat(65_536))).status).toBe(431)
    expect([(await queue(id)).status, own.gateway.queueLength]).toEqual([202, 1])
    expect((await own.call(`/async-function/${encodeURIComponent(id)}`, { method: 'DELETE' })).status).toBe(202)
    expect(own.gateway.queueLength).toBe(0)
    expect((await queue(id)).status).toBe(202)
    own.gateway.startQueue()
    await until('it is called back', () => receiver.received.some(({ url }) => url === '/odd'))
    expect(receiver.received.find(({ url }) => url === '/odd')?.headers['x-call-id']).toBe(id)
  })

  test('whether the function exists is not asked', async () => {
    await using own = await startRig([])
    expect((await own.call('/async-function/nobody.nowhere', { method: 'POST' })).status).toBe(202)
    expect(own.gateway.queueLength).toBe(1)
  })
})

describe('the call', () => {
  test('is a POST with the headers, body, sub-path and query that were queued', async () => {
    const headers = { 'X-Call-Id': 'mine', 'X-Mine': 'yes', Authorization: 'Bearer t', 'Content-Type': 'text/plain' }
    const { body } = await callback('echo/v1/items?limit=5', { ...headers, Constructor: 'odd name' }, 'hello')
    expect(JSON.parse(body)).toMatchObject({
      method: 'POST',
      path: '/v1/items',
      query: { limit: '5' },
      body: 'hello',
      headers: {
        'x-call-id': 'mine',
        'x-mine': 'yes',
        authorization: 'Bearer t',
        'content-type': 'text/plain',
        constructor: 'odd name',
        'x-forwarded-host': new URL(rig.gateway.address).host,
      },
    })
  })

  test('counts as an invocation when it runs, not when it is queued', async () => {
    await using own = await startRig([nodeFunction('echo', 'echo')])
    const count = async (): Promise<string | undefined> =>
      (await own.call('/metrics')).text
        .split('\n')
        .find((line) => line.startsWith('gateway_function_invocation_total{'))
    await own.call('/async-function/echo', { method: 'POST' })
    await until('it has run', () => own.gateway.queueLength === 0)
    await until('it is counted', async () => (await count()) !== undefined)
    expect(await count()).toBe('gateway_function_invocation_total{function_name="echo.openfaas-fn",code="200"} 1')
  })
})

describe('many calls', () => {
  const queued = (own: Rig, path: string, count: number): Promise<Answer[]> =>
    Promise.all(Array.from({ length: count }, () => own.call(`/async-function/${path}`, { method: 'POST' })))
  const forwarded = (own: Rig, path: string): string[] =>
    own.log.requests.filter((line) => line.startsWith(`Forwarded [POST] to /function/${path} `))

  test('of a function that never answers leave room for those of another', async () => {
    await using own = await startRig([nodeFunction('stuck', 'misbehave'), nodeFunction('once', 'misbehave')], {
      queue: { drainMs: 0 },
    })
    await queued(own, 'stuck/never', 100)
    await queued(own, 'once/fine', 10)
    await until('the others have run and are settled', () => own.gateway.queueLength === 100)
    expect(forwarded(own, 'once/fine')).toHaveLength(10)
  })

  test('of a function with max_inflight come one by one, not as 429', async () => {
    await using own = await startRig([processFunction('single', 'cat', { envVars: { max_inflight: '1' } })])
    await queued(own, 'single', 10)
    await until('all have run', () => own.gateway.queueLength === 0)
    expect(forwarded(own, 'single').map((line) => /\[(\d+)\] -/.exec(line)?.[1])).toEqual(Array(10).fill('200'))
  })
})

describe('the callback', () => {
  test('has the answer, its headers and those of the call', async () => {
    const { method, headers, body } = await callback('once/refuse?code=201', { 'X-Call-Id': 'mine' })
    expect({ method, body }).toEqual({ method: 'POST', body: 'refused' })
    expect(headers).toMatchObject({
      'x-call-id': 'mine',
      'x-function-name': 'once',
      'x-function-status': '201',
      'x-mine': 'yes',
      'content-type': 'text/html; charset=utf-8',
      'x-retry': '0',
      'x-retry-max': '0',
    })
    expect(headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
    expect(headers['x-start-time']).toMatch(/^\d{19}$/)
    expect(headers['user-agent']).toBe(`queue-worker/${VERSION}`)
  })

  test('comes after the last retry, with both counts equal', async () => {
    const { headers } = await callback('thrice/refuse?code=500')
    expect(headers).toMatchObject({ 'x-function-status': '500', 'x-retry': '2', 'x-retry-max': '2' })
  })

  test('a status that is not retried ends it at once', async () => {
    const { headers } = await callback('thrice/refuse?code=404')
    expect(headers).toMatchObject({ 'x-function-status': '404', 'x-retry': '0', 'x-retry-max': '2' })
  })

  test('the codes of the annotation replace the defaults', async () => {
    expect((await callback('odd/refuse?code=404')).headers).toMatchObject({ 'x-retry': '1', 'x-retry-max': '1' })
    expect((await callback('odd/refuse?code=500')).headers).toMatchObject({ 'x-retry': '0', 'x-retry-max': '1' })
  })

  test('a function that crashes is a platform error and is retried, whatever the codes', async () => {
    const { headers } = await callback('odd/exit')
    expect(headers).toMatchObject({ 'x-function-status': '500', 'x-retry': '1' })
  })

  test('a redirect is not followed', async () => {
    await using moved = await startReceiver(302, { Location: `${receiver.url}/moved` })
    await post('once/fine', { 'X-Callback-Url': `${moved.url}/here` })
    await until('it is logged', () =>
      rig.log.requests.some((line) =>
        line.endsWith(`] Posted result for once to callback-url: ${moved.url}/here, status: 302`),
      ),
    )
    expect(moved.received.map(({ method }) => method)).toEqual(['POST'])
    expect(receiver.received.filter(({ url }) => url === '/moved')).toEqual([])
  })

  test('one that nobody takes is logged without its password, once, and the call is over', async () => {
    await using own = await startRig([nodeFunction('once', 'misbehave')])
    const gone = await startReceiver()
    await gone[Symbol.asyncDispose]()
    const url = gone.url.replace('http://', 'http://user:secret@')
    await own.call('/async-function/once/fine', { method: 'POST', headers: { 'X-Callback-Url': url } })
    await until('it is over', () => own.gateway.queueLength === 0)
    const lines = own.log.requests.filter((line) => line.includes(' Error posting result for once'))
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain('secret')
  })

  test('may be a function', async () => {
    await using own = await startRig([nodeFunction('once', 'misbehave'), processFunction('cat', 'cat')])
    const url = `${own.gateway.address}/function/cat`
    await own.call('/async-function/once/fine', { method: 'POST', headers: { 'X-Callback-Url': url } })
    await until('both have run', () => own.gateway.queueLength === 0)
    expect(own.log.requests.filter((line) => line.startsWith('Forwarded')).map((line) => line.split(' - ')[0])).toEqual(
      ['Forwarded [POST] to /function/once/fine', 'Forwarded [POST] to /function/cat'],
    )
  })
})

describe('a retry', () => {
  const waits = async (annotations: Record<string, string>, query: string): Promise<string | undefined> => {
    await using own = await startRig([nodeFunction('misbehave', 'misbehave', { annotations })])
    await own.call(`/async-function/misbehave/refuse?${query}`, { method: 'POST' })
    const retry = (): string | undefined => own.log.requests.find((line) => line.includes('; retry 1 in '))
    await until('it is put off', () => retry() !== undefined)
    return retry()?.split('; ')[1]
  }

  test('waits as long as the function asks for, in seconds', async () => {
    expect(await waits(QUICK, 'code=429&after=1800')).toBe('retry 1 in 30m')
    expect(await waits(QUICK, 'code=503&after=2')).toBe('retry 1 in 2s')
  })

  test('waits until the date that the function names, at most an hour', async () => {
    const date = encodeURIComponent('Fri, 31 Dec 2199 23:59:59 GMT')
    expect(await waits(QUICK, `code=503&after=${date}`)).toBe('retry 1 in 1h')
  })

  test('waits no less than the shortest wait, whatever the function asks for', async () => {
    expect(await waits({ 'com.openfaas.retry.min_wait': '45s' }, 'code=429&after=1')).toBe('retry 1 in 45s')
    expect(await waits({}, 'code=500')).toBe('retry 1 in 10s')
  })
})

describe('a call that breaks off while it is sent', () => {
  test('is a 400, and nothing is queued', async () => {
    const queued = rig.log.requests.filter((line) => line.includes(' Queueing ')).length
    const { hostname, port } = new URL(rig.gateway.address)
    const socket = connect(Number(port), hostname)
    socket.write(
      'POST /async-function/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n',
    )
    const answer = await text(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(rig.log.requests.filter((line) => line.includes(' Queueing '))).toHaveLength(queued)
  })
})
