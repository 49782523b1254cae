// What HTTP asks of something in the middle, seen from both ends byte for byte: a raw client, and a function that runs
// elsewhere and keeps what it was sent.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { sent } from './raw-socket.ts'
import { startUpstream } from './upstream.ts'
import type { Upstream } from './upstream.ts'

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly rawHeaders: readonly string[]
  readonly trailers: NodeJS.Dict<string>
  readonly body: string
}

let rig: Rig
let upstream: Upstream
let seen: Seen[] = []

function serve(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const { method, url, rawHeaders, trailers } = request
    seen.push({ method, url, rawHeaders, trailers, body: Buffer.concat(chunks).toString('latin1') })
    if (url?.startsWith('/chunks') === true) {
      response.writeHead(200, { 'Content-Type': 'text/plain', Trailer: 'X-After' })
      response.write('one ')
      response.addTrailers({ 'X-After': '1' })
      response.end('two')
    } else if (url === '/hops') {
      const hops = [
        'Connection',
        'X-Hop, keep-alive',
        'X-Hop',
        '1',
        'Keep-Alive',
        'timeout=1',
        'Proxy-Authenticate',
        'Basic',
      ]
      response.writeHead(200, [...hops, 'Upgrade', 'h2c', 'X-Kept', 'a', 'X-Kept', 'b', 'Content-Length', '0']).end()
    }
    // As bytes: before a text, Node would write the head in UTF-8, too.
    else response.writeHead(200, { 'Content-Length': 2, 'X-Raw': '\xe9\xff' }).end(Buffer.from('ok'))
  })
}

beforeAll(async () => {
  upstream = await startUpstream('raw', serve)
  rig = await startRig([upstream.spec])
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
})
beforeEach(() => {
  seen = []
})

/** Everything that comes back on a connection that the gateway closes in the end. */
async function exchange(bytes: string): Promise<string> {
  const client = await sent(rig.gateway.address, bytes)
  await until('the connection ends', client.closed)
  return client.text()
}

