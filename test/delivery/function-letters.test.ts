import type { IncomingMessage } from 'node:http'

import { afterEach, expect, test } from 'vitest'

import { FunctionLetters } from '../../src/delivery/function-letters.ts'
import { HttpInvoker } from '../../src/invoke/http-invoker.ts'
import { systemClock } from '../../src/sdk/index.ts'
import type { DeadLetter, HubError } from '../../src/sdk/index.ts'
import { HttpListener } from '../http-listener.ts'

const LETTER: DeadLetter = {
  message: {
    id: 'mqtt:alarms/1#7',
    source: 'mqtt',
    topic: 'alarms/1',
    body: Buffer.from([0, 255, 10]),
    contentType: 'application/octet-stream',
    headers: { 'X-Mqtt-Qos': '1' },
    attempt: 1,
    timestampMs: 0,
    path: '/v1',
  },
  function: 'siren.prod',
  reason: 'antwortete 500 — “nein”\r\nX-Evil: 1',
  status: 500,
  attempts: 6,
  failedAtMs: Date.UTC(2026, 0, 2),
}

let things = new AsyncDisposableStack()
afterEach(async () => {
  await things.disposeAsync()
  things = new AsyncDisposableStack()
})

async function keeper(status: number, mode: 'sync' | 'async' = 'sync') {
  const asked: { request: IncomingMessage; body: Buffer }[] = []
  const gateway = things.use(
    new HttpListener((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        asked.push({ request, body: Buffer.concat(chunks) })
        response.writeHead(status).end()
      })
    }),
  )
  await gateway.start()
  const invoker = new HttpInvoker({ gatewayUrl: gateway.url, connector: 'dead-letters', contentType: 'text/plain', userAgent: 'test', connectionsMax: 2, clock: systemClock }) // prettier-ignore
  things.defer(() => invoker.close())
  return { gateway, asked, letters: new FunctionLetters({ function: 'keep.prod', mode, timeoutMs: 30_000, invoker }) }
}

test('a function gets the event as it was, and why it is a dead letter in headers that HTTP can carry', async () => {
  const { letters, asked } = await keeper(200)
  await letters.put(LETTER)
  expect(asked).toHaveLength(1)
  const { request, body } = asked[0] as (typeof asked)[0]
  expect([request.method, request.url, [...body]]).toEqual(['POST', '/function/keep.prod', [0, 255, 10]])
  expect(request.headers).toMatchObject({
    'content-type': 'application/octet-stream',
    'x-topic': 'alarms/1',
    'x-connector': 'dead-letters',
    'x-mqtt-qos': '1',
    'x-hub-function': 'siren.prod',
    'x-hub-reason': Buffer.from(LETTER.reason).toString('base64'),
    'x-hub-reason-enc': 'b64',
    'x-hub-status': '500',
    'x-hub-attempts': '6',
    'x-hub-failed-at': '2026-01-02T00:00:00.000Z',
    'x-hub-connector': 'mqtt',
    'x-hub-event-id': 'mqtt:alarms/1#7',
  })
  expect(request.headers['x-evil']).toBeUndefined()
})

test('what an event claims in headers of those names is left out, whatever its spelling', async () => {
  const { letters, asked } = await keeper(200)
  const headers = { 'x-hub-function': 'other.prod', 'X-HUB-REASON-ENC': 'none', 'X-Hub-Signature': 'sha1=1' }
  const moreHeaders = ['x-hub-function', 'third.prod', 'X-Hub-Signature', 'sha1=2']
  await letters.put({ ...LETTER, reason: 'answered 500', message: { ...LETTER.message, headers, moreHeaders } })
  expect(asked[0]?.request.headersDistinct).toMatchObject({
    'x-hub-function': ['siren.prod'],
    'x-hub-reason': ['answered 500'],
    'x-hub-signature': ['sha1=1', 'sha1=2'],
  })
  expect(asked[0]?.request.headersDistinct).not.toHaveProperty('x-hub-reason-enc')
})

test('a letter without a status has none of its event', async () => {
  const { letters, asked } = await keeper(200)
  const { status: _, ...unanswered } = LETTER
  await letters.put({ ...unanswered, message: { ...LETTER.message, moreHeaders: ['X-Hub-Status', '200'] } })
  expect(asked[0]?.request.headersDistinct).not.toHaveProperty('x-hub-status')
})

test('with mode async the queue takes it', async () => {
  const { letters, asked } = await keeper(202, 'async')
  await letters.put(LETTER)
  expect(asked[0]?.request.url).toBe('/async-function/keep.prod')
})

test.each([301, 404, 500])('%i is not kept, and says who is to blame', async (status) => {
  const { letters } = await keeper(status)
  const error = await letters.put(LETTER).then(() => expect.fail('it was kept'), (refused: unknown) => refused as HubError) // prettier-ignore
  expect(error).toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED', canRetry: true })
  expect(error.message).toBe(`keep.prod, which takes the dead letters, answered ${status}`)
})

test('neither is what nobody has answered', async () => {
  const { letters, gateway } = await keeper(200)
  await gateway.stop()
  await expect(letters.put(LETTER)).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED' })
})
