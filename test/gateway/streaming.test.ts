// Bodies pass through and are not collected; clients that are slow, rude or large hurt nobody else.

import { existsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { nodeFunction, open, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const MIB = 1024 * 1024

let rig: Rig
let seenFile: string

beforeAll(async () => {
  // What is large takes its time on a busy machine; the template's own limits are not what is tested here.
  const envVars = { exec_timeout: '60s', read_timeout: '60s', write_timeout: '60s' }
  const specs = [nodeFunction('node', 'misbehave', { envVars }), nodeFunction('echo', 'echo')]
  rig = await startRig(specs, { headersTimeoutMs: 300 })
  seenFile = join(rig.directory, 'seen')
  await rig.gateway.deploy(processFunction('first', './first-line.sh', { envVars: { SEEN_FILE: seenFile } }))
  await rig.gateway.warm('node')
})
afterAll(() => rig[Symbol.asyncDispose]())

/** A socket on which bytes are sent as they are written, and everything that comes back. */
async function rawSocket(): Promise<{
  readonly socket: Socket
  readonly text: () => string
  readonly closed: () => boolean
}> {
  const { hostname, port } = new URL(rig.gateway.address)
  const socket = connect(Number(port), hostname)
  let received = ''
  let closed = false
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => (received += chunk))
  socket.on('close', () => (closed = true))
  socket.on('error', () => {})
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  return { socket, text: () => received, closed: () => closed }
}

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
  for (let sent = 0; sent < 256; sent++) {
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
  const { socket, closed } = await rawSocket()
  socket.write('POST /function/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this')
  socket.end()
  await until('the connection is closed', closed)
  await until('the call is over', () => rig.log.requests.some((line) => line.includes('/function/echo - [499]')))
  expect((await rig.call('/function/echo')).status).toBe(200)
})

test('a client that never ends its headers is told so and closed; others are served meanwhile', async () => {
  const slow = await rawSocket()
  slow.socket.write('GET /function/node/fine HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  expect((await rig.call('/function/node/fine')).status).toBe(200)
  await until('the slow one is closed', slow.closed)
  expect(slow.text()).toMatch(/^HTTP\/1\.1 408 /)
})

test('1 MB of headers is a 431', async () => {
  const large = await rawSocket()
  large.socket.write(`GET /function/node/fine HTTP/1.1\r\nHost: x\r\nX-Large: ${'v'.repeat(MIB)}\r\n\r\n`)
  await until('it is answered', () => large.text().startsWith('HTTP/1.1 431 '))
  expect((await rig.call('/function/node/fine')).status).toBe(200)
})

test('a client that waits for 100-continue is told to go on', async () => {
  const polite = await rawSocket()
  polite.socket.write(
    'POST /function/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
  )
  await until('it may go on', () => polite.text().startsWith('HTTP/1.1 100 '))
  polite.socket.write('hello')
  await until('it is answered', () => polite.text().includes('"body":"hello"'))
  expect(polite.text()).toContain('HTTP/1.1 200 ')
})
