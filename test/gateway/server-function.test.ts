// Servers of the user's own behind the gateway, as behind of-watchdog's mode http: real processes, one rule a test.

import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { FIXTURES, isAlive, mirrored, nodeFunction, open, processFunction, startRig, unfinished, until } from './rig.ts'
import type { Rig } from './rig.ts'

/** The Node of the tests, whatever the PATH has. */
const NODE = process.execPath
const ANY_PORT = 'http://127.0.0.1:0'

let rig: Rig

beforeAll(async () => {
  rig = await startRig([
    server('any'),
    server('hasty', { envVars: { exec_timeout: '400ms', prefix_logs: 'false', log_callid: 'true' } }),
    server('based', {}, `${ANY_PORT}/base/`),
    server('buffered', { envVars: { http_buffer_req_body: 'true' } }),
  ])
})
afterAll(() => rig[Symbol.asyncDispose]())

function server(
  name: string,
  parts: Parameters<typeof nodeFunction>[2] = {},
  url = ANY_PORT,
  command = `${NODE} server.cjs`,
): FunctionSpec {
  const directory = join(FIXTURES, 'servers')
  return { ...nodeFunction(name, 'servers', parts), runtime: { kind: 'server', command, directory, url } }
}

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

async function seenBy(path: string, options: Parameters<Rig['call']>[1] = {}): Promise<Seen> {
  return JSON.parse((await rig.call(path, options)).text) as Seen
}

