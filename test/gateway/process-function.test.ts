// One process per call: environment, statuses and limits of OpenFaaS's classic watchdog.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { sent } from './raw-socket.ts'
import { FIXTURES, isAlive, open, processFunction, startRig, unfinished, until } from './rig.ts'
import type { Rig } from './rig.ts'

let rig: Rig

beforeAll(async () => {
  process.env['GATEWAY_SECRET'] = 'not for functions'
  rig = await startRig([
    processFunction('cat', 'cat'),
    processFunction('env', './env.sh', { envVars: { LEVEL: 'debug', content_type: 'text/x-env' } }),
    processFunction('fail', './fail.sh'),
    processFunction('both', './both.sh'),
    processFunction('apart', './both.sh', { envVars: { combine_output: 'false' } }),
    processFunction('deaf', 'true'),
    processFunction('missing', './no-such-command'),
    processFunction('endless', 'yes'),
    processFunction('json', 'cat', { envVars: { marshal_request: 'true', debug_headers: 'true' } }),
    processFunction('bare', './env.sh', { envVars: { cgi_headers: 'false', LEVEL: 'debug' } }),
    processFunction('debug', 'cat', { envVars: { write_debug: 'true' } }),
    processFunction('dies', './die.sh'),
    classicNode('node'),
  ])
})
afterAll(async () => {
  delete process.env['GATEWAY_SECRET']
  await rig[Symbol.asyncDispose]()
})

/** Of the classic template `node`. */
function classicNode(name: string): FunctionSpec {
  const handler = join(FIXTURES, 'classic-node')
  return { ...processFunction(name, ''), runtime: { kind: 'node', handler, classic: true } }
}

function watchdogLines(pattern: RegExp): readonly string[] {
  return rig.log.requests.filter((line) => pattern.test(line))
}

async function environment(path: string, options: Parameters<Rig['call']>[1] = {}): Promise<Record<string, string>> {
  const { text } = await rig.call(path, options)
  return Object.fromEntries(text.split('\n').map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]))
}

