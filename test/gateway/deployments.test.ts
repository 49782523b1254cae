// What clients deploy is there again after SIGKILL, and what comes first when a stack file names the same function.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { forkGateway } from './forked-gateway.ts'
import type { ForkedGateway } from './forked-gateway.ts'
import { call, processFunction, startRig, until } from './rig.ts'
import type { Rig } from './rig.ts'
import { apiOf } from './system/api.ts'
import type { Api } from './system/api.ts'

const MARK = { openfaas: '1' }

let directory: string

beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'gateway-deployments-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

async function startProcess(): Promise<ForkedGateway & { readonly api: Api }> {
  const gateway = await forkGateway('deployments-process.ts', [directory])
  return { ...gateway, api: apiOf({ call: (path, options) => call(gateway.address, path, options) }) }
}

test('functions, replicas, namespaces and secrets survive kill -9, and what was removed stays away', async () => {
  let before: unknown
  {
    await using first = await startProcess()
    const { api } = first
    await api.post('/system/namespace/', { name: 'shop', labels: MARK, annotations: { note: 'x' } })
    await api.post('/system/namespace/', { name: 'gone', labels: MARK })
    for (const namespace of ['shop', 'openfaas-fn'])
      await api.post('/system/secrets', { name: 'key', namespace, value: `of ${namespace}` })
    const deployment = { image: 'x:1', envProcess: './processes/secrets.sh', secrets: ['key'] }
    await api.post('/system/functions', { ...deployment, service: 'orders', namespace: 'shop', labels: { a: 'b' } })
    await api.post('/system/functions', { ...deployment, service: 'orders' })
    await api.post('/system/functions', { ...deployment, service: 'removed' })
    await api.post('/system/functions', { ...deployment, service: 'passing', secrets: [], namespace: 'gone' })
    await api.put('/system/functions', { ...deployment, service: 'orders', image: 'x:2', envVars: { LEVEL: 'debug' } })
    expect((await api.post('/system/scale-function/orders', { replicas: 3 })).status).toBe(202)
    await api.delete('/system/functions', { functionName: 'removed' })
    await api.delete('/system/namespace/gone', { name: 'gone' })
    before = [
      await api.read('/system/functions'),
      await api.read('/system/functions?namespace=shop'),
      await api.read('/system/namespaces'),
    ]
    await first.kill()
  }
  await using second = await startProcess()
  const { api, address } = second
  const after = [
    await api.read('/system/functions'),
    await api.read('/system/functions?namespace=shop'),
    await api.read('/system/namespaces'),
  ]
  expect(after).toEqual(before)
  expect(after).toMatchObject([
    [{ name: 'orders', image: 'x:2', replicas: 3 }],
    [{ name: 'orders', namespace: 'shop', replicas: 1 }],
    ['openfaas-fn', 'shop'],
  ])
  expect(await api.read('/system/namespace/shop')).toEqual({ name: 'shop', labels: MARK, annotations: { note: 'x' } })
  expect((await call(address, '/function/orders')).text).toBe('key=of openfaas-fn\n')
  expect((await call(address, '/function/orders.shop')).text).toBe('key=of shop\n')
})

test('an answered deployment is never lost, whenever the kill comes', async () => {
  const names = Array.from({ length: 30 }, (_, index) => `fn-${index}`)
  const answered: string[] = []
  {
    await using first = await startProcess()
    // Those that are not answered break off.
    const deploying = Promise.allSettled(
      names.map(async (service) => {
        const { status } = await first.api.post('/system/functions', { service, image: 'x', envProcess: 'cat' })
        if (status === 202) answered.push(service)
      }),
    )
    await until('some are answered', () => answered.length >= 5)
    await first.kill()
    await deploying
  }
  await using second = await startProcess()
  const there = (await second.api.read<{ name: string }[]>('/system/functions')).map(({ name }) => name)
  expect(there).toEqual(expect.arrayContaining(answered))
})

describe('a function of a stack file', () => {
  async function restarted(rig: Rig): Promise<Rig> {
    await rig.gateway.close()
    return await startRig([], { stateDir: join(directory, 'state') })
  }

  const image = async (rig: Rig): Promise<unknown> =>
    (await apiOf(rig).read<{ name: string; image: string }[]>('/system/functions')).map((one) => one.image)

  test('is not kept over a restart', async () => {
    await using first = await startRig([processFunction('cat', 'cat')], { stateDir: join(directory, 'state') })
    await using second = await restarted(first)
    expect(await image(second)).toEqual([])
  })

  test('that a client deploys is kept as the client has it, and stays when it leaves the file', async () => {
    await using first = await startRig([processFunction('cat', 'cat')], { stateDir: join(directory, 'state') })
    await apiOf(first).put('/system/functions', { service: 'cat', image: 'of-client', envProcess: 'cat' })
    expect(await first.gateway.remove('cat')).toBe(false)
    await using second = await restarted(first)
    expect(await image(second)).toEqual(['of-client'])
  })

  test('takes the place of what a client deployed before, for good', async () => {
    await using first = await startRig([], { stateDir: join(directory, 'state') })
    await apiOf(first).post('/system/functions', { service: 'cat', image: 'of-client', envProcess: 'cat' })
    await first.gateway.deploy(processFunction('cat', 'cat'))
    expect(await image(first)).toEqual(['local/cat:1'])
    expect(await first.gateway.remove('cat')).toBe(true)
    await using second = await restarted(first)
    expect(await image(second)).toEqual([])
  })
})
