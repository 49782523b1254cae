// OpenFaaS's own go-sdk against the gateway with basic auth on: the requests of faas-cli and of OpenFaaS's connectors, made
// by the library they make them with, and judged by it (OpenFaaS contract, faas-cli against a compatible gateway).

import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { Secret } from '../../src/sdk/index.ts'
import { noProgram, provideProgram } from '../programs/programs.ts'
import { startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'

/** What one call of the library came to. */
interface Outcome {
  /** Of the calls that give one. */
  readonly status?: number
  readonly value?: unknown
  /** The library takes it for a failure. */
  readonly error?: string
}

type Call = (what: string, parts?: Readonly<Record<string, unknown>>) => Promise<Outcome>

const reason = await noProgram('go-sdk')
const PASSWORD = 'pass:word'
const MARK = { openfaas: '1' }
const FULL = {
  image: 'local/full:1',
  envProcess: 'cat',
  envVars: { LEVEL: 'debug' },
  constraints: ['node.platform.os == linux'],
  labels: { 'com.openfaas.scale.max': '3' },
  annotations: { topic: 'a,b' },
  limits: { memory: '128Mi', cpu: '100m' },
  requests: { memory: '64Mi', cpu: '50m' },
  readOnlyRootFilesystem: true,
}

let rig: Rig
const programs: ChildProcessWithoutNullStreams[] = []
let sdk: Call

beforeAll(async () => {
  if (reason !== undefined) return
  rig = await startRig([], { auth: { username: 'admin', password: new Secret(PASSWORD) } })
  sdk = await caller(PASSWORD)
})
afterAll(async () => {
  for (const program of programs) program.stdin.end()
  await rig?.[Symbol.asyncDispose]()
})
beforeEach((context) => {
  if (reason !== undefined) context.skip(reason)
})

async function caller(password: string): Promise<Call> {
  const [executable] = (await provideProgram('go-sdk')).argv
  const env = { PATH: process.env['PATH'], GATEWAY_USER: 'admin', GATEWAY_PASSWORD: password }
  const program = spawn(executable, [rig.gateway.address], { env, stdio: ['pipe', 'pipe', 'pipe'] })
  programs.push(program)
  const outcomes = createInterface(program.stdout)[Symbol.asyncIterator]()
  return async (what, parts = {}) => {
    program.stdin.write(`${JSON.stringify({ do: what, ...parts })}\n`)
    const next = await outcomes.next()
    if (next.done === true) throw new Error(`the program ended: ${String(program.stderr.read())}`)
    return JSON.parse(next.value) as Outcome
  }
}

function deployment(service: string, parts: Readonly<Record<string, unknown>> = {}): unknown {
  return { service, image: `local/${service}:1`, envProcess: 'cat', ...parts }
}

describe('namespaces', () => {
  test('create, list, get, update, delete', async () => {
    expect(await sdk('CreateNamespace', { space: { name: 'staging' } })).toEqual({ status: 201 })
    expect((await sdk('GetNamespaces')).value).toEqual(['openfaas-fn', 'staging'])
    const created = { name: 'staging', labels: MARK, annotations: MARK }
    expect(await sdk('GetNamespace', { name: 'staging' })).toEqual({ value: created })
    const space = { name: 'staging', labels: { team: 'shop' } }
    expect(await sdk('UpdateNamespace', { space })).toEqual({ status: 202 })
    const updated = { ...created, labels: { ...MARK, team: 'shop' } }
    expect(await sdk('GetNamespace', { name: 'staging' })).toEqual({ value: updated })
    expect(await sdk('DeleteNamespace', { name: 'staging' })).toEqual({})
    expect((await sdk('GetNamespaces')).value).toEqual(['openfaas-fn'])
  })

  test('what cannot be done is told as the library tells it', async () => {
    await sdk('CreateNamespace', { space: { name: 'twice' } })
    expect(await sdk('CreateNamespace', { space: { name: 'twice' } })).toMatchObject({
      status: 409,
      error: expect.stringMatching(/./),
    })
    expect((await sdk('GetNamespace', { name: 'nowhere' })).error).toBe('namespace nowhere not found')
    expect(await sdk('UpdateNamespace', { space: { name: 'nowhere' } })).toEqual({
      status: 404,
      error: 'namespace nowhere not found',
    })
    expect((await sdk('DeleteNamespace', { name: 'nowhere' })).error).toBe('namespace nowhere not found')
  })
})

describe('functions', () => {
  test('a deployment comes back as it was: what `diff` compares', async () => {
    expect(await sdk('Deploy', { function: deployment('full', FULL) })).toEqual({ status: 202 })
    const listed = (await sdk('GetFunctions')).value as readonly { readonly name: string }[]
    expect(listed.find(({ name }) => name === 'full')).toMatchObject({ name: 'full', ...FULL })
    const { value } = await sdk('GetFunction', { name: 'full' })
    // What `ready full` waits for.
    expect(value).toMatchObject({ ...FULL, namespace: 'openfaas-fn', replicas: 1, availableReplicas: 1 })
  })

  test('update of one that is not there, deploy, update, scale, delete', async () => {
    expect(await sdk('Update', { function: deployment('changing') })).toMatchObject({ status: 404 })
    expect(await sdk('Deploy', { function: deployment('changing') })).toEqual({ status: 202 })
    expect(await sdk('Update', { function: deployment('changing', { envProcess: 'wc -c' }) })).toEqual({ status: 202 })
    expect(await sdk('ScaleFunction', { name: 'changing', namespace: 'openfaas-fn', replicas: 3 })).toEqual({})
    const { value } = await sdk('GetFunction', { name: 'changing', namespace: 'openfaas-fn' })
    expect(value).toMatchObject({ envProcess: 'wc -c', replicas: 3 })
    expect(await sdk('DeleteFunction', { name: 'changing', namespace: 'openfaas-fn' })).toEqual({})
    // It reads the body before the status, and there is none.
    expect((await sdk('GetFunction', { name: 'changing' })).error).toMatch(/^unable to unmarshal value: "", /)
    expect((await sdk('DeleteFunction', { name: 'changing' })).error).toMatch(/changing not found/)
    expect((await sdk('ScaleFunction', { name: 'changing', replicas: 1 })).error).toMatch(/changing not found/)
  })

  test('in a namespace of their own', async () => {
    await sdk('CreateNamespace', { space: { name: 'shop' } })
    expect(await sdk('Deploy', { function: deployment('till', { namespace: 'shop' }) })).toEqual({ status: 202 })
    expect((await sdk('GetFunctions', { namespace: 'shop' })).value).toMatchObject([
      { name: 'till', namespace: 'shop' },
    ])
    expect(await sdk('Invoke', { name: 'till', namespace: 'shop', body: 'sum' })).toEqual({ status: 200, value: 'sum' })
    expect(await sdk('DeleteFunction', { name: 'till', namespace: 'shop' })).toEqual({})
    expect(await sdk('DeleteNamespace', { name: 'shop' })).toEqual({})
  })

  test('invoke adds the default namespace to the name; async is a 202 without a body', async () => {
    await sdk('Deploy', { function: deployment('called') })
    expect(await sdk('Invoke', { name: 'called', body: 'hello' })).toEqual({ status: 200, value: 'hello' })
    expect(await sdk('InvokeAsync', { name: 'called', body: 'four' })).toEqual({ status: 202, value: '' })
    const wrote = async (): Promise<unknown> => (await sdk('GetLogs', { name: 'called' })).value
    await until('both calls are in its log', async () =>
      /Wrote 5 Bytes.*Wrote 4 Bytes/.test(JSON.stringify(await wrote())),
    )
    expect(await wrote()).toEqual([
      'Forking fprocess.',
      expect.stringMatching(/^Wrote 5 Bytes - Duration: \d+\.\d{6}s$/),
      'Forking fprocess.',
      expect.stringMatching(/^Wrote 4 Bytes - Duration: \d+\.\d{6}s$/),
    ])
    expect(await sdk('Invoke', { name: 'nobody' })).toEqual({
      status: 503,
      value: 'No endpoints available for: nobody.openfaas-fn.\n',
    })
  })
})

test('secrets: create, update, list without values, delete', async () => {
  const secret = { name: 'api-key', namespace: 'openfaas-fn', value: 's3cr3t' }
  expect(await sdk('CreateSecret', { secret })).toEqual({ status: 202 })
  expect(await sdk('CreateSecret', { secret })).toMatchObject({ status: 409, error: expect.stringMatching(/./) })
  expect(await sdk('UpdateSecret', { secret: { ...secret, value: 'other' } })).toEqual({ status: 202 })
  expect((await sdk('GetSecrets', { namespace: 'openfaas-fn' })).value).toEqual([
    { name: 'api-key', namespace: 'openfaas-fn' },
  ])
  expect(await sdk('DeleteSecret', { name: 'api-key', namespace: 'openfaas-fn' })).toEqual({})
  expect((await sdk('DeleteSecret', { name: 'api-key', namespace: 'openfaas-fn' })).error).toMatch(/api-key not found/)
  expect(await sdk('UpdateSecret', { secret })).toMatchObject({
    status: 404,
    error: expect.stringMatching(/not found/),
  })
})

test('info names the provider, its orchestration and both versions', async () => {
  const filled = expect.stringMatching(/./) as string
  expect((await sdk('GetInfo')).value).toEqual({
    arch: filled,
    provider: { provider: filled, orchestration: filled, version: { sha: filled, release: filled } },
    version: { sha: filled, release: filled },
  })
})

test('a wrong password is told as such', async () => {
  const stranger = await caller('wrong')
  expect((await stranger('GetNamespaces')).error).toBe('check authorization, status code: 401')
  // They show what the gateway says.
  for (const what of ['GetFunctions', 'GetFunction', 'GetInfo'])
    expect((await stranger(what, { name: 'called' })).error).toContain('"invalid credentials"')
  expect(await stranger('Deploy', { function: deployment('mine') })).toMatchObject({
    status: 401,
    error: expect.stringMatching(/^unauthorized/) as string,
  })
})
