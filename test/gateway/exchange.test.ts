// Answers in every way in which they can arrive: whole, in pieces, without a body, too fast for their reader, or never.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { open, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { sent } from './raw-socket.ts'
import { startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'

const MIB = 1024 * 1024
/** Of a function: what a runtime opens at most. */
const CONNECTIONS = 256

let rig: Rig
let upstream: Upstream
let calls: { readonly request: IncomingMessage; readonly response: ServerResponse }[] = []

beforeAll(async () => {
  upstream = await startUpstream('slow', (request, response) => {
    request.resume()
    calls.push({ request, response })
  })
  rig = await startRig([upstream.spec])
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})

async function nextResponse(): Promise<ServerResponse> {
  await until('the function is called', () => calls.length > 0)
  return (calls.shift() as (typeof calls)[number]).response
}

test('an answer of a stated length comes in the pieces in which it is sent', async () => {
  const opening = open(rig.gateway.address, '/function/slow', {})
  const response = await nextResponse()
  response.writeHead(200, { 'Content-Length': 6 }).write('one')
  const answer = await opening
  let text = ''
  answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await until('the first piece is there', () => text === 'one')
  response.end('two')
  await until('the answer is complete', () => answer.complete)
  expect(text).toBe('onetwo')
})

test.each([
  ['GET', 204, {}],
  ['GET', 304, { ETag: '"1"' }],
  ['HEAD', 200, {}],
  ['HEAD', 200, { 'Content-Length': '1234' }],
])('%s with status %i and %j has no body, and no length but that of the function', async (method, status, headers) => {
  const asked = sent(rig.gateway.address, `${method} /function/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  ;(await nextResponse()).writeHead(status, headers).end()
  const client = await asked
  await until('the connection ends', client.closed)
  expect(client.text()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*\\r\\n\\r\\n$`))
  const lengths = [...client.text().matchAll(/^content-length: (\d+)\r$/gim)].map(([, length]) => length)
  expect(lengths).toEqual('Content-Length' in headers ? [headers['Content-Length']] : [])
  expect(client.text()).not.toMatch(/transfer-encoding/i)
})

test('what comes before the answer is not the answer', async () => {
  const asking = rig.call('/function/slow')
  const response = await nextResponse()
  response.writeEarlyHints({ link: '</style.css>; rel=preload' })
  response.end('late')
  expect(await asking).toMatchObject({ status: 200, text: 'late' })
})

test('a reader that does not read stops the function, not the memory of the gateway', async () => {
  const opening = open(rig.gateway.address, '/function/slow', {})
  const response = await nextResponse()
  const chunk = Buffer.alloc(MIB, 'x')
  response.writeHead(200)
  let written = 0
  // Everything between the two ends holds what it can; then the function has to wait.
  const fill = (): void => {
    while (written < 200) {
      written += 1
      if (!response.write(chunk)) return
    }
  }
  response.on('drain', fill)
  fill()
  const answer = await opening
  let before = -1
  await until('nothing moves any more', async () => {
    const isStill = before === written && response.writableNeedDrain
    before = written
    for (let call = 0; call < 5; call++) await rig.call('/healthz')
    return isStill
  })
  expect(written).toBeLessThan(64)
  let bytes = 0
  answer.on('data', (part: Buffer) => (bytes += part.byteLength))
  await until('it takes the rest once it is read', () => written === 200)
  response.end()
  await until('the answer is complete', () => answer.complete)
  expect(bytes).toBe(200 * MIB)
})

test(
  'a caller that leaves while its call waits for a connection is never called for',
  { timeout: 120_000 },
  async () => {
    const held = Array.from({ length: CONNECTIONS }, () => rig.call('/function/slow/held'))
    await until('every connection is taken', () => calls.length === CONNECTIONS)
    const leaving = new AbortController()
    const waiting = rig.call('/function/slow/waiting', { signal: leaving.signal }).catch(() => 'left')
    const before = rig.log.requests.length
    // Its request has been read by the time another one's answer has come.
    await rig.call('/healthz')
    leaving.abort()
    expect(await waiting).toBe('left')
    await until('its call is over', () =>
      rig.log.requests.slice(before).some((line) => line.includes('/waiting - [499]')),
    )
    for (const { response } of calls) response.end('done')
    expect(new Set((await Promise.all(held)).map(({ status }) => status))).toEqual(new Set([200]))
    expect(calls.filter(({ request }) => request.url === '/waiting')).toEqual([])
    calls = []
  },
)
