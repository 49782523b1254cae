// What newer versions of faas-cli ask than the one of faas-cli.test.ts, request by request, and what they take for success
// (OpenFaaS contract, faas-cli against a compatible gateway).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { startRig } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

const AUTHORIZATION = `Basic ${Buffer.from('admin:admin').toString('base64')}`
const MARK = { openfaas: '1' }

let rig: Rig

beforeAll(async () => {
  rig = await startRig([], { auth: { username: 'admin', password: new Secret('admin') } })
})
afterAll(() => rig[Symbol.asyncDispose]())

/** As the client sends it: with a body always as JSON, at the gateway's address without a trailing slash. */
function ask(method: string, path: string, body?: unknown): Promise<Answer> {
  return rig.call(path, {
    method,
    headers: {
      Authorization: AUTHORIZATION,
      'User-Agent': 'faas-cli/0.18.0',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

/** The body of `deploy`: maps are there even when they are empty. */
function deployment(service: string, parts: Readonly<Record<string, unknown>> = {}): unknown {
  return {
    service,
    image: `local/${service}:1`,
    envProcess: 'cat',
    envVars: {},
    constraints: [],
    secrets: [],
    labels: {},
    annotations: {},
    readOnlyRootFilesystem: false,
    ...parts,
  }
}

test('namespace create, list, update, get, delete', async () => {
  const namespace = { name: 'staging', labels: MARK, annotations: MARK }
  expect([200, 201, 202]).toContain((await ask('POST', '/system/namespace/', namespace)).status)
  expect(JSON.parse((await ask('GET', '/system/namespaces')).text)).toContain('staging')
  const changed = { ...namespace, labels: { ...MARK, team: 'shop' } }
  expect([200, 201, 202]).toContain((await ask('PUT', '/system/namespace/staging', changed)).status)
  const got = await ask('GET', '/system/namespace/staging')
  expect([got.status, JSON.parse(got.text)]).toEqual([200, changed])
  expect([200, 202]).toContain((await ask('DELETE', '/system/namespace/staging', { name: 'staging' })).status)
  expect((await ask('GET', '/system/namespace/staging')).status).toBe(404)
})

test('ready, and ready NAME', async () => {
  expect((await ask('GET', '/healthz')).status).toBe(200)
  expect((await ask('GET', '/system/function/prepared')).status).toBe(404)
  expect((await ask('POST', '/system/functions', deployment('prepared'))).status).toBe(202)
  const { status, text } = await ask('GET', '/system/function/prepared')
  expect(status).toBe(200)
  expect((JSON.parse(text) as { availableReplicas: number }).availableReplicas).toBeGreaterThan(0)
})

test('describe: the status with its usage, then the list', async () => {
  await ask('POST', '/system/functions', deployment('shown'))
  const { status, text } = await ask('GET', '/system/function/shown?usage=1')
  expect(status).toBe(200)
  expect(JSON.parse(text)).toMatchObject({ name: 'shown', usage: { cpu: 0, totalMemoryBytes: 0 } })
  expect((await ask('GET', '/system/functions')).status).toBe(200)
})

test('diff finds nothing between what was deployed and what is listed', async () => {
  const parts = {
    envVars: { LEVEL: 'debug' },
    constraints: ['node.platform.os == linux'],
    labels: { 'com.openfaas.scale.max': '3' },
    annotations: { topic: 'a,b' },
    limits: { memory: '128Mi', cpu: '100m' },
    requests: { memory: '64Mi', cpu: '50m' },
    readOnlyRootFilesystem: true,
  }
  await ask('POST', '/system/functions', deployment('compared', parts))
  const listed = JSON.parse((await ask('GET', '/system/functions')).text) as { name: string }[]
  expect(listed.find(({ name }) => name === 'compared')).toMatchObject({
    image: 'local/compared:1',
    envProcess: 'cat',
    ...parts,
  })
})

test('invoke adds the default namespace to the name, and sends no credentials of use', async () => {
  await ask('POST', '/system/functions', deployment('called'))
  const headers = {
    Authorization: 'Bearer ',
    'Content-Type': 'text/plain',
    'User-Agent': 'faas-cli/0.18.0 (openfaas; linux; amd64)',
  }
  expect(await rig.call('/function/called.openfaas-fn', { body: 'hello', headers })).toMatchObject({
    status: 200,
    text: 'hello',
  })
  const { status, text } = await rig.call('/async-function/called.openfaas-fn', { body: 'hello', headers })
  expect([status, text]).toEqual([202, ''])
})

describe('what would be taken for a failure', () => {
  test('no answer to a write is a 204, and a deployment is never a 201', async () => {
    const answers = [
      await ask('PUT', '/system/functions', deployment('written')),
      await ask('POST', '/system/functions', deployment('written')),
      await ask('PUT', '/system/functions', deployment('written', { envProcess: 'wc' })),
      await ask('POST', '/system/scale-function/written', { serviceName: 'written', replicas: 2 }),
      await ask('POST', '/system/secrets', { name: 'written', value: 'dGV4dA', rawValue: 'dGV4dA==' }),
      await ask('PUT', '/system/secrets', { name: 'written', value: 'text', rawValue: null }),
      await ask('DELETE', '/system/secrets', { name: 'written', namespace: '' }),
      await ask('DELETE', '/system/functions', { functionName: 'written', namespace: '' }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([404, 202, 202, 202, 202, 202, 202, 202])
    expect(answers.slice(1).map(({ text }) => text)).toEqual(['', '', '', '', '', '', ''])
  })
})
