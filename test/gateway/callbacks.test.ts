// Posting callbacks, without a gateway around it: what is bounded, and which certificates are accepted.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'

import { describe, expect, test } from 'vitest'

import { Callbacks } from '../../src/gateway/queue/callbacks.ts'
import type { CallbacksOptions, FinishedCall } from '../../src/gateway/queue/callbacks.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import { startReceiver } from './receiver.ts'
import { until } from './rig.ts'

const lines: string[] = []
const open = (options: Partial<CallbacksOptions> = {}): Callbacks =>
  new Callbacks({ gatewayUrl: 'http://127.0.0.1:1', timeoutMs: 30_000, insecureTls: false, responseBytesMax: 1000, userAgent: 'test/1', log: (line) => lines.push(line), ...options }) // prettier-ignore

function finished(body = 'hello', signal = new AbortController().signal): FinishedCall {
  return {
    number: 7,
    message: { id: 'mine', source: 'faas-request', topic: 'f', body: Buffer.alloc(0), headers: {}, attempt: 1, timestampMs: 0 }, // prettier-ignore
    result: {
      function: 'f',
      status: 200,
      headers: [],
      body: Buffer.from(body),
      durationMs: 1,
      retries: 1,
      retriesMax: 3,
    },
    durationMs: 1234.5678,
    signal,
  }
}

describe('room', () => {
  const NEVER = new AbortController().signal

  test.each([
    ['callbacks', { pendingMax: 2 }],
    ['bytes', { pendingBytesMax: 10 }],
  ])('is bounded in %s: what hangs keeps others from being taken up, until it ends', async (_, bound) => {
    await using silent = await startReceiver(200, {}, () => false)
    using callbacks = open(bound)
    await callbacks.room(NEVER)
    const cancelled = new AbortController()
    const posts = [
      callbacks.post(silent.url, finished('hello', cancelled.signal)),
      callbacks.post(silent.url, finished('world')),
    ]
    let hasRoom = false
    const room = callbacks.room(NEVER).then(() => (hasRoom = true))
    await until('both are on their way', () => silent.received.length === 2)
    expect(hasRoom).toBe(false)
    cancelled.abort()
    await room
    expect(await posts[0]).toBe(true)
    callbacks[Symbol.dispose]()
    // To be posted again: nobody cancelled it.
    expect(await posts[1]).toBe(false)
  })

  test('is not waited for when nothing is taken up any more', async () => {
    await using silent = await startReceiver(200, {}, () => false)
    using callbacks = open({ pendingMax: 1 })
    void callbacks.post(silent.url, finished())
    const stop = new AbortController()
    const room = callbacks.room(stop.signal)
    stop.abort()
    await room
    expect(stop.signal.aborted).toBe(true)
  })
})

test('all of the contract’s headers, whatever the function says of itself', async () => {
  await using receiver = await startReceiver()
  using callbacks = open()
  const call = finished()
  const headers = ['X-Duration-Seconds', '9', 'X-Function-Name', 'other', 'X-Mine', 'a', 'X-Mine', 'b', 'Connection', 'close', 'Transfer-Encoding', 'chunked'] // prettier-ignore
  expect(await callbacks.post(`${receiver.url}/x`, { ...call, result: { ...call.result, headers } })).toBe(true)
  expect(receiver.received).toMatchObject([
    {
      url: '/x',
      body: 'hello',
      headers: {
        'x-call-id': 'mine',
        'x-duration-seconds': '1.234568',
        'x-function-name': 'f',
        'x-function-status': '200',
        'x-mine': 'a, b',
        'x-retry': '1',
        'x-retry-max': '3',
        'user-agent': 'test/1',
        'content-length': '5',
      },
    },
  ])
})

test('a certificate that nobody has signed is refused, unless any will do', async ({ skip }) => {
  const missing = noCertificates()
  if (missing !== undefined) skip(missing)
  using certificates = createCertificates()
  const server = createServer({ cert: readFileSync(certificates.certFile), key: readFileSync(certificates.keyFile) })
  server.on('request', (_, response) => response.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  using strict = open()
  using lenient = open({ insecureTls: true })
  await strict.post(url, finished())
  expect(lines.at(-1)).toMatch(/^\[#7\] Error posting result for f to callback-url: https:.*: .*certificate/)
  await lenient.post(url, finished())
  expect(lines.at(-1)).toBe(`[#7] Posted result for f to callback-url: ${url}, status: 200`)
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
