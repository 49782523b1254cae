// `/system/functions`, `/system/function/…` and `/system/scale-function/…` over raw HTTP (OpenFaaS contract, function objects
// and Appendix A).

import { readFileSync } from 'node:fs'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { nodeFunction, startRig } from '../rig.ts'
import type { Rig } from '../rig.ts'
import { apiOf } from './api.ts'
import type { Api } from './api.ts'

let rig: Rig
let api: Api

beforeAll(async () => {
  rig = await startRig([])
  api = apiOf(rig)
})
afterAll(() => rig[Symbol.asyncDispose]())

const MARK = { openfaas: '1' }

test('deployed, listed, described, invoked, updated, removed', async () => {
  expect((await api.post('/system/secrets', { name: 'api-key', value: 'x' })).status).toBe(202)
  const deployment = {
    service: 'orders',
    image: 'local/orders:1',
    namespace: 'openfaas-fn',
    envProcess: 'cat',
    envVars: { LEVEL: 'debug' },
    constraints: ['node=big'],
    secrets: ['api-key'],
    labels: { 'com.openfaas.scale.min': '1' },
    annotations: { topic: 'orders.created,orders.updated' },
    limits: { memory: '128Mi', cpu: '100m' },
    requests: { memory: '64Mi' },
    readOnlyRootFilesystem: true,
  }
  const created = await api.post('/system/functions', deployment)
  expect(created).toMatchObject({ status: 202, text: '' })
  const { service, ...echoed } = deployment
  const expected = {
    name: service,
    ...echoed,
    replicas: 1,
    availableReplicas: 1,
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string,
  }
  expect(await api.read('/system/functions')).toEqual([expected])
  const before = await api.read<{ createdAt: string }>('/system/function/orders')
  expect(before).toEqual(expected)
  expect(await rig.call('/function/orders', { body: 'hello' })).toMatchObject({ status: 200, text: 'hello' })
  expect(await api.read('/system/functions')).toEqual([{ ...expected, invocationCount: 1 }])

  const updated = { ...deployment, envProcess: 'tr a-z A-Z', image: 'local/orders:2', secrets: [] }
  expect(await api.put('/system/functions', updated)).toMatchObject({ status: 202, text: '' })
  const after = await api.read<Record<string, unknown>>('/system/function/orders')
  expect(after).toMatchObject({ image: 'local/orders:2', envProcess: 'tr a-z A-Z', createdAt: before.createdAt })
  expect(after).not.toHaveProperty('secrets')
  expect((await rig.call('/function/orders', { body: 'hello' })).text).toBe('HELLO')

  expect(await api.delete('/system/functions', { functionName: 'orders' })).toMatchObject({ status: 202, text: '' })
  expect(await api.get('/system/function/orders')).toMatchObject({ status: 404, text: '' })
  expect(await api.read('/system/functions')).toEqual([])
})

test('a status without anything optional has nothing empty', async () => {
  await api.post('/system/functions', { service: 'bare', image: 'answers' })
  expect(Object.keys(await api.read('/system/function/bare'))).toEqual([
    'name',
    'image',
    'namespace',
    'replicas',
    'availableReplicas',
    'createdAt',
  ])
  await api.delete('/system/functions', { functionName: 'bare' })
})

describe('what clients send besides', () => {
  test.each([
    ['unknown fields', { registryAuth: 'abc', network: 'func', whatever: { deep: [1] } }],
    ['null maps and lists', { envVars: null, labels: null, annotations: null, secrets: null, constraints: null }],
    ['null objects and texts', { limits: null, requests: null, envProcess: 'cat', namespace: null }],
    ['resources of other kinds', { limits: { memory: '1Gi', gpu: '1', 'nvidia.com/gpu': 2 } }],
    ['fields in another case', { ENVPROCESS: 'cat', EnvVars: { A: '1' } }],
  ])('%s are fine', async (_, parts) => {
    const deployment = { service: 'other', image: 'other:1', ...parts }
    const runnable = 'ENVPROCESS' in parts ? deployment : { envProcess: 'cat', ...deployment }
    expect(await api.post('/system/functions', runnable)).toMatchObject({ status: 202, text: '' })
    expect(await api.read('/system/function/other')).toMatchObject({ envProcess: 'cat' })
    expect((await api.delete('/system/functions', { functionName: 'other' })).status).toBe(202)
  })
})