describe('what the server is given', () => {
  test('method, path, query, headers and host of the caller, and what the gateway adds', async () => {
    const seen = await seenBy('/function/any/v1/items?limit=5', {
      method: 'PATCH',
      headers: { Host: 'shop.example', 'X-Mine': 'yes', Authorization: 'Bearer x' },
      body: 'hello',
    })
    expect(seen).toMatchObject({ method: 'PATCH', url: '/v1/items?limit=5' })
    expect(seen.headers).toMatchObject({ host: 'shop.example', 'x-mine': 'yes', authorization: 'Bearer x' })
    expect(seen.headers).toMatchObject({ 'content-length': '5', 'x-forwarded-host': 'shop.example' })
    expect(seen.headers['x-call-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('paths below that of its URL', async () => {
    expect((await seenBy('/function/based/v1?a=1')).url).toBe('/base/v1?a=1')
    expect((await seenBy('/function/based')).url).toBe('/base/')
  })

  test('where to listen, when its URL leaves the port open', async () => {
    const { text } = await rig.call('/function/any/where')
    const told = JSON.parse(text) as { PORT: string; port: string; url: string }
    expect(told).toEqual({ PORT: told.PORT, port: told.PORT, url: `http://127.0.0.1:${told.PORT}/` })
    expect(Number(told.PORT)).toBeGreaterThan(0)
  })

  test('its own port, and the second replica another', async () => {
    // Free now, and most likely in a moment.
    const probe = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => probe.once('listening', resolve))
    const { port } = probe.address() as AddressInfo
    await new Promise((resolve) => probe.close(resolve))
    await using own = await startRig([server('fixed', {}, `http://127.0.0.1:${port}`)])
    expect(JSON.parse((await own.call('/function/fixed/where')).text)).toMatchObject({ PORT: String(port) })
    await own.gateway.deploy(server('fixed-too', {}, `http://127.0.0.1:${port}`))
    const other = JSON.parse((await own.call('/function/fixed-too/where')).text) as { PORT: string }
    expect(other.PORT).not.toBe(String(port))
    expect(own.log.events.map(({ line }) => line)).toContain(
      `port ${port} is taken: told by PORT to listen at ${other.PORT}`,
    )
  })

  test('with http_buffer_req_body a body of a known length', async () => {
    const body = Buffer.alloc(1024 * 1024)
    const options = { method: 'POST', body, headers: { 'Transfer-Encoding': 'chunked' } }
    expect((await seenBy('/function/buffered', options)).headers).toMatchObject({ 'content-length': '1048576' })
    expect((await seenBy('/function/any', options)).headers).toMatchObject({ 'transfer-encoding': 'chunked' })
  })
})

describe('what it answers', () => {
  test('passes: redirects unfollowed, repeated headers; the duration is the watchdog’s', async () => {
    expect(await rig.call('/function/any/redirect')).toMatchObject({
      status: 302,
      headers: { location: 'http://elsewhere.invalid/x' },
    })
    expect((await rig.call('/function/any/twice')).headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect((await rig.call('/function/any/timed')).headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('is streamed, events and bodies both ways', async () => {
    const response = await open(rig.gateway.address, '/function/any/events', { method: 'GET' })
    let seen = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      seen += chunk
      if (seen === 'data: 1\n\n') await rig.call('/function/any/go')
    }
    expect(seen).toBe('data: 1\n\ndata: 2\n\n')
  })

  test('begins before the body of the request has ended', async () => {
    expect(await mirrored(rig.gateway.address, '/function/any/mirror')).toEqual(['one', 'two'])
  })

  test('breaks off when the server does', async () => {
    await expect(rig.call('/function/any/half')).rejects.toThrow('aborted')
  })
})

describe('limits and failures', () => {
  const WATCHDOG = { 'x-openfaas-internal': 'of-watchdog' }

  test('exec_timeout is a 504; X-Timeout shortens it and never extends it', async () => {
    expect(await rig.call('/function/hasty/never')).toMatchObject({ status: 504, text: '', headers: WATCHDOG })
    const late = await rig.call('/function/hasty/never', { headers: { 'X-Timeout': '1h' } })
    expect(late.status).toBe(504)
    const early = await rig.call('/function/any/never', { headers: { 'X-Timeout': '100ms' } })
    expect(early).toMatchObject({ status: 504, headers: WATCHDOG })
    expect(early.headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('a stream of events has no exec_timeout', async () => {
    const headers = { Accept: 'text/event-stream' }
    const response = await open(rig.gateway.address, '/function/hasty/events', { headers })
    // Takes as long as the limit is.
    expect((await rig.call('/function/hasty/never')).status).toBe(504)
    expect((await rig.call('/function/hasty/go')).status).toBe(200)
    let seen = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) seen += chunk
    expect(seen).toBe('data: 1\n\ndata: 2\n\n')
  })

  test('write_timeout takes the connection: the function cannot be reached', async () => {
    await rig.gateway.deploy(server('mute', { envVars: { write_timeout: '200ms' } }))
    expect(await rig.call('/function/mute/never')).toMatchObject({
      status: 500,
      headers: { 'x-openfaas-internal': 'proxy' },
    })
  })

  test('a body that does not arrive within read_timeout is the watchdog’s 500', async () => {
    await rig.gateway.deploy(server('impatient', { envVars: { read_timeout: '200ms' } }))
    expect(await unfinished(rig.gateway.address, '/function/impatient')).toBe(500)
  })

  test('a connection that it breaks is the watchdog’s 500, and the server runs on', async () => {
    const pid = (await rig.call('/function/any/pid')).text
    const answer = await rig.call('/function/any/reset')
    expect(answer).toMatchObject({ status: 500, text: '', headers: WATCHDOG })
    expect((await rig.call('/function/any/pid')).text).toBe(pid)
  })

  test('when it exits the call is a 500, and it is started again without being called', async () => {
    const pid = (await rig.call('/function/hasty/pid')).text
    expect(await rig.call('/function/hasty/exit')).toMatchObject({ status: 500 })
    const restarted = (): boolean =>
      rig.log.events.filter(({ name, line }) => name === 'hasty' && line.startsWith('started')).length === 2
    await until('it runs again', restarted)
    expect((await rig.call('/function/hasty/pid')).text).not.toBe(pid)
  })

  test('a command that does not exist is a 500 each time, and the log says why', async () => {
    await rig.gateway.deploy(server('missing', {}, ANY_PORT, './no-such-server'))
    expect(await rig.call('/function/missing')).toMatchObject({
      status: 500,
      text: "Can't reach service for: missing.\n",
    })
    expect(rig.log.events.map(({ line }) => line)).toContainEqual(
      expect.stringMatching(/^could not be started: there is no \.\/no-such-server; it is started again/),
    )
  })
})

describe('/_/health and /_/ready', () => {
  const probe = async (path: string, options: Parameters<Rig['call']>[1] = {}): Promise<readonly [number, string]> => {
    const { status, text } = await rig.call(path, options)
    return [status, text]
  }

  test('are answered for the function, GET only, where its watchdog has them', async () => {
    await rig.gateway.deploy(processFunction('classic', 'cat'))
    await until('it is up', async () => (await rig.call('/function/any/_/health')).status === 200)
    expect(await probe('/function/any/_/health')).toEqual([200, 'OK'])
    expect(await probe('/function/any/_/ready')).toEqual([200, ''])
    expect(await probe('/function/any/_/health', { method: 'POST' })).toEqual([405, ''])
    expect(await probe('/function/classic/_/health')).toEqual([200, 'OK'])
    // The classic watchdog knows health only: this one is a call.
    expect(await probe('/function/classic/_/ready', { body: 'a call' })).toEqual([200, 'a call'])
  })

  test('are 503 for a function that does not come up', async () => {
    await rig.gateway.deploy(server('down', {}, ANY_PORT, 'false'))
    expect(await probe('/function/down/_/health')).toEqual([503, ''])
    expect(await probe('/function/down/_/ready')).toEqual([503, ''])
  })

  test('with max_inflight calls running it is healthy and not ready; otherwise ready_path says', async () => {
    const readyFile = join(rig.directory, 'probed')
    writeFileSync(readyFile, '')
    const envVars = { max_inflight: '1', ready_path: '/ready', READY_FILE: readyFile }
    await rig.gateway.deploy(server('single', { envVars }))
    await until('it is up', async () => (await rig.call('/function/single/_/ready')).status === 200)
    const leave = new AbortController()
    const call = open(rig.gateway.address, '/function/single/never', { signal: leave.signal })
    await until('the call runs', async () => (await rig.call('/function/single/_/ready')).status === 429)
    expect(await probe('/function/single/_/health')).toEqual([200, 'OK'])
    leave.abort()
    await expect(call).rejects.toThrow('aborted')
    rmSync(readyFile)
    await until('the call is over', async () => (await rig.call('/function/single/_/ready')).status === 503)
  })
})

describe('its life', () => {
  test('it starts with its deployment; ready_path says when it takes calls', async () => {
    const readyFile = join(rig.directory, 'ready')
    await rig.gateway.deploy(server('gated', { envVars: { ready_path: '/ready', READY_FILE: readyFile } }))
    await until('it listens', () =>
      rig.log.output.some(({ name, line }) => name === 'gated' && line === 'stdout: listening'),
    )
    const isStarted = (): boolean =>
      rig.log.events.some(({ name, line }) => name === 'gated' && line.startsWith('started'))
    const call = rig.call('/function/gated/pid')
    expect(isStarted()).toBe(false)
    writeFileSync(readyFile, '')
    const { status, text } = await call
    expect(status).toBe(200)
    expect(rig.log.events).toContainEqual({ name: 'gated', line: `started, process ${text}` })
  })

  test('a removed one is asked to end first', async () => {
    const termFile = join(rig.directory, 'term')
    await rig.gateway.deploy(server('polite', { envVars: { TERM_FILE: termFile } }))
    const pid = Number((await rig.call('/function/polite/pid')).text)
    expect((await rig.call('/function/polite/on-term')).text).toBe('listening')
    await rig.gateway.remove('polite')
    await until('it has ended', () => !isAlive(pid))
    expect(existsSync(termFile)).toBe(true)
  })

  test('the log has its output by stream, unless prefix_logs is off, and the line of each call', async () => {
    const output = (name: string): string[] =>
      rig.log.output.filter((each) => each.name === name).map(({ line }) => line)
    await until('both have said it', () => output('any').length > 0 && output('hasty').length > 0)
    expect(output('any')[0]).toBe('stdout: listening')
    expect(output('hasty')[0]).toBe('listening')
    await rig.call('/function/hasty/pid?x=1', { headers: { 'X-Call-Id': 'call-7' } })
    const line = /^GET \/pid\?x=1 - 200 OK - ContentLength: \d+B \(\d+\.\d{4}s\) \[call-7\]$/
    expect(rig.log.requests.filter((each) => line.test(each))).toHaveLength(1)
  })
})
