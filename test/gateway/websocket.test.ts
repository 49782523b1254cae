// WebSockets to functions that run elsewhere: a tunnel once the function agrees, a plain answer where it does not.

import { connect } from 'node:net'
import type { IncomingMessage } from 'node:http'

import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'

import { rawSocket, sent } from './raw-socket.ts'
import { nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'
import { dial, refused } from './web-socket-client.ts'

const CALL_MS = 1000
const CONNECTION_MS = 2500
/** More than sockets hold. */
const MUCH_BYTES = 60_000_000

let rig: Rig
let upstream: Upstream
let server: WebSocketServer
/** As the function has them. */
const opened: { readonly socket: WebSocket; readonly request: IncomingMessage }[] = []

beforeAll(async () => {
  upstream = await startUpstream('talk', (request, response) => {
    if (request.url !== '/never') response.writeHead(200).end('plain')
  })
  server = new WebSocketServer({
    server: upstream.server,
    handleProtocols: () => 'chat',
    verifyClient: ({ req }: { req: IncomingMessage }, answer: (ok: boolean, code?: number, text?: string) => void) =>
      answer(req.headers.authorization !== 'nobody', 401, 'not you'),
  })
  server.on('connection', (socket, request) => {
    opened.push({ socket, request })
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  rig = await startRig(
    [
      upstream.spec,
      { ...upstream.spec, name: 'one', envVars: { max_inflight: '1' } },
      nodeFunction('answers', 'answers'),
    ],
    { upstreamTimeoutMs: CALL_MS, writeTimeoutMs: CONNECTION_MS, readTimeoutMs: CONNECTION_MS },
  )
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  for (const client of server.clients) client.terminate()
  await upstream[Symbol.asyncDispose]()
})

test('text and bytes go both ways, for longer than a call or an answer may take, and the headers are those of a call', async () => {
  const client = await dial(rig.gateway.address, '/function/talk/room/1?as=me', { 'X-Mine': 'yes' })
  const { request } = opened.at(-1) as (typeof opened)[number]
  expect(request.url).toBe('/room/1?as=me')
  expect(request.headers).toMatchObject({ 'x-mine': 'yes', upgrade: 'websocket' })
  expect(request.headers['x-call-id']).toBe(client.headers['x-call-id'])
  expect(client.headers['x-start-time']).toMatch(/^\d{19}$/)
  expect(client.socket.protocol).toBe('chat')
  client.socket.send('before')
  await until('it has come back', () => client.messages.length === 1)
  // Each has all of its time, together more than a connection has, and the tunnel stands.
  for (let call = 0; call < 3; call++) expect((await rig.call('/function/talk/never')).status).toBe(502)
  client.socket.send(Buffer.from([0, 255]))
  await until('it has come back', () => client.messages.length === 2)
  expect(client.messages).toEqual(['before', '00ff'])
  const large = 'x'.repeat(1024 * 1024)
  client.socket.send(large)
  await until('it has come back', () => client.messages.length === 3)
  expect(client.messages[2] === large).toBe(true)
  client.socket.close()
  await until('the call is logged', () => rig.log.requests.some((line) => line.includes('/room/1?as=me - [101] - ')))
  expect((await rig.call('/metrics')).text).toContain(
    'gateway_function_invocation_total{function_name="talk.openfaas-fn",code="101"} 1\n',
  )
})

test('whoever leaves, the other side hears of it', async () => {
  const leaving = await dial(rig.gateway.address, '/function/talk/a')
  const { socket } = opened.at(-1) as (typeof opened)[number]
  leaving.socket.terminate()
  await until('the function hears of it', () => socket.readyState === WebSocket.CLOSED)
  const left = await dial(rig.gateway.address, '/function/talk/b')
  opened.at(-1)?.socket.terminate()
  await until('the caller hears of it', () => left.socket.readyState === WebSocket.CLOSED)
  expect(await rig.call('/function/talk')).toMatchObject({ status: 200, text: 'plain' })
})

test('bytes that come right behind the request reach the function', async () => {
  const { hostname, port } = new URL(rig.gateway.address)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
  socket.on('error', () => {})
  const head = 'GET /function/talk HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
  const frame = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])
  socket.write(Buffer.concat([Buffer.from(`${head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`), frame])) // prettier-ignore
  await until('they have come back', () => text.endsWith('\x81\x02hi'))
  expect(text).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
  expect(text.match(/^connection: upgrade\r$/gim)).toHaveLength(1)
  socket.destroy()
})

test.each([
  ['/function/talk', { Authorization: 'nobody' }, 401, 'not you'],
  ['/function/answers/text', {}, 200, 'hello'],
  ['/function/nobody', {}, 503, 'No endpoints available for: nobody.\n'],
  ['/function/talk/../nobody', {}, 503, 'No endpoints available for: nobody.\n'],
  ['/function/e:o', {}, 404, '404 page not found\n'],
])('%s with %j is not let in: %i', async (path, headers, status, text) => {
  const calls = rig.log.requests.length
  expect(await refused(rig.gateway.address, path, headers)).toEqual([status, text])
  if (status !== 404) await until('the call is over', () => rig.log.requests.length > calls)
})

test('a tunnel is a call in flight until it ends', async () => {
  const client = await dial(rig.gateway.address, '/function/one')
  expect((await rig.call('/function/one')).status).toBe(429)
  expect((await refused(rig.gateway.address, '/function/one'))[0]).toBe(429)
  client.socket.close()
  await until('the next one is let in', async () => (await rig.call('/function/one')).status === 200)
})

test('behind a request that is still to be answered there is no tunnel, and the gateway stands', async () => {
  const ahead = 'GET /function/answers/text HTTP/1.1\r\nHost: x\r\n\r\n'
  const asking = 'Host: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n'
  const raw = await sent(rig.gateway.address, `${ahead}GET /function/answers/created HTTP/1.1\r\n${asking}`)
  await until('it is answered', raw.closed)
  expect(raw.text()).toMatch(/^HTTP\/1\.1 200 .*\r\n\r\nhelloHTTP\/1\.1 201 .*\r\n\r\nmade$/s)
})

test('an answer that is no tunnel has to be read in the time that answers have', async () => {
  await rig.gateway.deploy(processFunction('much', `head -c ${MUCH_BYTES} /dev/zero`))
  const { socket, text, closed } = await rawSocket(rig.gateway.address)
  socket.once('data', () => socket.pause())
  socket.write('GET /function/much HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await until('it begins', () => text() !== '')
  // Each has all of its time, together more than an answer has.
  for (let call = 0; call < 3; call++) expect((await rig.call('/function/talk/never')).status).toBe(502)
  socket.resume()
  await until('it is over', closed)
  expect(text().length).toBeLessThan(MUCH_BYTES)
})

test('a gateway that is closed ends its tunnels', async () => {
  await using own = await startRig([upstream.spec])
  const client = await dial(own.gateway.address, '/function/talk')
  await own.gateway.close()
  await until('the caller hears of it', () => client.socket.readyState === WebSocket.CLOSED)
  expect(client.socket.readyState).toBe(WebSocket.CLOSED)
})
