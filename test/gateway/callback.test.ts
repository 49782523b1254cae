// Callbacks of async calls: where they go, what they carry, and what becomes of the call when they fail (OpenFaaS contract,
// callback).

import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import { startReceiver } from './receiver.ts'
import type { Received, Receiver } from './receiver.ts'
import { nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

let rig: Rig
let receiver: Receiver

beforeAll(async () => {
  rig = await startRig(
    [nodeFunction('misbehave', 'misbehave'), processFunction('cat', 'cat'), processFunction('single', 'cat', { envVars: { max_inflight: '1' } })], // prettier-ignore
    { queue: { callbackTimeoutMs: 2000, retry: { attempts: 0, codes: new Set(), redirectsSucceed: true, minWaitMs: 0, maxWaitMs: 0, jitter: 'none' } } }, // prettier-ignore
  )
  receiver = await startReceiver()
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await receiver[Symbol.asyncDispose]()
})

function post(path: string, callbackUrl: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> {
  return rig.call(`/async-function/${path}`, { method: 'POST', headers: { 'X-Callback-Url': callbackUrl, ...headers }, body }) // prettier-ignore
}

let calls = 0
const ownPath = (): string => `/done/${++calls}`
const sentTo = (path: string): Received[] => receiver.received.filter(({ url }) => url === path)

async function called(path: string): Promise<Received> {
  await until(`the callback to ${path}`, () => sentTo(path).length > 0)
  return sentTo(path)[0] as Received
}

const idle = (): Promise<void> => until('all calls are over', () => rig.gateway.queueLength === 0)
const forwarded = (path: string): number => rig.log.requests.filter((line) => line.startsWith(`Forwarded [POST] to ${path} `)).length // prettier-ignore

describe('what it carries', () => {
  test('the start time of the call as its 202 said it, and a duration with six decimals', async () => {
    const path = ownPath()
    const { headers } = await post('cat', receiver.url + path, {}, 'hello')
    const sent = await called(path)
    expect(sent).toMatchObject({ method: 'POST', body: 'hello' })
    expect(sent.headers['x-start-time']).toBe(headers['x-start-time'])
    expect(sent.headers['x-call-id']).toBe(headers['x-call-id'])
    expect(sent.headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('a start time of the caller does not replace it', async () => {
    const path = ownPath()
    const { headers } = await post('cat', receiver.url + path, { 'X-Start-Time': '1' })
    expect((await called(path)).headers['x-start-time']).toBe(headers['x-start-time'])
  })

  test('a redirect that the function answered with, which ends the call well', async () => {
    const path = ownPath()
    await post('misbehave/refuse?code=302', receiver.url + path)
    const { headers, body } = await called(path)
    expect({ ...headers, body }).toMatchObject({ 'x-function-status': '302', 'x-mine': 'yes', body: 'refused' })
    await idle()
    expect(rig.log.requests.filter((line) => line.includes('dead letter') && line.includes('302'))).toEqual([])
  })

  test('503 and the reason where the function does not exist', async () => {
    const path = ownPath()
    await post('nobody.nowhere', receiver.url + path)
    const { headers, body } = await called(path)
    expect(headers).toMatchObject({ 'x-function-status': '503', 'x-function-name': 'nobody.nowhere' })
    expect(body).toBe('No endpoints available for: nobody.nowhere.\n')
    await idle()
    using letters = new SqliteDeadLetters(join(rig.directory, 'state', 'async-dead-letters.db'))
    expect(letters.list(10)).toMatchObject([
      { function: 'nobody.nowhere', message: { source: 'faas-request' }, status: 503 },
    ])
  })
})

describe('of a long answer', () => {
  const MIB = 1024 * 1024

  test('it has the first 8 MiB, and the log says so', async () => {
    const path = ownPath()
    await post('misbehave/big', receiver.url + path)
    expect((await called(path)).body).toBe('x'.repeat(8 * MIB))
    expect(rig.log.requests.filter((line) => line.endsWith('The answer of misbehave is cut at 8MiB for its callback'))).toHaveLength(1) // prettier-ignore
  })

  test('that is no longer, all of it', async () => {
    await using own = await startRig([nodeFunction('sized', 'misbehave')])
    await own.call('/async-function/sized/big?mib=8', { method: 'POST', headers: { 'X-Callback-Url': `${receiver.url}/8` } }) // prettier-ignore
    expect((await called('/8')).body).toBe('x'.repeat(8 * MIB))
    await until('it is over', () => own.gateway.queueLength === 0)
    expect(own.log.requests.filter((line) => line.includes(' is cut at '))).toEqual([])
  })
})

describe('where it goes', () => {
  test.each([307, 308])('on after a %i, with method and body', async (status) => {
    const [here, there] = [ownPath(), ownPath()]
    await using moved = await startReceiver(status, { Location: receiver.url + there })
    await post('cat', moved.url + here, {}, 'hello')
    const sent = await called(there)
    expect(sent).toMatchObject({ method: 'POST', body: 'hello', headers: { 'x-function-status': '200' } })
    expect(moved.received.map(({ method, url, body }) => [method, url, body])).toEqual([['POST', here, 'hello']])
  })

  test.each([301, 302, 303])('nowhere after a %i: as a GET the result would be lost', async (status) => {
    const [here, there] = [ownPath(), ownPath()]
    await using moved = await startReceiver(status, { Location: receiver.url + there })
    await post('cat', moved.url + here)
    await until('it is logged', () => rig.log.requests.some((line) => line.endsWith(`callback-url: ${moved.url}${here}, status: ${status}`))) // prettier-ignore
    expect(moved.received.map(({ method }) => method)).toEqual(['POST'])
    expect(sentTo(there)).toEqual([])
  })

  test('in circles for a few rounds only', async () => {
    await using moved = await startReceiver(308, { Location: '/round' })
    await post('cat', `${moved.url}/round`)
    await idle()
    expect(moved.received.length).toBe(4)
  })

  test('to a function of this gateway where the URL is relative', async () => {
    await post('misbehave/fine', '/function/cat/relative')
    await until('it has run', () => forwarded('/function/cat/relative') > 0)
    await idle()
    expect(forwarded('/function/cat/relative')).toBe(1)
  })

  test('to a queued call of this gateway', async () => {
    await post('misbehave/fine', `${rig.gateway.address}/async-function/cat/chained`)
    await until('it has run', () => forwarded('/function/cat/chained') > 0)
    await idle()
    expect(forwarded('/function/cat/chained')).toBe(1)
  })

  test('with the credentials of the URL, which no log line has', async () => {
    const path = ownPath()
    await post('cat', receiver.url.replace('http://', 'http://us%40er:pa%3Ass@') + path)
    const { headers } = await called(path)
    expect(headers.authorization).toBe(`Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`)
    await idle()
    expect(rig.log.requests.filter((line) => /pa(%3A|:)ss/.test(line))).toEqual([])
    expect(rig.log.requests.some((line) => line.endsWith(`Callback to: ${receiver.url}${path}`))).toBe(true)
  })
})

describe('one that fails', () => {
  test('is sent once, whatever it is answered with, and the call is over', async () => {
    await using angry = await startReceiver(500)
    await post('cat', `${angry.url}/angry`)
    await idle()
    expect(angry.received).toHaveLength(1)
  })

  test('does not keep a slot of its function while it hangs, and hangs for its time only', async () => {
    await using silent = await startReceiver(200, {}, () => false)
    const url = `${silent.url}/silent`
    for (const id of ['h1', 'h2', 'h3']) await post('single', url, { 'X-Call-Id': id })
    await until('all three hang', () => silent.received.length === 3)
    await idle()
    const errors = rig.log.requests.filter((line) => line.includes(`Error posting result for single to callback-url: ${url}`)) // prettier-ignore
    expect(errors).toHaveLength(3)
  })

  test('of a scheme that is not HTTP is logged', async () => {
    await post('cat', 'ftp://nowhere/x')
    await idle()
    expect(rig.log.requests.some((line) => line.includes('Error posting result for cat to callback-url: ftp://nowhere/x'))).toBe(true) // prettier-ignore
  })
})