describe('the path and the query arrive byte for byte', () => {
  test.each([
    ['/function/raw', '/'],
    ['/function/raw/', '/'],
    ['/function/raw?', '/?'],
    ['/function/raw/?', '/?'],
    ['/function/raw.openfaas-fn/a', '/a'],
    ['/function/raw/a%2Fb/%2e%2e/%2E/c', '/a%2Fb/%2e%2e/%2E/c'],
    ["/function/raw/a;x=1,2/b:c@d!$&'()*+=~", "/a;x=1,2/b:c@d!$&'()*+=~"],
    ['/function/raw/a%zz%', '/a%zz%'],
    ['/function/raw/.well-known/x', '/.well-known/x'],
    ['/function/raw/v1?a=1&a=2;b&&=&c=%20+%00&d=//../?e=?', '/v1?a=1&a=2;b&&=&c=%20+%00&d=//../?e=?'],
    ['/function/raw/|"<>^`{}?|"<>^`{}[]', '/|"<>^`{}?|"<>^`{}[]'],
  ])('%s', async (target, expected) => {
    expect(await exchange(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /)
    expect(seen.map(({ url }) => url)).toEqual([expected])
  })

  test('so they do from a proxy, which names the whole URL', async () => {
    await exchange('GET http://gateway.example:8080/function/raw/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(seen[0]?.url).toBe('/a?b')
  })
})

describe('headers', () => {
  test('each arrives once, in its spelling and order, its value byte for byte', async () => {
    await exchange(
      'POST /function/raw HTTP/1.1\r\nhOsT: shop.example\r\nX-b: 1\r\nx-A: \xe9\xfftext\r\nX-b: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi',
    )
    const [first] = seen
    const given = first?.rawHeaders.join('|')
    expect(given).toContain('X-b|1|x-A|\xe9\xfftext|X-b|2')
    expect(given).toContain('X-Forwarded-Host|shop.example')
    expect(first?.body).toBe('hi')
  })

  test('bytes of the answer that are no UTF-8 are passed on', async () => {
    const text = await exchange('GET /function/raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(text).toContain('X-Raw: \xe9\xff\r\n')
  })

  test('those of the connection to the function end at the gateway', async () => {
    const text = await exchange('GET /function/raw/hops HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(text).not.toMatch(/x-hop|keep-alive|proxy-authenticate|upgrade/i)
    expect(text).toContain('X-Kept: a\r\nX-Kept: b\r\n')
    expect(text).toContain('Connection: close\r\n')
  })

  test('trailers end at the gateway, in both directions', async () => {
    const text = await exchange(
      'POST /function/raw/chunks HTTP/1.1\r\nHost: x\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n',
    )
    expect(text).not.toMatch(/trailer|x-after/i)
    expect(seen[0]).toMatchObject({ body: 'hi', trailers: {} })
    expect(seen[0]?.rawHeaders.join('|')).not.toMatch(/trailer|x-late/i)
  })

  test('an upgrade that nobody offers is a plain request', async () => {
    const text = await exchange(
      'GET /function/raw HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
    )
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(seen[0]?.rawHeaders.join('|')).not.toMatch(/upgrade|http2-settings/i)
  })
})

describe('clients of all ages', () => {
  test('HTTP/1.0: no chunks, and the connection ends with the answer', async () => {
    const text = await exchange('GET /function/raw/chunks HTTP/1.0\r\n\r\n')
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(text).not.toMatch(/transfer-encoding/i)
    expect(text.endsWith('\r\n\r\none two')).toBe(true)
    expect(seen[0]?.rawHeaders.join('|')).not.toMatch(/X-Forwarded-Host/)
  })

  test('requests sent without waiting are answered in their order', async () => {
    const get = (path: string, connection: string): string =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n\r\n`
    const text = await exchange(
      get('/function/raw/chunks', 'keep-alive') + get('/function/nobody', 'keep-alive') + get('/function/raw', 'close'),
    )
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 503', 'HTTP/1.1 200'])
  })

  test('a body is asked for when there is a function to read it', async () => {
    const head = 'HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n'
    const client = await sent(rig.gateway.address, `POST /function/raw ${head}Connection: close\r\n\r\n`)
    await until('it may go on', () => client.text().startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
    client.socket.write('hello')
    await until('the connection ends', client.closed)
    expect(client.text()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
    expect(seen[0]?.body).toBe('hello')
    // The body that would not be read would be taken for the next request: so there is none.
    expect(await exchange(`POST /function/nobody ${head}\r\n`)).toMatch(/^HTTP\/1\.1 503 /)
  })

  test.each([
    ['OPTIONS * HTTP/1.1\r\nHost: x', 200],
    ['CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443', 405],
    ['GET /function/raw HTTP/1.1\r\nHost: x\r\nExpect: the-impossible', 417],
    ['PROPFIND /function/raw HTTP/1.1\r\nHost: x', 405],
  ])('%s', async (head, status) => {
    expect(await exchange(`${head}\r\nConnection: close\r\n\r\n`)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(seen).toEqual([])
  })
})

test('a CONNECT that goes on sending is let go, and a gateway that is closed does not wait for it', async () => {
  await using own = await startRig([])
  const raw = await sent(own.gateway.address, `CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(1024 * 1024)}`)
  await until('it is refused', () => raw.text() !== '' || raw.closed())
  await own.gateway.close()
  await until('it is let go', raw.closed)
  expect(raw.text()).toMatch(/^(HTTP\/1\.1 405 |$)/)
})

describe('the routes beside functions', () => {
  test('/ leads to the portal', async () => {
    expect(await rig.call('/')).toMatchObject({ status: 307, headers: { location: '/ui/' } })
  })

  test.each(['/', '/healthz', '/metrics'])('%s is there for GET alone', async (path) => {
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD'])
      expect(await rig.call(path, { method })).toMatchObject({ status: 405, text: '' })
  })
})
