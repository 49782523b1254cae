// The server of sources that are called, spoken to over real sockets.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'

import { Agent, request } from 'undici'
import { afterEach, expect, test } from 'vitest'

import { HttpEndpoint } from '../../src/sdk/index.ts'
import type { EndpointAnswer, EndpointRequest, ListenConfig } from '../../src/sdk/index.ts'
import { createCertificates, noCertificates } from '../servers/tls.ts'

const LISTEN: ListenConfig = { host: '127.0.0.1', port: 0, certFile: undefined, keyFile: undefined, bodyMax: 1000 }
const opened: HttpEndpoint[] = []
const failures: unknown[] = []

afterEach(async () => {
  for (const endpoint of opened.splice(0)) await endpoint.close()
  failures.length = 0
})

async function open(
  handle: (request: EndpointRequest) => Promise<EndpointAnswer>,
  listen: Partial<ListenConfig> = {},
): Promise<HttpEndpoint> {
  const failed = (error: unknown): void => void failures.push(error)
  const endpoint = await HttpEndpoint.open({ listen: { ...LISTEN, ...listen }, handle, failed })
  opened.push(endpoint)
  return endpoint
}

test('the handler gets the request as it was sent, and its answer goes back', async () => {
  let seen: unknown
  const { address } = await open(async ({ method, path, query, headers, remoteAddress, body }) => {
    seen = [method, path, query, headers['x-mine'], remoteAddress, (await body()).toString('latin1')]
    return { status: 202, headers: { 'X-Yours': 'too' }, body: 'taken\n' }
  })
  const answer = await fetch(`${address}/a%2Fb/c?d=e&f`, { method: 'PUT', headers: { 'X-Mine': 'yes' }, body: Buffer.from([0, 255]) }) // prettier-ignore
  expect(seen).toEqual(['PUT', '/a%2Fb/c', '?d=e&f', 'yes', '127.0.0.1', '\u0000ÿ'])
  expect([answer.status, answer.headers.get('x-yours'), answer.headers.get('content-type'), await answer.text()]).toEqual([202, 'too', 'text/plain; charset=utf-8', 'taken\n']) // prettier-ignore
})

test('bytes go back as bytes, and none of them to HEAD', async () => {
  const { address } = await open(() => Promise.resolve({ status: 200, headers: { 'Content-Type': 'image/png' }, body: new Uint8Array([0, 255]) })) // prettier-ignore
  const got = await fetch(address)
  expect([...new Uint8Array(await got.arrayBuffer())]).toEqual([0, 255])
  expect(got.headers.get('content-type')).toBe('image/png')
  const head = await fetch(address, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '2', ''])
})

test.each([
  ['with its length', Buffer.alloc(1001)],
  ['in pieces', new Blob([Buffer.alloc(600), Buffer.alloc(600)]).stream()],
])('a body over the bound, sent %s, is answered with 413', async (_, body) => {
  const { address } = await open(async (asked) => ({ status: 200, body: String((await asked.body()).byteLength) }))
  const post = (content: Buffer | ReadableStream) => fetch(address, { method: 'POST', body: content, duplex: 'half' })
  const refused = await post(body)
  expect([refused.status, await refused.text()]).toEqual([413, 'the body is larger than 1000 bytes\n'])
  expect(await (await post(Buffer.alloc(1000))).text()).toBe('1000')
  expect(failures).toEqual([])
})

test('an answer that cannot be written is said, and answered with 500', async () => {
  const { address } = await open(() => Promise.resolve({ status: 200, headers: { 'X-Bad': 'two\nlines' }, body: 'x' }))
  for (let call = 1; call <= 2; call += 1) {
    const answer = await fetch(address)
    expect([answer.status, await answer.text(), failures.length]).toEqual([500, 'internal error\n', call])
  }
})

test('a handler that throws is answered with 500, said, and not told to the caller', async () => {
  const { address } = await open(() => Promise.reject(new Error('the password is x')))
  const answer = await fetch(address)
  expect([answer.status, await answer.text()]).toEqual([500, 'internal error\n'])
  expect(failures).toEqual([new Error('the password is x')])
})

test('a caller that goes away is noticed', async () => {
  const asked = Promise.withResolvers<AbortSignal>()
  const { address } = await open(async ({ signal }) => {
    asked.resolve(signal)
    await once(signal, 'abort')
    throw new Error('nobody is there')
  })
  const caller = new AbortController()
  const call = fetch(address, { signal: caller.signal }).catch(() => 'gone')
  const signal = await asked.promise
  expect(signal.aborted).toBe(false)
  caller.abort()
  expect(await call).toBe('gone')
  await expect.poll(() => signal.aborted).toBe(true)
  expect(failures).toEqual([])
})

test('a caller that breaks off in the middle of its body disturbs nobody', async () => {
  const { address } = await open(async (asked) => ({ status: 200, body: await asked.body() }))
  const socket = connect(Number(new URL(address).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf')
  await new Promise((resolve) => void setImmediate(resolve))
  socket.resetAndDestroy()
  expect(await (await fetch(address, { method: 'POST', body: 'whole' })).text()).toBe('whole')
  expect(failures).toEqual([])
})

test('closing lets what is being answered end, and takes nothing more', async () => {
  const inside = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const endpoint = await open(async () => {
    inside.resolve()
    await goOn.promise
    return { status: 200, body: 'done' }
  })
  const call = fetch(endpoint.address)
  await inside.promise
  const closed = endpoint.close()
  await expect(fetch(endpoint.address)).rejects.toThrow('fetch failed')
  goOn.resolve()
  expect(await (await call).text()).toBe('done')
  await closed
})

test('a port that is taken is a named error, and waiting may help', async () => {
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await expect(open(() => Promise.resolve({ status: 200 }), { port })).rejects.toMatchObject({ code: 'HUB_SOURCE_LISTEN', canRetry: true, message: expect.stringContaining(`127.0.0.1:${port}`) as string }) // prettier-ignore
  other.close()
})

const missing = noCertificates()
test.skipIf(missing !== undefined)('HTTPS with a certificate, and a certificate that is none', async () => {
  using files = createCertificates()
  const { certFile, keyFile, caFile } = files
  const { address } = await open(() => Promise.resolve({ status: 200, body: 'over TLS' }), { certFile, keyFile })
  const dispatcher = new Agent({ connect: { ca: readFileSync(caFile) } })
  const answer = await request(`https://localhost:${new URL(address).port}/`, { dispatcher })
  expect([new URL(address).protocol, await answer.body.text()]).toEqual(['https:', 'over TLS'])
  await dispatcher.close()
  const refused = (listen: Partial<ListenConfig>): Promise<unknown> => open(() => Promise.resolve({ status: 200 }), listen) // prettier-ignore
  await expect(refused({ certFile: keyFile, keyFile: certFile })).rejects.toMatchObject({ code: 'HUB_SOURCE_TLS' })
  await expect(refused({ certFile })).rejects.toMatchObject({ code: 'HUB_SOURCE_TLS', message: expect.stringContaining('listen.keyFile') as string }) // prettier-ignore
})