test('what is nested however deep where nobody looks is fine', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const body = `{"service":"deep","image":"x","envProcess":"cat","other":${deep}}`
  expect((await api.post('/system/functions', body)).status).toBe(202)
  expect((await api.delete('/system/functions', { functionName: 'deep' })).status).toBe(202)
})

describe('refused with a 400', () => {
  const good = { service: 'fine', image: 'fine:1', envProcess: 'cat' }
  const long = 'a'.repeat(64)

  test.each<[string, unknown, string]>([
    ['no service', { ...good, service: undefined }, 'validation failed: service: is required\n'],
    ['no image', { ...good, image: '' }, 'validation failed: image: is required\n'],
    ...['Upper', 'a_b', '-a', 'a-', 'a.b', '../x', 'a b', 'ä', long].map((service): [string, unknown, string] => [
      `service ${service}`,
      { ...good, service },
      `validation failed: service: (${service}) is invalid, must be a valid DNS entry\n`,
    ]),
    [
      'a namespace that is no name',
      { ...good, namespace: '../x' },
      'validation failed: namespace: (../x) is invalid, must be a valid DNS entry\n',
    ],
    [
      'a variable that is no name',
      { ...good, envVars: { 'A=B': '1' } },
      'validation failed: envVars: (A=B) is not the name of an environment variable\n',
    ],
    ['a NUL in a value', { ...good, envVars: { A: 'a\0b' } }, 'validation failed: envVars: A has a NUL character\n'],
    ['a NUL in the command', { ...good, envProcess: 'cat\0' }, 'validation failed: envProcess: has a NUL character\n'],
    ['a service that is a number', { ...good, service: 5 }, 'service must be a string, not a number\n'],
    ['variables as a list', { ...good, envVars: ['A=1'] }, 'envVars must be an object, not an array\n'],
    ['a variable that is a number', { ...good, envVars: { A: 1 } }, 'envVars.A must be a string, not a number\n'],
    ['labels as a text', { ...good, labels: 'a=b' }, 'labels must be an object, not a string\n'],
    ['a label that is an object', { ...good, labels: { a: {} } }, 'labels.a must be a string, not an object\n'],
    ['secrets as an object', { ...good, secrets: { a: 'b' } }, 'secrets must be an array, not an object\n'],
    ['a secret that is null', { ...good, secrets: [null] }, 'secrets[0] must be a string, not null\n'],
    ['limits as a text', { ...good, limits: '1Gi' }, 'limits is a string, not an object\n'],
    ['a limit that is a number', { ...good, limits: { cpu: 1 } }, 'limits.cpu must be a string, not a number\n'],
    [
      'a flag as a text',
      { ...good, readOnlyRootFilesystem: 'no' },
      'readOnlyRootFilesystem must be a boolean, not a string\n',
    ],
    ['a list', [good], 'the body is an array, not an object\n'],
    ['null', 'null', 'validation failed: service: is required\n'],
    ['nothing', '', 'unexpected end of JSON input\n'],
    ['half of it', '{"service":"fi', 'the body is not JSON\n'],
    ['no JSON', 'service=fine', 'the body is not JSON\n'],
    ['an unknown namespace', { ...good, namespace: 'nowhere' }, 'namespace nowhere not found\n'],
    ['a missing secret', { ...good, secrets: ['no-such'] }, 'unable to fetch secrets: secret "no-such" not found\n'],
    [
      'a secret with an odd name',
      { ...good, secrets: ['../../x'] },
      'unable to fetch secrets: secret "../../x" not found\n',
    ],
    [
      'an image that cannot run here',
      { service: 'fine', image: 'docker.io/library/nginx:latest' },
      'there is no container engine to run image docker.io/library/nginx:latest: set fprocess, upstream_url, or a handler folder\n',
    ],
  ])('%s', async (_, body, text) => {
    expect(await api.post('/system/functions', body)).toMatchObject({
      status: 400,
      text,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    })
    expect(await api.read('/system/functions')).toEqual([])
  })
})