describe('what the process is given', () => {
  test('the body on stdin, byte for byte, and its stdout is the answer', async () => {
    const bytes = Uint8Array.from({ length: 1024 * 1024 }, (_, index) => index)
    const answer = await rig.call('/function/cat', { body: bytes, headers: { 'Content-Type': 'image/png' } })
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers['content-type']).toBe('image/png')
    expect(answer.headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('headers, method, path, query, host and length as Http_*', async () => {
    const seen = await environment('/function/env/v1/items?limit=5', {
      method: 'PUT',
      body: 'hello',
      headers: { 'X-my-header': 'a=b', 'Content-Type': 'text/plain', 'Content-Length': '5', Host: 'shop.example' },
    })
    expect(seen).toMatchObject({
      Http_X_My_Header: 'a=b',
      Http_Content_Type: 'text/plain',
      Http_Method: 'PUT',
      Http_Path: '/v1/items',
      Http_Query: 'limit=5',
      Http_Host: 'shop.example',
      Http_ContentLength: '5',
      Http_Content_Length: '5',
    })
    expect(seen).not.toHaveProperty('Http_Transfer_Encoding')
    expect(seen['Http_X_Call_Id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('only the first value of a header that is repeated', async () => {
    expect(await environment('/function/env', { headers: { 'X-Many': ['one', 'two'] } })).toMatchObject({
      Http_X_Many: 'one',
    })
  })

  test('without a query there is no Http_Query; a chunked body has no length', async () => {
    const seen = await environment('/function/env', { body: 'x', headers: { 'Transfer-Encoding': 'chunked' } })
    expect(seen).not.toHaveProperty('Http_Query')
    expect(seen).toMatchObject({ Http_Transfer_Encoding: 'chunked', Http_ContentLength: '-1' })
  })

  test('the path decoded, the query as it is', async () => {
    expect(await environment('/function/env/a%20b?x=%20')).toMatchObject({ Http_Path: '/a b', Http_Query: 'x=%20' })
    expect(await environment('/function/env/a%zz')).toMatchObject({ Http_Path: '/a%zz' })
  })

  test('with cgi_headers=false none of it', async () => {
    const seen = await environment('/function/bare?x=1', { headers: { 'X-Mine': 'yes' } })
    expect(seen).toMatchObject({ LEVEL: 'debug' })
    expect(Object.keys(seen).filter((name) => name.startsWith('Http_'))).toEqual([])
  })

  test('with marshal_request headers and body as JSON', async () => {
    const headers = { 'content-type': 'text/plain', 'X-Many': ['one', 'two'] }
    const { text } = await rig.call('/function/json', { body: 'hello', headers })
    expect(JSON.parse(text)).toMatchObject({
      header: { 'Content-Type': ['text/plain'], 'X-Many': ['one', 'two'] },
      body: { raw: 'aGVsbG8=' },
    })
    expect(watchdogLines(/^\[in\] X-Many=\[one\]$/)).toHaveLength(1)
    expect(watchdogLines(/^\[out\] Content-Type=\[text\/plain\]$/)).toHaveLength(1)
  })

  test('a header may have any name, __proto__ too', async () => {
    const raw = await sent(
      rig.gateway.address,
      'POST /function/json HTTP/1.1\r\nHost: x\r\n__proto__: one\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx',
    )
    await until('it is answered', raw.closed)
    const [, body = ''] = raw.text().split('\r\n\r\n')
    const { header } = JSON.parse(body) as { header: Record<string, unknown> }
    expect(Object.entries(header)).toContainEqual(['__proto__', ['one']])
  })

  test('the environment of the spec and its name; nothing of the gateway', async () => {
    const seen = await environment('/function/env')
    expect(seen).toMatchObject({ LEVEL: 'debug', OPENFAAS_NAME: 'env', OPENFAAS_NAMESPACE: 'openfaas-fn' })
    expect(seen).toMatchObject({ fprocess: './env.sh' })
    expect(seen).not.toHaveProperty('GATEWAY_SECRET')
  })
})

describe('what its end means', () => {
  test('exit 0 is a 200; content_type wins over the type of the request', async () => {
    const answer = await rig.call('/function/env', { body: 'x', headers: { 'Content-Type': 'text/plain' } })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toBe('text/x-env')
  })

  test('any other exit is a 500 that names it, with the output', async () => {
    expect(await rig.call('/function/fail')).toMatchObject({ status: 500, text: 'exit status 4\nout\nerr\n' })
  })

  test('stderr is part of the answer, or of the log with combine_output=false', async () => {
    expect((await rig.call('/function/both')).text).toBe('out\nerr\n')
    expect((await rig.call('/function/apart')).text).toBe('out\n')
    await until('it is logged', () => rig.log.output.some(({ name, line }) => name === 'apart' && line === 'err'))
  })

  test('a signal is a 500 that names it as Go does', async () => {
    expect(await rig.call('/function/dies')).toMatchObject({ status: 500, text: 'signal: segmentation fault\n' })
  })

  test('the log has what the watchdog writes about a call', async () => {
    const before = watchdogLines(/^Forking fprocess\.$/).length
    await rig.call('/function/cat', { body: 'hello' })
    expect(watchdogLines(/^Forking fprocess\.$/)).toHaveLength(before + 1)
    expect(watchdogLines(/^Wrote 5 Bytes - Duration: \d+\.\d{6}s$/)).toHaveLength(1)
    await rig.call('/function/debug', { body: 'hello' })
    expect(watchdogLines(/^Duration: \d+\.\d{6}s$/)).toHaveLength(1)
    expect(rig.log.output).toContainEqual({ name: 'debug', line: 'hello' })
  })

  test('a process that reads nothing may leave a large body unread', async () => {
    expect((await rig.call('/function/deaf', { body: Buffer.alloc(5 * 1024 * 1024) })).status).toBe(200)
  })

  test('a command that does not exist is unreachable', async () => {
    expect(await rig.call('/function/missing')).toMatchObject({
      status: 500,
      text: "Can't reach service for: missing.\n",
      headers: { 'x-openfaas-internal': 'proxy' },
    })
  })

  test('output without an end is cut off, not collected', async () => {
    expect((await rig.call('/function/endless')).status).toBe(500)
    expect(process.memoryUsage().rss).toBeLessThan(1024 * 1024 * 1024)
  })

  test.each(['OPTIONS', 'HEAD'])('%s is refused', async (method) => {
    expect((await rig.call('/function/cat', { method })).status).toBe(405)
  })
})

describe('the classic template of Node', () => {
  test('is a process per call: text in, and what it calls back with', async () => {
    const [first, second] = [
      await rig.call('/function/node', { body: 'a' }),
      await rig.call('/function/node', { body: 'a' }),
    ]
    const { context, pid } = JSON.parse(first.text) as { context: string; pid: number }
    expect(context).toBe('a')
    expect((JSON.parse(second.text) as { pid: number }).pid).not.toBe(pid)
    expect((await rig.call('/function/node', { body: 'promise' })).text).toBe('promised')
  })

  test('an error is printed and no failure, as in the template; an exit is', async () => {
    const failed = await rig.call('/function/node', { body: 'fail' })
    expect(failed.status).toBe(200)
    expect(failed.text).toMatch(/^Error: refused\n/)
    const exited = await rig.call('/function/node', { body: 'exit' })
    expect(exited).toMatchObject({ status: 500, text: 'exit status 4\n' })
    const thrown = await rig.call('/function/node', { body: 'throw' })
    expect(thrown.status).toBe(500)
    expect(thrown.text).toMatch(/^exit status 1\n/)
  })

  test('from zero replicas a call is served, though there is no process to start', async () => {
    await rig.gateway.deploy({ ...classicNode('idle'), labels: { 'com.openfaas.scale.min': '0' } })
    const before = await rig.call('/system/function/idle')
    expect(JSON.parse(before.text)).not.toHaveProperty('replicas')
    expect((await rig.call('/function/idle', { body: 'promise' })).text).toBe('promised')
  })

  test('its environment is that of a process', async () => {
    const { text } = await rig.call('/function/node?x=1', { body: 'env' })
    const env = JSON.parse(text) as Record<string, string>
    expect(env).toMatchObject({ Http_Method: 'POST', Http_Query: 'x=1', OPENFAAS_NAME: 'node' })
    expect(Object.keys(env).filter((name) => name.startsWith('HUB_'))).toEqual([])
  })
})

describe('limits', () => {
  /** The id of the process that `sleep`s, once the script has written it. */
  async function sleeper(file: string): Promise<number> {
    await until('the script runs', () => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'))
    return Number(readFileSync(file, 'utf8'))
  }

  test.each(['hang.sh', 'orphan.sh'])(
    'exec_timeout is a 408, and ends what the command started (%s)',
    async (script) => {
      const pidFile = join(rig.directory, `${script}.pid`)
      await rig.gateway.deploy(
        processFunction('slow', `./${script}`, { envVars: { exec_timeout: '500ms', PID_FILE: pidFile } }),
      )
      const answer = rig.call('/function/slow')
      const pid = await sleeper(pidFile)
      expect(await answer).toMatchObject({ status: 408, text: 'Killed process.\n' })
      await until('its child is gone', () => !isAlive(pid))
    },
  )

  test('write_timeout takes the connection: the function cannot be reached', async () => {
    await rig.gateway.deploy(processFunction('mute', 'sleep 600', { envVars: { write_timeout: '200ms' } }))
    expect(await rig.call('/function/mute')).toMatchObject({ status: 500, headers: { 'x-openfaas-internal': 'proxy' } })
  })

  test('a body that does not arrive within read_timeout is a 400', async () => {
    await rig.gateway.deploy(processFunction('impatient', 'cat', { envVars: { read_timeout: '200ms' } }))
    expect(await unfinished(rig.gateway.address, '/function/impatient')).toBe(400)
  })

  test("the gateway's own timeout is a 502", async () => {
    const pidFile = join(rig.directory, 'hasty.pid')
    await using hasty = await startRig([processFunction('slow', './hang.sh', { envVars: { PID_FILE: pidFile } })], {
      upstreamTimeoutMs: 500,
    })
    expect(await hasty.call('/function/slow')).toMatchObject({ status: 502, text: '' })
    await until('its child is gone', async () => !isAlive(await sleeper(pidFile)))
  })

  test('a caller that leaves ends the process', async () => {
    const pidFile = join(rig.directory, 'left.pid')
    await rig.gateway.deploy(processFunction('left', './hang.sh', { envVars: { PID_FILE: pidFile } }))
    const leave = new AbortController()
    const answer = open(rig.gateway.address, '/function/left', { signal: leave.signal })
    const pid = await sleeper(pidFile)
    leave.abort()
    await expect(answer).rejects.toThrow('aborted')
    await until('its child is gone', () => !isAlive(pid))
  })

  test('max_inflight is a 429 with the exact text, until a call has ended', async () => {
    const [started, go] = [join(rig.directory, 'started'), join(rig.directory, 'go')]
    await rig.gateway.deploy(
      processFunction('one', './gate.sh', { envVars: { max_inflight: '1', STARTED_FILE: started, GO_FILE: go } }),
    )
    const first = rig.call('/function/one')
    await until('the first runs', () => existsSync(started))
    const second = await rig.call('/function/one')
    expect(second).toMatchObject({
      status: 429,
      text: 'Concurrent request limit exceeded. Max concurrent requests: 1\n',
    })
    expect(second.headers).toMatchObject({ 'content-type': 'text/plain', 'x-openfaas-internal': 'faas-middleware' })
    writeFileSync(go, '')
    expect(await first).toMatchObject({ status: 200, text: 'done\n' })
    expect((await rig.call('/function/one')).status).toBe(200)
  })
})
