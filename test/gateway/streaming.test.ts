// Bodies pass through in both directions as they come, and are not collected; who leaves in the middle ends the call.

import { existsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, open, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { sent } from './raw-socket.ts'
import { startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'

const MIB = 1024 * 1024

let rig: Rig
let seenFile: string

beforeAll(async () => {
  // What is large takes its time on a busy machine; the template's own limits are not what is tested here.
  const envVars = { exec_timeout: '60s', read_timeout: '60s', write_timeout: '60s' }
  const specs = [nodeFunction('node', 'misbehave', { envVars }), nodeFunction('echo', 'echo')]
  rig = await startRig(specs)
  seenFile = join(rig.directory, 'seen')
  await rig.gateway.deploy(processFunction('first', './first-line.sh', { envVars: { SEEN_FILE: seenFile } }))
  await rig.gateway.warm('node')
})
afterAll(() => rig[Symbol.asyncDispose]())

test('an answer of 50 MB arrives whole', async () => {
  const { status, body, headers } = await rig.call('/function/node/big')
  expect({ status, length: body.byteLength, stated: headers['content-length'] }).toEqual({
    status: 200,
    length: 50 * MIB,
    stated: String(50 * MIB),
  })
  expect(body.every((byte) => byte === 0x78)).toBe(true)
})

test('the function reads the beginning of a body whose end is not sent yet', async () => {
  const { hostname, port } = new URL(rig.gateway.address)
  const request = httpRequest({ hostname, port, path: '/function/first', method: 'POST', agent: false })
  const answered = new Promise<number>((resolve, reject) => {
    request.on('response', (response) => resolve(response.resume().statusCode ?? 0))
    request.on('error', reject)
  })
  request.write('first line\n')
  await until('the function has read it', () => existsSync(seenFile))
  request.end('second line\n')
  expect(await answered).toBe(200)
})

test('a body of 256 MB, which the function reads to its end and refuses, is not collected', async () => {
  const { hostname, port } = new URL(rig.gateway.address)
  const headers = { 'Content-Type': 'text/plain' }
  const request = httpRequest({ hostname, port, path: '/function/node/fine', method: 'POST', headers, agent: false })
  const answered = new Promise<number>((resolve, reject) => {
    request.on('response', (response) => resolve(response.resume().statusCode ?? 0))
    request.on('error', reject)
  })
  const chunk = Buffer.alloc(MIB)
  const before = process.memoryUsage().rss
  let peak = before
  for (let index = 0; index < 256; index++) {
    if (!request.write(chunk)) await new Promise<void>((resolve) => request.once('drain', resolve))
    peak = Math.max(peak, process.memoryUsage().rss)
  }
  request.end()
  expect(await answered).toBe(413)
  expect((peak - before) / MIB).toBeLessThan(128)
})

test('a function that dies in the middle of a body: the caller can send the rest and has its 500', async () => {
  const { hostname, port } = new URL(rig.gateway.address)
  // A caller that says it will close is closed as soon as it has its answer, whatever it still had to send.
  const headers = { 'Content-Type': 'application/octet-stream', Connection: 'keep-alive' }
  const request = httpRequest({ hostname, port, path: '/function/node/exit', method: 'POST', headers, agent: false })
  const answered = new Promise<number>((resolve, reject) => {
    request.on('response', (response) => {
      resolve(response.resume().statusCode ?? 0)
      response.once('end', () => request.destroy())
    })
    request.on('error', reject)
  })
  request.write(Buffer.alloc(MIB))
  await until('it has died', () => rig.log.events.some(({ line }) => line.startsWith('exited with status 3')))
  request.end(Buffer.alloc(8 * MIB))
  expect(await answered).toBe(500)
})

test('a caller that leaves in the middle of the answer gives back what its call held', async () => {
  await rig.gateway.deploy(nodeFunction('single', 'misbehave', { envVars: { max_inflight: '1' } }))
  const response = await open(rig.gateway.address, '/function/single/big', { method: 'GET' })
  expect((await rig.call('/function/single/fine')).status).toBe(429)
  response.on('error', () => {})
  response.destroy()
  await until('the next call is let in', async () => (await rig.call('/function/single/fine')).status === 200)
})

test('a caller that leaves in the middle of its body ends the call', async () => {
  const { socket, closed } = await sent(
    rig.gateway.address,
    'POST /function/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this',
  )
  socket.end()
  await until('the connection is closed', closed)
  await until('the call is over', () => rig.log.requests.some((line) => line.includes('/function/echo - [499]')))
  expect((await rig.call('/function/echo')).status).toBe(200)
})

describe('a function that speaks while it works', () => {
  const UPSTREAM_TIMEOUT_MS = 2000
  const WRITE_TIMEOUT_MS = 12_000

  let live: Rig
  let upstream: Upstream
  /** The calls that have come, in their order. */
  const calls: { readonly request: IncomingMessage; readonly response: ServerResponse }[] = []

  beforeAll(async () => {
    upstream = await startUpstream('live', (request, response) => {
      calls.push({ request, response })
    })
    live = await startRig([upstream.spec], {
      upstreamTimeoutMs: UPSTREAM_TIMEOUT_MS,
      writeTimeoutMs: WRITE_TIMEOUT_MS,
      readTimeoutMs: 60_000,
    })
  })
  afterAll(async () => {
    await live[Symbol.asyncDispose]()
    await upstream[Symbol.asyncDispose]()
  })

  async function nextCall(): Promise<(typeof calls)[number]> {
    await until('the function is called', () => calls.length > 0)
    return calls.shift() as (typeof calls)[number]
  }

  /** Opened, with what has arrived of it. */
  async function opened(
    path: string,
    accept: string,
  ): Promise<{ readonly answer: IncomingMessage; text: () => string; ended: () => boolean }> {
    const answer = await open(live.gateway.address, path, { headers: { Accept: accept } })
    let text = ''
    let ended = false
    answer.setEncoding('utf8')
    answer.on('data', (chunk: string) => (text += chunk))
    answer.on('close', () => (ended = true))
    answer.on('error', () => {})
    return { answer, text: () => text, ended: () => ended }
  }

  test.each([
    ['text/event-stream', 'data: 1\n\n', 'data: 2\n\n'],
    ['text/event-stream, */*', 'data: 1\n\n', 'data: 2\n\n'],
    ['application/x-ndjson', '{"n":1}\n', '{"n":2}\n'],
  ])('%s: the head, then each event when it is sent, for longer than a call may take', async (accept, one, two) => {
    const opening = opened('/function/live/events', accept)
    const { response } = await nextCall()
    response.writeHead(200, { 'Content-Type': accept.split(',')[0] as string }).flushHeaders()
    const stream = await opening
    expect(stream.answer.headers['x-start-time']).toMatch(/^\d{19}$/)
    response.write(one)
    await until('the first event has come', () => stream.text() === one)
    // A call that is no stream has the whole of its time, and this one goes on.
    expect(await live.call('/function/live/never')).toMatchObject({ status: 502, text: '' })
    await nextCall()
    response.end(two)
    await until('the stream has ended', stream.ended)
    expect(stream.text()).toBe(one + two)
  })

  test('what is no stream ends with the time of a call, in the middle of its answer, too', async () => {
    const opening = opened('/function/live/slow', '*/*')
    const { response } = await nextCall()
    response.writeHead(200, { 'Content-Type': 'text/plain' }).write('begun')
    const slow = await opening
    await until('it is cut off', slow.ended)
    expect(slow.text()).toBe('begun')
    expect(slow.answer.complete).toBe(false)
  })

  test('a stream ends with write_timeout', async () => {
    const opening = opened('/function/live/events', 'text/event-stream')
    const { response } = await nextCall()
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n')
    const stream = await opening
    await until('it is cut off', stream.ended)
    expect(stream.answer.complete).toBe(false)
    await until('the function hears of it', () => response.destroyed)
  })

  test('a caller that leaves a stream ends the call of the function', async () => {
    const opening = opened('/function/live/events', 'text/event-stream')
    const { response } = await nextCall()
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n')
    const stream = await opening
    await until('the first event has come', () => stream.text() !== '')
    stream.answer.destroy()
    await until('the function hears of it', () => response.destroyed)
    const line = (): string => live.log.requests.find((text) => text.includes('/events - [499]')) ?? ''
    await until('the call is over', () => line() !== '')
    expect(line()).toMatch(/^Forwarded \[GET\] to \/function\/live\/events - \[499\] - \d+\.\d{4}s$/)
  })
})

test('the answer begins before the upload ends, and each chunk arrives as it is sent', async () => {
  await using upstream = await startUpstream('mirror', (request, response) => void request.pipe(response))
  await using through = await startRig([upstream.spec])
  const { hostname, port } = new URL(through.gateway.address)
  const upload = httpRequest({ hostname, port, path: '/function/mirror', method: 'POST', agent: false })
  let text = ''
  let ended = false
  upload.on('response', (answer) => {
    answer.setEncoding('utf8')
    answer.on('data', (chunk: string) => (text += chunk))
    answer.on('end', () => (ended = true))
  })
  for (const chunk of ['one ', 'two ', 'three']) {
    upload.write(chunk)
    await until(`${chunk} has come back`, () => text.endsWith(chunk))
  }
  upload.end()
  await until('the answer has ended', () => ended)
  expect(text).toBe('one two three')
})

test('200 MB through a function and back leave memory flat', { timeout: 120_000 }, async () => {
  await using upstream = await startUpstream('mirror', (request, response) => void request.pipe(response))
  await using through = await startRig([upstream.spec])
  const { hostname, port } = new URL(through.gateway.address)
  const before = process.memoryUsage().rss
  let peak = before
  let back = 0
  const upload = httpRequest({ hostname, port, path: '/function/mirror', method: 'POST', agent: false })
  const answered = new Promise<void>((resolve, reject) => {
    upload.on('error', reject)
    upload.on('response', (answer) => {
      answer.on('data', (chunk: Buffer) => (back += chunk.byteLength))
      answer.on('end', resolve).on('error', reject)
    })
  })
  const chunk = Buffer.alloc(MIB, 'x')
  for (let index = 0; index < 200; index++) {
    if (!upload.write(chunk)) await new Promise<void>((resolve) => upload.once('drain', resolve))
    peak = Math.max(peak, process.memoryUsage().rss)
  }
  upload.end()
  await answered
  expect(back).toBe(200 * MIB)
  // The client, the gateway and the function are all in this process.
  expect((peak - before) / MIB).toBeLessThan(128)
})