test('a body over the limit is a 413', async () => {
  const body = { service: 'fine', image: 'fine', envProcess: 'cat', annotations: { long: 'x'.repeat(1024 * 1024) } }
  expect(await api.post('/system/functions', body)).toMatchObject({
    status: 413,
    text: 'the body is larger than 1MiB\n',
  })
})

test('a second POST is a 500 and changes nothing; two at once make one', async () => {
  const deployment = { service: 'twice', image: 'first', envProcess: 'cat' }
  const answers = await Promise.all([1, 2, 3].map(() => api.post('/system/functions', deployment)))
  expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([202, 500, 500])
  expect(await api.post('/system/functions', { ...deployment, image: 'second' })).toMatchObject({
    status: 500,
    text: 'unable create Deployment: twice.openfaas-fn already exists\n',
  })
  expect(await api.read('/system/function/twice')).toMatchObject({ image: 'first' })
  await api.delete('/system/functions', { functionName: 'twice' })
})

test.each([
  [
    'PUT of one that is not there',
    'PUT',
    { service: 'nobody', image: 'x', envProcess: 'cat' },
    404,
    'function nobody.openfaas-fn not found\n',
  ],
  [
    'DELETE of one that is not there',
    'DELETE',
    { functionName: 'nobody' },
    404,
    'function nobody.openfaas-fn not found\n',
  ],
  [
    'DELETE in a namespace that is not there',
    'DELETE',
    { functionName: 'a', namespace: 'b' },
    404,
    'function a.b not found\n',
  ],
  ['DELETE without a name', 'DELETE', {}, 400, 'functionName: is required\n'],
  ['PUT without an image', 'PUT', { service: 'a' }, 400, 'validation failed: image: is required\n'],
] as const)('%s', async (_, method, body, status, text) => {
  expect(await rig.call('/system/functions', { method, body: JSON.stringify(body) })).toMatchObject({ status, text })
})

describe('namespaces', () => {
  test('by body and by query, everywhere', async () => {
    await api.post('/system/namespace/', { name: 'shop', labels: MARK })
    const deployment = { service: 'both', image: 'x', envProcess: 'cat' }
    await api.post('/system/functions?namespace=shop', deployment)
    await api.post('/system/functions', deployment)
    expect(await api.read('/system/functions?namespace=shop')).toMatchObject([{ name: 'both', namespace: 'shop' }])
    expect(await api.read('/system/function/both?namespace=shop')).toMatchObject({ namespace: 'shop' })
    expect(await api.read('/system/function/both.shop')).toMatchObject({ namespace: 'shop' })
    await api.put('/system/functions', { ...deployment, namespace: 'shop', image: 'y' })
    expect(await api.read('/system/function/both?namespace=shop')).toMatchObject({ image: 'y' })
    expect(await api.read('/system/function/both')).toMatchObject({ image: 'x', namespace: 'openfaas-fn' })
    expect((await api.post('/system/scale-function/both?namespace=shop', { replicas: 2 })).status).toBe(202)
    expect((await api.post('/system/scale-function/both', { replicas: 3, namespace: 'shop' })).status).toBe(202)
    expect(await api.read('/system/function/both?namespace=shop')).toMatchObject({ replicas: 3 })
    expect((await api.delete('/system/functions?namespace=shop', { functionName: 'both' })).status).toBe(202)
    expect(await api.read('/system/functions?namespace=shop')).toEqual([])
    expect((await api.delete('/system/functions', { functionName: 'both', namespace: 'openfaas-fn' })).status).toBe(202)
    expect(await api.read('/system/functions')).toEqual([])
  })

  test('of a namespace that nobody has, the list is empty', async () => {
    expect(await api.read('/system/functions?namespace=nowhere')).toEqual([])
  })
})

