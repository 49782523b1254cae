// Clients that are broken, slow, large, many or hostile: each has its answer, and the gateway stays as it was.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { Pool } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { rawSocket, sent } from './raw-socket.ts'
import type { RawSocket } from './raw-socket.ts'

const MIB = 1024 * 1024
const HEADERS_TIMEOUT_MS = 400
const READ_TIMEOUT_MS = 1500

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

let rig: Rig

beforeAll(async () => {
  rig = await startRig([nodeFunction('echo', 'echo'), nodeFunction('misbehave', 'misbehave')], {
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    readTimeoutMs: READ_TIMEOUT_MS,
  })
  await rig.gateway.warm('echo')
})
afterAll(() => rig[Symbol.asyncDispose]())

// Whatever a client did: the next one is served.
afterEach(async () => {
  const { status } = await rig.call('/function/echo', { body: 'still here' })
  if (status !== 200) throw new Error(`the next call was answered with ${status}`)
})

/** What is left when nothing can be collected any more. */
function heapBytes(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

describe('what is no request is a 400, and the connection ends', () => {
  const POST = 'POST /function/echo HTTP/1.1\r\nHost: x\r\n'
  const cases: readonly (readonly [what: string, bytes: string])[] = [
    ['garbage', 'hello?\r\n\r\n'],
    ['bytes of a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['no version', 'GET /function/echo\r\n\r\n'],
    ['a version that is not ours', 'GET /function/echo HTTP/3.7\r\nHost: x\r\n\r\n'],
    ['a space in the path', 'GET /function/e cho HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a null byte in the path', 'GET /function/ec\0ho HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a null byte in a header', 'GET /function/echo HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
    ['a control character in a header', 'GET /function/echo HTTP/1.1\r\nHost: x\r\nX-A: a\x01b\r\n\r\n'],
    ['a carriage return in a header', 'GET /function/echo HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: b\r\n\r\n'],
    ['a header without a name', 'GET /function/echo HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n'],
    ['a header without a colon', 'GET /function/echo HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n'],
    ['a space before the colon', `${POST}Content-Length : 5\r\n\r\nhello`],
    ['no host', 'GET /function/echo HTTP/1.1\r\n\r\n'],
    ['two hosts', 'GET /function/echo HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n'],
    ['a length and chunks', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunks and a length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
    ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`],
    ['two equal lengths', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
    ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nhello`],
    ['a negative length', `${POST}Content-Length: -5\r\n\r\nhello`],
    ['a length in hexadecimal', `${POST}Content-Length: 0x5\r\n\r\nhello`],
    ['a length beyond any number', `${POST}Content-Length: 99999999999999999999\r\n\r\nhello`],
    ['chunks that are not the last coding', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['chunks in HTTP/1.0', 'POST /function/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ]

  test.each(cases)('%s', async (_, bytes) => {
    const calls = rig.log.requests.length
    const client = await sent(rig.gateway.address, bytes)
    await until('the connection ends', client.closed)
    expect(client.text()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(client.text().match(/HTTP\/1\.1/g)).toHaveLength(1)
    // No function has seen it, nor what stood behind it.
    expect(rig.log.requests.length).toBe(calls)
  })

  test.each(['xchunked', 'gzip, chunked', 'identity'])('a body in coding %s is a 501', async (coding) => {
    const calls = rig.log.requests.length
    const client = await sent(rig.gateway.address, `${POST}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`)
    await until('the connection ends', client.closed)
    expect(client.text()).toMatch(/^HTTP\/1\.1 501 Not Implemented\r\n/)
    expect(rig.log.requests.length).toBe(calls)
  })

  test.each([
    ['a chunk of no size', 'zz\r\nhello\r\n0\r\n\r\n'],
    ['a chunk longer than it says', '3\r\nhello\r\n0\r\n\r\n'],
    ['a chunk of negative size', '-1\r\nhello\r\n0\r\n\r\n'],
  ])('%s ends the call that had begun', async (_, chunks) => {
    const calls = rig.log.requests.length
    const client = await sent(rig.gateway.address, `${POST}Transfer-Encoding: chunked\r\n\r\n${chunks}`)
    await until('the connection ends', client.closed)
    expect(client.text()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    await until('the call is over', () => rig.log.requests.length > calls)
    expect(rig.log.requests.at(-1)).toMatch(/^Forwarded \[POST\] to \/function\/echo - \[499\] - /)
  })

  test('what stands behind the end of a request is the next one, whatever it looks like', async () => {
    const smuggled = 'GET /system/functions HTTP/1.1\r\nHost: x\r\n\r\n'
    const client = await sent(
      rig.gateway.address,
      `${POST}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    )
    await until('the connection ends', client.closed)
    expect(client.text().match(/HTTP\/1\.1 200/g)).toHaveLength(1)
    expect(client.text()).toContain(JSON.stringify(smuggled))
  })
})

describe('names and paths', () => {
  test.each([
    '/function/%2e%2e',
    '/function/..%2Fecho',
    '/function/%2Fecho',
    '/function/ec%00ho',
    '/function/echo%20',
    '/function/echo;x',
    '/function/e%C3%A9',
    '/function/...',
    '/async-function/..%2Fecho',
  ])('%s is no name: 404', async (path) => {
    expect(await rig.call(path, { method: 'POST' })).toMatchObject({ status: 404, text: '404 page not found\n' })
  })

  test('a name of 8,000 characters is one, of nobody', async () => {
    const name = 'n'.repeat(8000)
    expect(await rig.call(`/function/${name}`)).toMatchObject({
      status: 503,
      text: `No endpoints available for: ${name}.\n`,
    })
  })

  test('10,000 names of nobody leave no trace in memory or metrics', { timeout: 120_000 }, async () => {
    await using local = await startRig([])
    // Nobody listens for the access log: the rig's would be the trace.
    local.log.requests.push = () => 0
    const pool = new Pool(local.gateway.address, { connections: 32 })
    const callAll = async (round: string): Promise<void> => {
      let next = 0
      const caller = async (): Promise<void> => {
        while (next < 10_000) {
          const name = `${round}-${next++}-${'x'.repeat(1000)}`
          const { statusCode, body } = await pool.request({ method: 'POST', path: `/function/${name}` })
          await body.dump()
          if (statusCode !== 503) throw new Error(`answered ${statusCode}`)
        }
      }
      await Promise.all(Array.from({ length: 32 }, caller))
    }
    await callAll('warm')
    const before = heapBytes()
    await callAll('unknown')
    // Kept, the names alone would be 10 MB.
    expect((heapBytes() - before) / MIB).toBeLessThan(4)
    await pool.close()
    expect((await local.call('/metrics')).text).not.toMatch(/unknown-|warm-/)
  })
})

describe('too large', () => {
  test('1 MB of headers is a 431', async () => {
    const large = await sent(
      rig.gateway.address,
      `GET /function/echo HTTP/1.1\r\nHost: x\r\nX-Large: ${'v'.repeat(MIB)}\r\n\r\n`,
    )
    await until('the connection ends', large.closed)
    expect(large.text()).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('a path of 1 MB is a 431', async () => {
    const large = await sent(rig.gateway.address, `GET /function/${'n'.repeat(MIB)} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await until('the connection ends', large.closed)
    expect(large.text()).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('5,000 small headers arrive, every one', async () => {
    const names = Array.from({ length: 5000 }, (_, index) => `x${index}`)
    const { status, text } = await rig.call('/function/echo', {
      headers: Object.fromEntries(names.map((name) => [name, ''])),
    })
    expect(status).toBe(200)
    const { headers } = JSON.parse(text) as { headers: Record<string, string> }
    expect(names.filter((name) => headers[name] === undefined)).toEqual([])
  })

  test('64 KiB of chunk extensions end the call', async () => {
    const chunk = `5;${'e'.repeat(64 * 1024)}\r\nhello\r\n0\r\n\r\n`
    const client = await sent(
      rig.gateway.address,
      `POST /function/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
    )
    await until('the connection ends', client.closed)
    expect(client.text()).toMatch(/^HTTP\/1\.1 413 /)
  })
})

describe('too slow', () => {
  /** A byte now and then, until the other side has had enough. */
  async function drip(client: RawSocket, bytes: string): Promise<void> {
    const dripping = setInterval(() => client.socket.write(bytes), 50)
    await until('the slow one is closed', client.closed)
    clearInterval(dripping)
  }

  test('headers that never end', async () => {
    const slow = await sent(rig.gateway.address, 'GET /function/echo HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    await drip(slow, 'x')
    expect(slow.text()).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('a body that never ends', async () => {
    const slow = await sent(
      rig.gateway.address,
      'POST /function/echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n',
    )
    await drip(slow, 'x')
    expect(slow.text()).toMatch(/^HTTP\/1\.1 408 /)
    await until('the call is over', () => rig.log.requests.some((line) => line.includes('/function/echo - [499]')))
  })

  test('a connection that says nothing', async () => {
    const silent = await rawSocket(rig.gateway.address)
    await until('it is closed', silent.closed)
    expect(silent.text()).toMatch(/^HTTP\/1\.1 408 /)
  })

  test('a connection that says nothing more', async () => {
    const idle = await sent(rig.gateway.address, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await until('it is closed', idle.closed)
    expect(idle.text().match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(idle.text()).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('too many', () => {
  test(
    '2,000 idle connections: calls are answered, memory stays flat, and all are closed',
    { timeout: 120_000 },
    async () => {
      await using local = await startRig([nodeFunction('echo', 'echo')], { headersTimeoutMs: 10_000 })
      await local.gateway.warm('echo')
      const before = process.memoryUsage().rss
      const idle: RawSocket[] = []
      // No more at a time than wait to be accepted: beyond, a connection is one for the client alone.
      while (idle.length < 2000)
        idle.push(...(await Promise.all(Array.from({ length: 100 }, () => rawSocket(local.gateway.address)))))
      for (let call = 0; call < 50; call++) expect((await local.call('/function/echo', { body: 'x' })).status).toBe(200)
      // Both ends are in this process: 2,000 connections are 4,000 sockets.
      expect((process.memoryUsage().rss - before) / MIB).toBeLessThan(160)
      await until('all are closed', () => idle.every(({ closed }) => closed()))
      expect(new Set(idle.map(({ text }) => text().split('\r\n')[0]))).toEqual(
        new Set(['HTTP/1.1 408 Request Timeout']),
      )
    },
  )

  test('connections beyond the bound are closed, those within are served, and one that ends makes room', async () => {
    await using local = await startRig([], { connectionsMax: 20 })
    const ask = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    const within: RawSocket[] = []
    // Each is counted once it is answered.
    for (let count = 0; count < 20; count++) {
      const client = await sent(local.gateway.address, ask)
      await until('it is answered', () => client.text().includes('HTTP/1.1 200 '))
      within.push(client)
    }
    for (let count = 0; count < 100; count++) {
      const beyond = await rawSocket(local.gateway.address)
      beyond.socket.on('error', () => {})
      await until('it is closed', beyond.closed)
      expect(beyond.text()).toBe('')
    }
    for (const client of within) {
      client.socket.write(ask)
      await until('it is still served', () => client.text().match(/HTTP\/1\.1 200 /g)?.length === 2)
    }
    // Said once for all of them.
    expect(local.log.requests.filter((line) => line.includes('connections'))).toEqual([
      '20 connections are open: new ones are closed until some of them end',
    ])
    within[0]?.socket.destroy()
    await until('there is room', async () => {
      const next = await sent(local.gateway.address, ask)
      await until('it has an answer, or none', () => next.closed() || next.text().includes('HTTP/1.1 200 '))
      return next.text() !== ''
    })
  })

  test('2,000 clients that leave in the middle of a call leave nothing behind', { timeout: 120_000 }, async () => {
    await using local = await startRig([nodeFunction('echo', 'echo')])
    await local.gateway.warm('echo')
    const leave = async (): Promise<void> => {
      const head = 'POST /function/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'
      const client = await sent(local.gateway.address, head + 'x'.repeat(1000))
      client.socket.destroy()
    }
    const leaveAll = async (clients: number): Promise<void> => {
      const over = local.log.requests.length + clients
      for (let round = 0; round < clients; round += 50) await Promise.all(Array.from({ length: 50 }, leave))
      await until('every call is over', () => local.log.requests.length >= over)
    }
    await leaveAll(500)
    const before = heapBytes()
    await leaveAll(2000)
    expect((heapBytes() - before) / MIB).toBeLessThan(8)
    expect((await local.call('/function/echo', { body: 'x' })).status).toBe(200)
  })
})
