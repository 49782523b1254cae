// Python handlers, run by the machine's python3: events, results and failures by the rules of OpenFaaS's Python templates.

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { FunctionSpec } from '../../src/gateway/gateway.ts'
import { FIXTURES, isAlive, nodeFunction, open, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

const isThere = spawnSync('python3', ['--version']).status === 0
/** In CI it must be there. */
const missing = isThere || process.env['CI'] === 'true' ? undefined : 'there is no python3 on the PATH'
const HTML = 'text/html; charset=utf-8'

let rig: Rig

beforeAll(async () => {
  process.env['GATEWAY_SECRET'] = 'not for functions'
  rig = await startRig([
    python('http', 'http', { envVars: { LEVEL: 'debug' } }),
    python('hasty', 'http', { envVars: { exec_timeout: '1s' } }),
    python('one', 'one-argument'),
    python('package', 'package'),
    python('broken', 'broken'),
    python('classic', 'classic', {}, true),
  ])
})
beforeEach((context) => context.skip(missing !== undefined, missing))
afterAll(async () => {
  delete process.env['GATEWAY_SECRET']
  await rig[Symbol.asyncDispose]()
})

function python(
  name: string,
  folder: string,
  parts: Parameters<typeof nodeFunction>[2] = {},
  classic = false,
): FunctionSpec {
  const handler = join(FIXTURES, 'python', folder)
  return { ...nodeFunction(name, folder, parts), runtime: { kind: 'python', handler, classic } }
}

describe('event and context', () => {
  test('the body as bytes, the method, the decoded path, the query by name, the headers in any case', async () => {
    const answer = await rig.call('/function/http/v1/a%20b?x=1&x=2&y=a+b&y=%26&n=7', {
      method: 'PUT',
      body: Uint8Array.of(0, 255, 10),
      headers: { 'X-Mine': 'yes', 'Content-Type': 'application/json' },
    })
    expect(answer.headers['content-type']).toBe('application/json')
    expect(JSON.parse(answer.text)).toMatchObject({
      body: '\u0000\u00ff\n',
      bodyType: 'bytes',
      method: 'PUT',
      path: '/v1/a b',
      query: { x: ['1', '2'], y: ['a b', '&'], n: ['7'] },
      first: '1',
      all: ['a b', '&'],
      number: 7,
      mine: 'yes',
      same: 'yes',
      hostname: 'localhost',
    })
  })

  test('a body of 5 MB without a stated length arrives whole', async () => {
    const body = Buffer.alloc(5 * 1024 * 1024, 'x')
    const { text } = await rig.call('/function/http/echo', {
      method: 'POST',
      body,
      headers: { 'Transfer-Encoding': 'chunked' },
    })
    expect((JSON.parse(text) as { body: string }).body).toHaveLength(5 * 1024 * 1024)
  })

  test('the environment of the spec and its name; nothing of the gateway', async () => {
    const { env } = JSON.parse((await rig.call('/function/http/echo')).text) as { env: Record<string, string> }
    expect(env).toMatchObject({ LEVEL: 'debug', OPENFAAS_NAME: 'http', OPENFAAS_NAMESPACE: 'openfaas-fn' })
    expect(env).not.toHaveProperty('GATEWAY_SECRET')
    expect(Object.keys(env).filter((name) => name.startsWith('HUB_'))).toEqual([])
  })

  test('the folder is the package `function`', async () => {
    expect((await rig.call('/function/package')).text).toBe('hello there')
  })

  test('a handler of one argument is given the body as text, as in the template python3-flask', async () => {
    expect(await rig.call('/function/one', { body: 'this' })).toMatchObject({ status: 202, text: 'got this' })
  })
})

describe('the answer', () => {
  test.each([
    ['none', 200, '', HTML],
    ['empty', 200, '', HTML],
    ['text', 201, 'made', HTML],
    ['json', 200, '{"a":"\\u00e9","b":[1,null]}\n', 'application/json'],
    ['list', 200, "[1, 'a', None]", HTML],
    ['bytes', 200, "b'by\\xff'", HTML],
    ['typed', 200, '{"a":1}\n', 'application/vnd.x+json'],
    ['plain-text', 200, 'text', HTML],
    ['tuple', 418, 'teapot', 'text/plain'],
    ['status-text', 410, 'gone', HTML],
    ['plain-list', 200, '[1,2]\n', 'application/json'],
    ['no-content', 204, '', HTML],
  ])('%s: %i', async (way, status, text, contentType) => {
    const answer = await rig.call(`/function/http/${way}`)
    expect({ status: answer.status, text: answer.text }).toEqual({ status, text })
    expect(answer.headers['content-type']).toBe(contentType)
    expect(answer.headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
  })

  test('headers as a dict, or as pairs that may repeat a name', async () => {
    expect((await rig.call('/function/http/text')).headers['x-mine']).toBe('yes')
    expect((await rig.call('/function/http/pairs')).headers['set-cookie']).toEqual(['a=1', 'b=2'])
  })

  test('bytes that are returned outright are sent as they are', async () => {
    expect([...(await rig.call('/function/http/plain-bytes')).body]).toEqual([0, 255])
  })

  test.each(['thrown', 'number', 'injected'])(
    '%s: what flask could not send is its error page, and is logged',
    async (way) => {
      const answer = await rig.call(`/function/http/${way}`)
      expect(answer.status).toBe(500)
      expect(answer.headers['content-type']).toBe(HTML)
      expect(answer.headers).not.toHaveProperty('set-cookie')
      expect(answer.text).toContain('<title>500 Internal Server Error</title>')
      await until('it is logged', () => rig.log.output.some(({ line }) => line === `Exception on /${way} [GET]`))
    },
  )

  test('HEAD has the headers of GET, OPTIONS is answered for the function', async () => {
    const head = await rig.call('/function/http/text', { method: 'HEAD' })
    expect({ status: head.status, length: head.headers['content-length'] }).toEqual({ status: 201, length: '4' })
    const options = await rig.call('/function/http/text', { method: 'OPTIONS' })
    expect(options).toMatchObject({
      status: 200,
      text: '',
      headers: { allow: 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT' },
    })
  })
})

describe('streams', () => {
  test('a generator is sent as it produces, beside other calls', async () => {
    const response = await open(rig.gateway.address, '/function/http/events', { method: 'GET' })
    expect(response.headers['content-type']).toBe('text/event-stream')
    let seen = ''
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      seen += chunk
      if (seen === 'data: 1\n\n') await rig.call('/function/http/go')
    }
    expect(seen).toBe('data: 1\n\ndata: 2\n\n')
  })

  test('one that fails half-way breaks the answer', async () => {
    await expect(rig.call('/function/http/broken')).rejects.toThrow('aborted')
  })

  test('one without an end ends when the caller leaves', async () => {
    await rig.gateway.deploy(python('single', 'http', { envVars: { max_inflight: '1' } }))
    const response = await open(rig.gateway.address, '/function/single/endless', { method: 'GET' })
    expect((await rig.call('/function/single/fine')).status).toBe(429)
    response.on('error', () => {})
    response.destroy()
    await until('the next call is let in', async () => (await rig.call('/function/single/fine')).status === 200)
  })
})

describe('the process', () => {
  test('serves calls at once, in one process', async () => {
    const answers = await Promise.all(['a', 'b'].map(() => rig.call('/function/http/meet')))
    expect(answers.map(({ text }) => text)).toEqual(['True', 'True'])
  })

  test('what is printed is logged by the line', async () => {
    expect((await rig.call('/function/http/print')).status).toBe(200)
    await until('it is logged', () => rig.log.output.some(({ name, line }) => name === 'http' && line === 'printed'))
  })

  test('that ends in a call is a 500, and is started again by the next', async () => {
    expect(await rig.call('/function/hasty/exit')).toMatchObject({
      status: 500,
      text: "Can't reach service for: hasty.\n",
    })
    expect((await rig.call('/function/hasty/fine')).status).toBe(200)
  })

  test('a slow call is a 504 at its exec_timeout and leaves the others alone', async () => {
    const pid = (await rig.call('/function/hasty/fine')).text
    expect(await rig.call('/function/hasty/slow')).toMatchObject({
      status: 504,
      text: '',
      headers: { 'x-openfaas-internal': 'of-watchdog' },
    })
    expect((await rig.call('/function/hasty/fine')).text).toBe(pid)
  })

  test('one that holds the interpreter is killed, and another one serves', async () => {
    const pid = Number((await rig.call('/function/hasty/fine')).text)
    expect((await rig.call('/function/hasty/blocked')).status).toBe(504)
    await until('the blocked process is gone', () => !isAlive(pid))
    await until('another one serves', async () => (await rig.call('/function/hasty/fine')).status === 200)
  })

  test('a handler that cannot be loaded is a 500, and the log says why', async () => {
    expect(await rig.call('/function/broken')).toMatchObject({
      status: 500,
      text: "Can't reach service for: broken.\n",
    })
    const said = (): boolean =>
      rig.log.output.some(({ name, line }) => name === 'broken' && line.endsWith('no such luck'))
    await until('it is said', said)
  })

  test('without a python3 the call is a 500 and the log says what is missing', async () => {
    await rig.gateway.deploy(python('none', 'http', { envVars: { PATH: rig.directory } }))
    expect(await rig.call('/function/none/fine')).toMatchObject({
      status: 500,
      text: "Can't reach service for: none.\n",
    })
    const said = (): boolean =>
      rig.log.events.some(({ name, line }) => name === 'none' && line.startsWith('could not be started: there is no python3 on the PATH')) // prettier-ignore
    await until('it is said', said)
  })

  test('a virtual environment in the folder of the function is used', async () => {
    const handler = join(rig.directory, 'with-venv')
    const packages = join(handler, '.venv', 'packages')
    mkdirSync(join(handler, '.venv', 'bin'), { recursive: true })
    mkdirSync(packages)
    // What `python3 -m venv` makes is an interpreter that knows its packages; so is this, without the time that takes.
    const interpreter = '#!/bin/sh\nPYTHONPATH="$PACKAGES" exec python3 "$@"\n'
    writeFileSync(join(handler, '.venv', 'bin', 'python3'), interpreter, { mode: 0o755 })
    writeFileSync(join(packages, 'installed.py'), 'NAME = "from the environment"\n')
    writeFileSync(
      join(handler, 'handler.py'),
      'import installed\n\ndef handle(event, context):\n    return installed.NAME\n',
    )
    const spec = nodeFunction('venv', 'http', { envVars: { PACKAGES: packages } })
    await rig.gateway.deploy({ ...spec, runtime: { kind: 'python', handler } })
    expect((await rig.call('/function/venv')).text).toBe('from the environment')
  })
})

describe('the classic template', () => {
  test('is a process per call: text in, text and a newline out, the type of the request', async () => {
    const call = (): ReturnType<Rig['call']> =>
      rig.call('/function/classic', { body: 'hello', headers: { 'Content-Type': 'text/x-mine' } })
    const [first, second] = [await call(), await call()]
    expect(first).toMatchObject({ status: 200, headers: { 'content-type': 'text/x-mine' } })
    expect(first.text).toMatch(/^hello POST \d+\n$/)
    expect(second.text).not.toBe(first.text)
    expect((await rig.call('/function/classic', { body: 'nothing' })).text).toBe('')
  })

  test('its exit is that of the process', async () => {
    expect(await rig.call('/function/classic', { body: 'exit' })).toMatchObject({
      status: 500,
      text: 'exit status 3\n',
    })
  })
})
