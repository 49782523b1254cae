// Functions that run elsewhere: calls handed on to a URL, streamed both ways, nothing followed, nothing retried.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'
import { mirrored, nodeFunction, open, startRig } from './rig.ts'
import type { Rig } from './rig.ts'

let rig: Rig
let upstream: Server
let origin: string
const requests: IncomingMessage[] = []
let next = Promise.withResolvers<void>()

const ways: Readonly<Record<string, RequestListener>> = {
  '/redirect': (_, response) => response.writeHead(307, { Location: 'http://elsewhere.invalid/x' }).end(),
  '/events': (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: 1\n\n')
    void next.promise.then(() => response.end('data: 2\n\n'))
  },
  '/mirror': (request, response) => request.pipe(response),
  '/half': (_, response) => {
    response.writeHead(200, { 'Content-Length': 100 }).write('some of it')
    setTimeout(() => response.destroy(), 20)
  },
  '/never': () => {},
}

beforeAll(async () => {
  upstream = createServer((request, response) => {
    requests.push(request)
    const way = ways[request.url ?? '']
    if (way !== undefined) return way(request, response)
    request.resume().once('end', () => response.setHeader('X-Mine', 'yes').end(`${request.method} ${request.url}`))
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  rig = await startRig(
    [
      elsewhere('plain', origin),
      elsewhere('based', `${origin}/hook/v2?key=1`),
      elsewhere('known', origin.replace('//', '//user:p%40ss@')),
      elsewhere('percent', origin.replace('//', '//user:100%@')),
      elsewhere('patient', origin, { envVars: { read_timeout: '1000h' } }),
      elsewhere('hasty', origin, { envVars: { exec_timeout: '200ms' } }),
    ],
    { upstreamTimeoutMs: 10_000 },
  )
})
beforeEach(() => void (requests.length = 0))
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  upstream.closeAllConnections()
  await new Promise((resolve) => upstream.close(resolve))
})

function elsewhere(name: string, url: string, parts: Parameters<typeof nodeFunction>[2] = {}): FunctionSpec {
  return { ...nodeFunction(name, 'none', parts), runtime: { kind: 'upstream', url } }
}

describe('a call', () => {
  test('arrives with its method, path, query and headers, under the name of the server', async () => {
    const answer = await rig.call('/function/plain/v1/a%20b?x=1', {
      method: 'PUT',
      body: 'hello',
      headers: { Host: 'shop.example', 'X-Mine': 'yes' },
    })
    expect(answer).toMatchObject({ status: 200, text: 'PUT /v1/a%20b?x=1', headers: { 'x-mine': 'yes' } })
    expect(requests[0]?.headers).toMatchObject({
      host: origin.slice(7),
      'x-forwarded-host': 'shop.example',
      'x-mine': 'yes',
    })
    expect(requests[0]?.headers).not.toHaveProperty('authorization')
  })

  test.each([
    ['', 'GET /hook/v2?key=1'],
    ['/', 'GET /hook/v2?key=1'],
    ['/items?x=1', 'GET /hook/v2/items?key=1&x=1'],
  ])('%s goes below the path of the URL', async (path, seen) => {
    expect((await rig.call(`/function/based${path}`)).text).toBe(seen)
  })

  test('has the credentials of the URL, unless the caller has its own', async () => {
    await rig.call('/function/known')
    await rig.call('/function/known', { headers: { Authorization: 'Bearer mine' } })
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Basic dXNlcjpwQHNz', 'Bearer mine'])
  })

  test('has the password as it is written where it cannot be decoded', async () => {
    await rig.call('/function/percent')
    expect(requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('user:100%').toString('base64')}`)
  })
})

describe('the answer', () => {
  test('a redirect is passed on, not followed', async () => {
    const { status, headers } = await rig.call('/function/plain/redirect', { body: 'x' })
    expect({ status, location: headers.location }).toEqual({ status: 307, location: 'http://elsewhere.invalid/x' })
  })

  test('events arrive as they are sent', async () => {
    next = Promise.withResolvers<void>()
    const response = await open(rig.gateway.address, '/function/plain/events', { method: 'GET' })
    let seen = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      seen += chunk
      if (seen === 'data: 1\n\n') next.resolve()
    }
    expect(seen).toBe('data: 1\n\ndata: 2\n\n')
  })

  test('can begin before the body of the request has ended', async () => {
    expect(await mirrored(rig.gateway.address, '/function/plain/mirror')).toEqual(['one', 'two'])
  })

  test('can take its time with a read_timeout longer than timers are', async () => {
    expect(await mirrored(rig.gateway.address, '/function/patient/mirror')).toEqual(['one', 'two'])
  })

  test('that breaks off breaks off for the caller', async () => {
    await expect(rig.call('/function/plain/half')).rejects.toThrow('aborted')
  })

  test('that does not come is a 502 by the gateway, or a 504 by the function’s own exec_timeout', async () => {
    await using hurried = await startRig([elsewhere('slow', origin)], { upstreamTimeoutMs: 200 })
    expect(await hurried.call('/function/slow/never')).toMatchObject({ status: 502, text: '' })
    expect((await rig.call('/function/hasty/never')).status).toBe(504)
  })

  test('nobody there: a 500 that says so, and works once somebody is', async () => {
    const server = createServer((_, response) => response.end('here'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    await rig.gateway.deploy(elsewhere('gone', `http://127.0.0.1:${port}`))
    expect(await rig.call('/function/gone')).toMatchObject({
      status: 500,
      text: "Can't reach service for: gone.\n",
      headers: { 'x-openfaas-internal': 'proxy' },
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    expect((await rig.call('/function/gone')).text).toBe('here')
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
})

describe('over TLS', () => {
  const missing = noCertificates()
  beforeEach((context) => context.skip(missing !== undefined, missing))

  test('a certificate of a known authority and the right name is trusted, another is not', async () => {
    using certificates = createCertificates()
    const tls = createTlsServer(
      { key: readFileSync(certificates.keyFile), cert: readFileSync(certificates.certFile) },
      (_, response) => response.end('over tls'),
    )
    await new Promise<void>((resolve) => tls.listen(0, 'localhost', resolve))
    const { port } = tls.address() as AddressInfo
    const known = getCACertificates('default')
    try {
      await rig.gateway.deploy(elsewhere('tls', `https://localhost:${port}`))
      expect((await rig.call('/function/tls')).status).toBe(500)
      setDefaultCACertificates([...known, readFileSync(certificates.caFile, 'utf8')])
      expect(await rig.call('/function/tls')).toMatchObject({ status: 200, text: 'over tls' })
    } finally {
      setDefaultCACertificates(known)
      tls.closeAllConnections()
      await new Promise((resolve) => tls.close(resolve))
    }
  })
})
