// `/system/…`, health, metrics and what is not there (OpenFaaS contract, routes, function objects, metrics).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { nodeFunction, processFunction, startRig } from './rig.ts'
import type { Rig } from './rig.ts'

const RIGHT = `Basic ${Buffer.from('admin:pass:word').toString('base64')}`
const SYSTEM = [
  '/system/functions',
  '/system/function/answers',
  '/system/namespaces',
  '/system/namespace/openfaas-fn',
  '/system/secrets',
  '/system/logs?name=answers',
  '/system/info',
  '/system/telemetry',
]
const WRITES = [
  ['POST', '/system/functions'],
  ['PUT', '/system/functions'],
  ['DELETE', '/system/functions'],
  ['POST', '/system/scale-function/answers'],
  ['POST', '/system/namespace/'],
  ['PUT', '/system/namespace/openfaas-fn'],
  ['DELETE', '/system/namespace/openfaas-fn'],
  ['POST', '/system/secrets'],
  ['PUT', '/system/secrets'],
  ['DELETE', '/system/secrets'],
  ['POST', '/system/alert'],
] as const

let rig: Rig

beforeAll(async () => {
  rig = await startRig(
    [
      nodeFunction('answers', 'answers', {
        image: 'local/answers:2',
        envProcess: 'node index.js',
        envVars: { LEVEL: 'debug' },
        labels: { team: 'shop' },
        annotations: { topic: 'orders' },
      }),
      nodeFunction('bare', 'answers'),
      processFunction('cat', 'cat', { namespace: 'staging' }),
    ],
    { auth: { username: 'admin', password: new Secret('pass:word') } },
  )
})
afterAll(() => rig[Symbol.asyncDispose]())

async function get(path: string): Promise<unknown> {
  const answer = await rig.call(path, { headers: { Authorization: RIGHT } })
  expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } })
  return JSON.parse(answer.text) as unknown
}

describe('basic auth', () => {
  test.each([
    ['nothing', undefined],
    ['another scheme', 'Bearer abc'],
    ['an empty bearer', 'Bearer '],
    ['no colon', `Basic ${Buffer.from('admin').toString('base64')}`],
    ['a wrong password', `Basic ${Buffer.from('admin:pass').toString('base64')}`],
    ['a wrong user', `Basic ${Buffer.from('root:pass:word').toString('base64')}`],
    ['no base64', 'Basic %%%'],
  ])('%s is a 401', async (_, authorization) => {
    for (const path of SYSTEM) {
      const answer = await rig.call(
        path,
        authorization === undefined ? {} : { headers: { Authorization: authorization } },
      )
      expect(answer).toMatchObject({ status: 401, text: 'invalid credentials' })
      expect(answer.headers['www-authenticate']).toBe('Basic realm="Restricted"')
      expect(answer.headers['content-type']).toMatch(/^text\/plain/)
    }
  })

  test.each(WRITES)('without it, %s %s is a 401 too, whatever is sent', async (method, path) => {
    for (const body of ['{"functionName":"answers","name":"openfaas-fn"}', 'no JSON'])
      expect(await rig.call(path, { method, body })).toMatchObject({ status: 401, text: 'invalid credentials' })
    expect((await rig.call('/function/answers/text')).status).toBe(200)
  })

  test('invocations, async calls and health need none', async () => {
    expect((await rig.call('/function/answers/text')).status).toBe(200)
    expect((await rig.call('/async-function/answers/text', { method: 'POST' })).status).toBe(202)
    expect((await rig.call('/healthz')).status).toBe(200)
  })

  test('where it is off, any Authorization is ignored', async () => {
    await using open = await startRig([])
    expect((await open.call('/system/functions', { headers: { Authorization: 'Bearer ' } })).status).toBe(200)
  })
})

