// What newer versions of faas-cli ask than the one of faas-cli.test.ts, request by request, where they do not do it through
// the library of go-sdk.test.ts (OpenFaaS contract, faas-cli against a compatible gateway).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { startRig } from './rig.ts'
import type { Answer, Rig } from './rig.ts'

const AUTHORIZATION = `Basic ${Buffer.from('admin:admin').toString('base64')}`

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

test('ready, and ready NAME', async () => {
  expect((await ask('GET', '/healthz')).status).toBe(200)
  expect((await ask('GET', '/system/function/prepared')).status).toBe(404)
  expect((await ask('POST', '/system/functions', deployment('prepared'))).status).toBe(202)
  const { status, text } = await ask('GET', '/system/function/prepared')
  expect(status).toBe(200)
  expect((JSON.parse(text) as { availableReplicas: number }).availableReplicas).toBeGreaterThan(0)
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
