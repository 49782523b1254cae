// The conformance checklist of the OpenFaaS contract, row by row. What concerns the gateway is asked of it here, with the
// literal expectation; what concerns connectors, and what takes a client of its own, names the test that shows it.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Secret, linesOf, readS3Document } from '../../src/sdk/index.ts'
import { open, nodeFunction, processFunction, startRig, until } from './rig.ts'
import type { Answer, CallOptions, Rig } from './rig.ts'
import { startReceiver } from './receiver.ts'
import type { Receiver } from './receiver.ts'

const ROOT = join(import.meta.dirname, '../..')
const AUTHORIZATION = `Basic ${Buffer.from('admin:s3cret').toString('base64')}`
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const RETRY = {
  'com.openfaas.retry.attempts': '2',
  'com.openfaas.retry.codes': '418',
  'com.openfaas.retry.min_wait': '1ms',
  'com.openfaas.retry.max_wait': '2ms',
}

let rig: Rig
let receiver: Receiver

beforeAll(async () => {
  receiver = await startReceiver()
  rig = await startRig(
    [
      nodeFunction('answers', 'answers', { annotations: RETRY }),
      nodeFunction('misbehave', 'misbehave', { annotations: RETRY }),
      nodeFunction('fn', 'echo', { namespace: 'x', envVars: { RAW_BODY: 'true' } }),
      nodeFunction('limited', 'misbehave', { envVars: { max_inflight: '1' } }),
    ],
    { auth: { username: 'admin', password: new Secret('s3cret') } },
  )
})
afterAll(async () => {
  await rig[Symbol.asyncDispose]()
  await receiver[Symbol.asyncDispose]()
})

/** With the credentials. */
function system(path: string, options: CallOptions = {}): Promise<Answer> {
  return rig.call(path, { ...options, headers: { Authorization: AUTHORIZATION } })
}

async function callbackOf(path: string, headers: Readonly<Record<string, string>> = {}) {
  const before = receiver.received.length
  const accepted = await rig.call(`/async-function/${path}`, {
    body: 'x',
    headers: { 'X-Callback-Url': receiver.url, ...headers },
  })
  expect(accepted).toMatchObject({ status: 202, text: '' })
  await until('the callback has come', () => receiver.received.length > before)
  return receiver.received.at(-1)
}

interface Row {
  readonly row: number
  readonly check: string
  /** Asked here. */
  readonly here?: () => Promise<void> | void
  /** File, and the names of its tests. */
  readonly shown?: readonly (readonly [file: string, ...tests: readonly string[]])[]
  /** What one of those files asks for, where a test is a table. */
  readonly cases?: readonly string[]
}

const ANNOTATIONS = 'test/discovery/annotations.test.ts'
const WATCHER = 'test/discovery/gateway-watcher.test.ts'
const INVOKER = 'test/invoke/http-invoker.test.ts'
const SPLIT = '%j split at %j gives %j'