describe('functions', () => {
  test('the list has every field that is not empty, of the default namespace', async () => {
    await rig.call('/function/answers/created')
    const listed = (await get('/system/functions')) as Record<string, unknown>[]
    expect(listed.map(({ name }) => name)).toEqual(['answers', 'bare'])
    expect(listed[0]).toEqual({
      name: 'answers',
      image: 'local/answers:2',
      namespace: 'openfaas-fn',
      envProcess: 'node index.js',
      envVars: { LEVEL: 'debug' },
      labels: { team: 'shop' },
      annotations: { topic: 'orders' },
      invocationCount: expect.any(Number) as number,
      replicas: 1,
      availableReplicas: 1,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string,
    })
    expect(Object.keys(listed[1] as object)).toEqual([
      'name',
      'image',
      'namespace',
      'replicas',
      'availableReplicas',
      'createdAt',
    ])
  })

  test('invocationCount grows with each call', async () => {
    const count = async (): Promise<number> =>
      ((await get('/system/functions')) as { invocationCount?: number }[])[0]?.invocationCount ?? 0
    const before = await count()
    await rig.call('/function/answers/created')
    await rig.call('/function/answers/thrown-after-status')
    expect(await count()).toBe(before + 2)
  })

  test.each([
    ['?namespace=staging', ['cat']],
    ['?namespace=', ['answers', 'bare']],
    ['?namespace=nowhere', []],
  ])('the list of %s', async (query, names) => {
    const listed = (await get(`/system/functions${query}`)) as { name: string }[]
    expect(listed.map(({ name }) => name)).toEqual(names)
  })

  test.each([
    ['answers', 'openfaas-fn'],
    ['answers?namespace=openfaas-fn', 'openfaas-fn'],
    ['cat?namespace=staging', 'staging'],
  ])('the status of %s', async (path, namespace) => {
    const shown = (await get(`/system/function/${path}`)) as Record<string, unknown>
    expect(shown).toMatchObject({ name: path.split('?')[0], namespace })
    expect(shown).not.toHaveProperty('invocationCount')
  })

  test.each(['nobody', 'cat', 'answers?namespace=staging'])('%s is not found: 404, empty', async (path) => {
    const answer = await rig.call(`/system/function/${path}`, { headers: { Authorization: RIGHT } })
    expect(answer).toMatchObject({ status: 404, text: '' })
  })

  test('10,000 functions are listed and started none', async () => {
    await using large = await startRig([])
    for (let index = 0; index < 10_000; index++)
      await large.gateway.deploy(nodeFunction(`f${index}`, 'answers', { annotations: { topic: `t${index}` } }))
    const listed = JSON.parse((await large.call('/system/functions')).text) as unknown[]
    expect(listed).toHaveLength(10_000)
    expect(large.log.events).toEqual([])
  })
})

test('namespaces: the default one first, then those in use', async () => {
  expect(await get('/system/namespaces')).toEqual(['openfaas-fn', 'staging'])
})

test('info has every field that clients dereference', async () => {
  const text = expect.stringMatching(/./) as string
  const version = { sha: text, release: text }
  expect(await get('/system/info')).toMatchObject({
    arch: text,
    provider: { provider: text, orchestration: text, version },
    version,
  })
})

test('health', async () => {
  expect(await rig.call('/healthz')).toMatchObject({ status: 200, text: 'OK' })
})

describe('metrics', () => {
  /** The value of one sample; undefined when there is none. */
  async function sample(series: string): Promise<number | undefined> {
    const line = (await rig.call('/metrics')).text.split('\n').find((one) => one.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }

  test('calls are counted by function and status, started and timed', async () => {
    await using own = await startRig([nodeFunction('answers', 'answers')])
    await own.call('/function/answers/created')
    await own.call('/function/answers/created')
    await own.call('/function/answers/thrown-after-status')
    await own.call('/function/nobody')
    const { text, headers } = await own.call('/metrics')
    const lines = text.split('\n')
    expect(headers['content-type']).toMatch(/^text\/plain/)
    expect(lines).toEqual(
      expect.arrayContaining([
        'gateway_function_invocation_total{function_name="answers.openfaas-fn",code="201"} 2',
        'gateway_function_invocation_total{function_name="answers.openfaas-fn",code="418"} 1',
        'gateway_function_invocation_started{function_name="answers.openfaas-fn"} 3',
        'gateway_functions_seconds_count{function_name="answers.openfaas-fn",code="201"} 2',
        'gateway_service_count{function_name="answers.openfaas-fn"} 1',
      ]),
    )
    expect(text).not.toContain('nobody')
  })

  test('a removed function has no replicas any more', async () => {
    await rig.gateway.deploy(nodeFunction('passing', 'answers'))
    expect(await sample('gateway_service_count{function_name="passing.openfaas-fn"}')).toBe(1)
    await rig.gateway.remove('passing')
    expect(await sample('gateway_service_count{function_name="passing.openfaas-fn"}')).toBeUndefined()
  })
})

describe('what is not there', () => {
  test.each([
    '/nothing',
    '/function',
    '/functions/x',
    '/system/',
    '/system/nothing',
    '/system/function/',
    '/system/function/a/b',
  ])('%s is a 404', async (path) => {
    expect(await rig.call(path)).toMatchObject({ status: 404, text: '404 page not found\n' })
  })

  test.each([
    ['PUT', '/system/namespaces'],
    ['POST', '/system/info'],
    ['DELETE', '/system/function/answers'],
    ['POST', '/healthz'],
    ['POST', '/metrics'],
  ])('%s %s is a 405, empty', async (method, path) => {
    expect(await rig.call(path, { method, headers: { Authorization: RIGHT } })).toMatchObject({ status: 405, text: '' })
  })
})