describe('scaling by hand', () => {
  async function scaled(labels: Readonly<Record<string, string>>, replicas: number): Promise<Record<string, unknown>> {
    await api.post('/system/functions', { service: 'scaled', image: 'x', envProcess: 'cat', labels })
    const body = { serviceName: 'scaled', namespace: 'openfaas-fn', replicas }
    expect(await api.post('/system/scale-function/scaled', body)).toMatchObject({ status: 202, text: '' })
    const status = await api.read<Record<string, unknown>>('/system/function/scaled')
    await api.delete('/system/functions', { functionName: 'scaled' })
    return status
  }

  test.each([
    ['up', {}, 3, 3],
    ['at most to 5', {}, 99, 5],
    ["at most to the function's own maximum", { 'com.openfaas.scale.max': '2' }, 99, 2],
    ['beyond 5 where it may', { 'com.openfaas.scale.max': '8' }, 7, 7],
    ['to 1 where 0 is asked for', {}, 0, 1],
    ['to 1 where less is asked for', {}, -4, 1],
  ])('%s', async (_, labels, asked, replicas) => {
    expect(await scaled(labels, asked)).toMatchObject({ replicas, availableReplicas: replicas })
  })

  test('to 0 where the function may have none: the status has no replicas', async () => {
    const status = await scaled({ 'com.openfaas.scale.zero': 'true' }, 0)
    expect(status).not.toHaveProperty('replicas')
    expect(status).not.toHaveProperty('availableReplicas')
  })

  test.each([
    [
      'one that is not there',
      'nobody',
      { serviceName: 'nobody', replicas: 2 },
      404,
      'function nobody.openfaas-fn not found\n',
    ],
    ['without a number', 'any', {}, 400, 'replicas: is required\n'],
    ['by half a replica', 'any', { replicas: 1.5 }, 400, 'replicas must be an integer, not a number\n'],
    ['by a text', 'any', { replicas: '2' }, 400, 'replicas must be an integer, not a string\n'],
    [
      'another one than the path says',
      'any',
      { serviceName: 'other', replicas: 2 },
      400,
      'serviceName: (other) is not the function of the path\n',
    ],
  ])('%s', async (_, name, body, status, text) => {
    expect(await api.post(`/system/scale-function/${name}`, body)).toMatchObject({ status, text })
  })
})

describe('usage', () => {
  interface Used {
    readonly usage: { readonly cpu: number; readonly totalMemoryBytes: number }
  }

  test('is 0 for a function that no process runs, and only there when asked for', async () => {
    await using own = await startRig([nodeFunction('idle', 'answers')])
    const ownApi = apiOf(own)
    expect(await ownApi.read<Used>('/system/function/idle?usage=1')).toMatchObject({
      usage: { cpu: 0, totalMemoryBytes: 0 },
    })
    expect(await ownApi.read('/system/function/idle')).not.toHaveProperty('usage')
  })

  test("is that of the function's processes", async () => {
    await using own = await startRig([nodeFunction('busy', 'answers')])
    const ownApi = apiOf(own)
    await own.call('/function/busy/text')
    const first = await ownApi.read<Used>('/system/function/busy?usage=1')
    // A Node process takes more than this and less than the machine has.
    const machineBytes = Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024
    expect(first.usage.totalMemoryBytes).toBeGreaterThan(8 * 1024 ** 2)
    expect(first.usage.totalMemoryBytes).toBeLessThan(machineBytes)
    // Starting took some of it.
    expect(first.usage.cpu).toBeGreaterThan(0)
    expect(Number.isInteger(first.usage.cpu)).toBe(true)
  })
})