const ROWS: readonly Row[] = [
  {
    row: 1,
    check: 'topic "a, b ,,c" at ,',
    shown: [[ANNOTATIONS, SPLIT]],
    cases: ["['a, b ,,c', ',', ['a', 'b', 'c']]"],
  },
  { row: 2, check: 'topic a;b at ,', shown: [[ANNOTATIONS, SPLIT]], cases: ["['a;b', ',', ['a;b']]"] },
  {
    row: 3,
    check: 'a function in namespace x is POST /function/fn.x',
    here: async () => {
      expect((await rig.call('/function/fn.x', { body: 'x' })).status).toBe(200)
      expect((await rig.call('/function/fn', { body: 'x' })).status).toBe(503)
    },
    shown: [[WATCHER, 'asks each namespace, with basic auth, under the prefix of the URL']],
  },
  {
    row: 4,
    check: 'async is POST /async-function/fn.x, accepted with 202',
    here: async () => {
      expect(await rig.call('/async-function/fn.x', { method: 'POST' })).toMatchObject({ status: 202, text: '' })
    },
    shown: [[INVOKER, 'to the async route names the callback, and 202 is an acceptance']],
  },
  {
    row: 5,
    check: 'headers of a message',
    shown: [[INVOKER, 'has exactly the headers of the OpenFaaS contract, and no credentials']],
  },
  {
    row: 6,
    check: 'fan-out',
    shown: [['test/discovery/wiring.test.ts', 'calls every function of its topic once, in listing order']],
  },
  {
    row: 7,
    check: 'one function answers 500',
    shown: [['test/delivery/dispatcher.test.ts', 'a fan-out retries only the function that failed']],
  },
  {
    row: 8,
    check: 'namespaces 404, empty, [] or null',
    shown: [[WATCHER, 'takes %s from namespaces as none, and uses bare names']],
  },
  { row: 9, check: '401 on discovery', shown: [[WATCHER, 'names the credentials as the fault, and never shows them']] },
  {
    row: 10,
    check: 'gateway down at a rebuild',
    shown: [[WATCHER, 'survives an outage, and a gateway that comes up late is found']],
  },
  {
    row: 11,
    check: 'a binary body is identical at the function',
    here: async () => {
      const body = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256))
      const { text } = await rig.call('/function/fn.x', {
        body,
        headers: { 'Content-Type': 'application/octet-stream' },
      })
      expect((JSON.parse(text) as { body: unknown }).body).toEqual({ base64: body.toString('base64') })
    },
    shown: [[INVOKER, 'carries the bytes unchanged, under the content type that the event states']],
  },
  {
    row: 12,
    check: 'what 500, 429 and a timeout mean for each broker is documented',
    here: () => {
      const connectors = readdirSync(join(ROOT, 'connectors'), { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      )
      const silent = connectors.filter(
        ({ name }) =>
          !readFileSync(join(ROOT, 'connectors', name, 'README.md'), 'utf8').includes('\n## What a settlement means\n'),
      )
      expect(silent).toEqual([])
    },
    shown: [['test/delivery/retry-policy.test.ts', '%i is retried']],
    cases: ['[408, 425, 429, 500, 502, 503, 504, 599]'],
  },
  {
    row: 13,
    check: '/system/* without credentials',
    here: async () => {
      for (const path of ['/system/functions', '/system/namespaces', '/system/secrets', '/system/info'])
        expect(await rig.call(path)).toMatchObject({
          status: 401,
          text: 'invalid credentials',
          headers: { 'www-authenticate': 'Basic realm="Restricted"' },
        })
    },
  },
  {
    row: 14,
    check: '/function/* without credentials',
    here: async () => expect((await rig.call('/function/answers/text')).text).toBe('hello'),
  },
  {
    row: 15,
    check: 'faas-cli',
    shown: [
      [
        'test/gateway/faas-cli.test.ts',
        'with the right one it is kept, and with `logout` it is gone',
        'list, -q, -v',
        'creates by PUT, 404, POST; again it updates',
        'describe',
        'invoke, and --async',
        '--tail=false, --lines, --since, as JSON',
        'secret create, update, list, remove',
        'namespaces',
        'version',
        'remove',
      ],
    ],
  },
  {
    row: 16,
    check: 'a deployment is answered with 202, empty',
    here: async () => {
      const body = JSON.stringify({ service: 'deployed', image: 'local/deployed:1', envProcess: 'cat' })
      expect(await system('/system/functions', { body })).toMatchObject({ status: 202, text: '' })
      expect((await rig.call('/function/deployed', { body: 'through' })).text).toBe('through')
    },
  },
  {
    row: 17,
    check: 'an unknown function',
    here: async () => {
      expect(await rig.call('/function/nobody')).toMatchObject({
        status: 503,
        text: 'No endpoints available for: nobody.\n',
        headers: { 'x-openfaas-internal': 'proxy' },
      })
      await using scaling = await startRig([], { scaleFromZero: true })
      const answer = await scaling.call('/function/nobody')
      expect(answer.status).toBe(404)
      expect(answer.text).toMatch(/^error finding function nobody\.openfaas-fn: .+\n$/)
    },
  },
  {
    row: 18,
    check: 'headers of an answer',
    here: async () => {
      const { headers } = await rig.call('/function/answers/text')
      expect(headers['x-call-id']).toMatch(UUID_V4)
      expect(headers['x-start-time']).toMatch(/^\d{19}$/)
      expect(headers['x-duration-seconds']).toMatch(/^\d+\.\d{6}$/)
    },
  },
  {
    row: 19,
    check: 'a call id of the caller',
    here: async () => {
      const answer = await rig.call('/function/fn.x', { body: 'x', headers: { 'X-Call-Id': 'mine' } })
      expect((JSON.parse(answer.text) as { headers: Record<string, string> }).headers['x-call-id']).toBe('mine')
      expect(answer.headers).not.toHaveProperty('x-call-id')
    },
  },
  {
    row: 20,
    check: 'a callback',
    here: async () => {
      const got = await callbackOf('misbehave/refuse?code=201', { 'X-Call-Id': 'called' })
      expect(got).toMatchObject({ method: 'POST', body: 'refused' })
      expect(got?.headers).toMatchObject({
        'x-call-id': 'called',
        'x-function-name': 'misbehave',
        'x-function-status': '201',
        'x-duration-seconds': expect.stringMatching(/^\d+\.\d{6}$/) as string,
        'x-mine': 'yes',
      })
    },
  },
  {
    row: 21,
    check: 'a callback URL that cannot be parsed',
    here: async () => {
      const headers = { 'X-Callback-Url': 'http://a b/%zz' }
      expect((await rig.call('/async-function/answers', { body: 'x', headers })).status).toBe(400)
    },
  },
  {
    row: 22,
    check: 'GET /async-function/x',
    here: async () => expect((await rig.call('/async-function/x')).status).toBe(405),
  },
  {
    row: 23,
    check: 'scale-function',
    here: async () => {
      await rig.gateway.deploy(processFunction('scaled', 'cat'))
      const body = JSON.stringify({ serviceName: 'scaled', replicas: 3 })
      expect((await system('/system/scale-function/scaled', { body })).status).toBe(202)
      const status = JSON.parse((await system('/system/function/scaled')).text) as { replicas: number }
      expect(status.replicas).toBe(3)
    },
  },
  {
    row: 24,
    check: 'logs',
    here: async () => {
      await rig.call('/function/misbehave/shout')
      const answer = await system('/system/logs?name=misbehave&tail=-1')
      expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
      const [line] = answer.text.trim().split('\n')
      expect(Object.keys(JSON.parse(line ?? '') as object).sort()).toEqual([
        'instance',
        'name',
        'namespace',
        'text',
        'timestamp',
      ])
      const following = await open(rig.gateway.address, '/system/logs?name=misbehave&follow=true', {
        headers: { Authorization: AUTHORIZATION },
      })
      following.destroy()
      expect((await rig.call('/function/misbehave/fine')).status).toBe(200)
    },
    shown: [
      [
        'test/gateway/system/logs.test.ts',
        'gets what is there and then each new line, from replicas that come later too',
      ],
    ],
  },
  {
    row: 25,
    check: 'a Node handler throws',
    here: async () =>
      expect(await rig.call('/function/answers/thrown')).toMatchObject({ status: 200, text: 'Error: boom' }),
  },
  {
    row: 26,
    check: 'a Node handler returns an object',
    here: async () =>
      expect(await rig.call('/function/answers/object')).toMatchObject({ status: 200, text: '{"a":1}' }),
  },
  {
    row: 27,
    check: 'max_inflight exceeded',
    here: async () => {
      const leaving = new AbortController()
      const first = rig.call('/function/limited/never', { signal: leaving.signal }).catch(() => undefined)
      await until('the function is busy', async () => {
        const answer = await rig.call('/function/limited/fine')
        if (answer.status !== 429) return false
        expect(answer.text).toBe('Concurrent request limit exceeded. Max concurrent requests: 1\n')
        expect(answer.headers).toMatchObject({ 'content-type': 'text/plain', 'x-openfaas-internal': 'faas-middleware' })
        return true
      })
      leaving.abort()
      await first
    },
  },
  {
    row: 28,
    check: 'MinIO: lines without records, and single spaces',
    here: async () => {
      const stream = (async function* () {
        yield Buffer.from(' \n \n{"Records":null}\n \n')
      })()
      const lines: string[] = []
      for await (const line of linesOf(stream, { bytesMax: 64, skipsBlank: true })) lines.push(line)
      expect(lines).toEqual(['{"Records":null}'])
      expect(readS3Document('{"Records":null}', 'plain')).toEqual({ kind: 'records', records: [] })
    },
  },
  {
    row: 29,
    check: 'MinIO: keys escaped for targets, raw when listening',
    shown: [['test/sdk/s3-records.test.ts', '%s is unescaped where it was escaped, and left alone where it was not']],
  },
  {
    row: 30,
    check: 'cron: CRON_TZ=, @every 30s, invalid',
    shown: [
      ['test/sdk/schedule.test.ts', '@every fires at multiples since 1970, so that restarts and replicas agree'],
      ['connectors/cron/cron-source.test.ts', 'an invalid expression that got through is reported and stops nothing'],
    ],
    cases: ["['CRON_TZ=Asia/Tokyo 0 9 * * *', ['2026-01-02T00:00Z']]"],
  },
  {
    row: 31,
    check: 'metrics',
    here: async () => {
      const count = async (): Promise<number> => {
        const { text } = await rig.call('/metrics')
        const sample = /^gateway_function_invocation_total\{function_name="answers\.openfaas-fn",code="201"\} (\d+)$/m
        return Number(sample.exec(text)?.[1] ?? 0)
      }
      const before = await count()
      await rig.call('/function/answers/created')
      await until('it is counted', async () => (await count()) === before + 1)
    },
  },
  {
    row: 32,
    check: 'retry annotations',
    here: async () => {
      const got = await callbackOf('misbehave/refuse?code=418')
      expect(got?.headers).toMatchObject({ 'x-function-status': '418', 'x-retry': '2', 'x-retry-max': '2' })
    },
    shown: [['test/gateway/async.test.ts', 'waits no less than the shortest wait, whatever the function asks for']],
  },
]

test('every row of the checklist is here', () => {
  expect(ROWS.map(({ row }) => row)).toEqual(Array.from({ length: 32 }, (_, index) => index + 1))
  expect(ROWS.filter(({ here, shown }) => here === undefined && shown === undefined)).toEqual([])
})

describe('row', () => {
  test.each(ROWS)('$row: $check', async ({ here, shown = [], cases = [] }) => {
    await here?.()
    const texts = shown.map(([file]) => readFileSync(join(ROOT, file), 'utf8'))
    for (const [index, [, ...tests]] of shown.entries())
      expect(tests.filter((name) => !texts[index]?.includes(`('${name}', `))).toEqual([])
    expect(cases.filter((text) => !texts.some((file) => file.includes(text)))).toEqual([])
  })
})
