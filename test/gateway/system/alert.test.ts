// `/system/alert`, `/system/info` and `/system/telemetry` (OpenFaaS contract, alerts and info, Appendix A).

import { expect, test } from 'vitest'

import { processFunction, startRig } from '../rig.ts'
import { apiOf } from './api.ts'
import type { Api } from './api.ts'

const RULE = 'APIHighInvocationRate'

function alertOf(status: string, ...names: readonly unknown[]): unknown {
  const alerts = names.map((name) => ({ status, labels: { alertname: RULE, function_name: name } }))
  return { status, receiver: 'scale-up', alerts }
}

async function replicasOf(api: Api, name: string): Promise<number | undefined> {
  return (await api.read<{ replicas?: number }>(`/system/function/${name}`)).replicas
}

test('firing adds a step, up to the maximum; resolved goes back to the minimum', async () => {
  const labels = { 'com.openfaas.scale.min': '2', 'com.openfaas.scale.max': '10', 'com.openfaas.scale.factor': '25' }
  await using rig = await startRig([
    processFunction('cat', 'cat', { labels }),
    processFunction('dog', 'cat', { labels }),
  ])
  const api = apiOf(rig)
  expect(await replicasOf(api, 'cat')).toBe(2)
  // ceil(10 x 25 / 100) = 3 at a time.
  for (const replicas of [5, 8, 10, 10]) {
    expect(await api.post('/system/alert', alertOf('firing', 'cat.openfaas-fn'))).toMatchObject({
      status: 200,
      text: '',
    })
    expect(await replicasOf(api, 'cat')).toBe(replicas)
  }
  expect(await replicasOf(api, 'dog')).toBe(2)
  expect(await api.post('/system/alert', alertOf('resolved', 'cat'))).toMatchObject({ status: 200, text: '' })
  expect(await replicasOf(api, 'cat')).toBe(2)
  expect(rig.log.events.map(({ line }) => line)).toEqual(
    expect.arrayContaining([
      '[Scale] function=cat 2 => 5.',
      '[Scale] function=cat 8 => 10.',
      '[Scale] function=cat 10 => 2.',
    ]),
  )
})

test('each alert is its own: those that fail are listed by number, the others count', async () => {
  await using rig = await startRig([processFunction('cat', 'cat')])
  const api = apiOf(rig)
  const before = (await replicasOf(api, 'cat')) ?? 0
  const { status, text } = await api.post('/system/alert', alertOf('firing', 'nobody', 'cat', ''))
  expect(status).toBe(500)
  expect(text).toBe('[0] function nobody not found\n[2] the alert has no label function_name\n')
  expect(await replicasOf(api, 'cat')).toBeGreaterThan(before)
  expect(await api.post('/system/alert', alertOf('perhaps', 'cat'))).toMatchObject({
    status: 500,
    text: '[0] status (perhaps) is neither firing nor resolved\n',
  })
})

test('each failure is one line of moderate length, whatever the alert names', async () => {
  await using rig = await startRig([])
  const { text } = await apiOf(rig).post('/system/alert', alertOf('firing', 'a\r\n[9] b', 'x'.repeat(10_000)))
  const [first, second, ...others] = text.split('\n')
  expect(first).toBe('[0] function a [9] b not found')
  expect(second).toMatch(/^\[1\] function x{100,300}$/)
  expect(others).toEqual([''])
})

test('an alert about nothing is fine', async () => {
  await using rig = await startRig([])
  for (const body of [{}, { alerts: [] }, { alerts: null, status: 'firing' }])
    expect(await apiOf(rig).post('/system/alert', body)).toMatchObject({ status: 200, text: '' })
})

test.each([
  ['nothing', ''],
  ['no JSON', 'firing'],
  ['a list', []],
  ['alerts that are none', { alerts: {} }],
  ['an alert that is none', { alerts: ['firing'] }],
])('%s is a 400', async (_, body) => {
  await using rig = await startRig([])
  expect(await apiOf(rig).post('/system/alert', body)).toMatchObject({
    status: 400,
    text: 'Unable to parse alert, bad format.\n',
  })
})

test('labels of an odd kind fail that alert alone', async () => {
  await using rig = await startRig([])
  expect(await apiOf(rig).post('/system/alert', alertOf('firing', 7))).toMatchObject({
    status: 500,
    text: '[0] alerts[0].labels.function_name must be a string, not a number\n',
  })
})

test('info has every object that clients look into, and nothing that is empty', async () => {
  await using rig = await startRig([])
  const some = expect.stringMatching(/./) as string
  const version = { sha: some, release: expect.stringMatching(/^\d+\.\d+\.\d+/) as string }
  expect(await apiOf(rig).read('/system/info')).toEqual({
    arch: some,
    provider: { provider: some, orchestration: some, version },
    version,
  })
})

test('telemetry counts what there is', async () => {
  await using rig = await startRig([
    processFunction('cat', 'cat'),
    processFunction('cat', 'cat', { namespace: 'shop' }),
  ])
  await apiOf(rig).post('/system/scale-function/cat', { replicas: 3 })
  expect(await apiOf(rig).read('/system/telemetry')).toEqual({ functions: 2, replicas: 4, namespaces: 2 })
})
