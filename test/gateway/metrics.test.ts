// The metrics by name, type and labels (OpenFaaS contract, metrics), read by a strict parser of Prometheus's text format.

import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { GatewayMetrics } from '../../src/gateway/metrics.ts'
import type { ScrapedFunction } from '../../src/gateway/metrics.ts'
import { scaleSettings } from '../../src/gateway/scale-settings.ts'
import { labelsKey, parsePrometheusText } from './prometheus-text.ts'
import type { Family } from './prometheus-text.ts'
import { call, nodeFunction, startRig } from './rig.ts'
import type { Rig } from './rig.ts'

/** The default buckets of Prometheus's client libraries. */
const DEFAULT_BUCKETS = ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '10', '+Inf']

function valueOf(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined {
  const wanted = labelsKey(labels)
  const samples = [...families.values()].flatMap(({ samples: all }) => all)
  return samples.find((one) => one.name === name && labelsKey(one.labels) === wanted)?.value
}

describe('the parser refuses', () => {
  test.each([
    ['no end', 'the last line has no end', 'a 1'],
    ['a bad name', 'no name of a metric', '1a 1\n'],
    ['a bad value', 'bad value', 'a one\n'],
    ['an open label', 'bad labels', 'a{b="c} 1\n'],
    ['an unknown escape', 'no escape', 'a{b="\\t"} 1\n'],
    ['a comma too many', 'a comma too many', 'a{b="c",} 1\n'],
    ['a label twice', 'label b twice', 'a{b="c",b="d"} 1\n'],
    ['a series twice', 'twice: a', 'a{b="c",d="e"} 1\na{d="e",b="c"} 2\n'],
    ['a type after its samples', 'TYPE after the samples', 'a 1\n# TYPE a gauge\n'],
    ['an unknown type', 'bad or second TYPE', '# TYPE a meter\na 1\n'],
    ['lines that are not together', 'are not together', 'a 1\nb 1\na{c="d"} 1\n'],
    ['a counter below 0', 'a counter below 0', '# TYPE a counter\na -1\n'],
    [
      'buckets that shrink',
      'are not cumulative',
      '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    ],
    ['no last bucket', 'are not cumulative', '# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n'],
  ])('%s', (_, message, text) => {
    expect(() => parsePrometheusText(text)).toThrow(message)
  })
})

describe('by name, type and labels', () => {
  function scraped(name: string, parts: Partial<ScrapedFunction> = {}): ScrapedFunction {
    return {
      fullName: name,
      inFlight: 0,
      scale: scaleSettings({}).settings,
      replicas: { replicas: 1, availableReplicas: 1 },
      ...parts,
    }
  }

  async function read(metrics: GatewayMetrics): Promise<ReadonlyMap<string, Family>> {
    return parsePrometheusText(await metrics.registry.metrics())
  }

  const NAME = { function_name: 'orders.openfaas-fn' }

  test('every metric of the contract', async () => {
    const metrics = new GatewayMetrics(() => [
      scraped('orders.openfaas-fn', {
        inFlight: 2,
        scale: scaleSettings({ 'com.openfaas.scale.min': '3', 'com.openfaas.scale.type': 'capacity' }).settings,
        replicas: { replicas: 5, availableReplicas: 4 },
      }),
      scraped('plain.openfaas-fn'),
    ])
    metrics.deployed('orders.openfaas-fn')
    for (const code of [200, 200, 502]) {
      metrics.started('orders.openfaas-fn')
      metrics.finished('orders.openfaas-fn', code, 0.02)
    }
    metrics.coldStart('orders.openfaas-fn', 0.3)
    metrics.request('GET', '/system/functions', 200, 0.002)
    const families = await read(metrics)

    const shapes = Array.from(families.values(), ({ name, type, samples }) => {
      const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)))
      labels.delete('le')
      return `${name} ${type} {${[...labels].toSorted().join()}}`
    })
    expect(shapes.toSorted()).toEqual([
      'gateway_function_cold_start_seconds histogram {function_name}',
      'gateway_function_invocation_started counter {function_name}',
      'gateway_function_invocation_total counter {code,function_name}',
      'gateway_functions_seconds histogram {code,function_name}',
      'gateway_invocation_function_inflight gauge {function_name}',
      'gateway_invocation_function_started counter {function_name}',
      'gateway_service_count gauge {function_name}',
      'gateway_service_min gauge {function_name}',
      'gateway_service_ready_count gauge {function_name}',
      'gateway_service_target_load gauge {function_name,scaling_type}',
      'http_request_duration_seconds histogram {method,path,status}',
      'http_requests_total counter {method,path,status}',
    ])
    for (const { help } of families.values()) expect(help).not.toBe('')

    for (const [name, labels, value] of [
      ['gateway_function_invocation_started', NAME, 3],
      ['gateway_invocation_function_started', NAME, 3],
      ['gateway_function_invocation_total', { ...NAME, code: '200' }, 2],
      ['gateway_function_invocation_total', { ...NAME, code: '502' }, 1],
      ['gateway_functions_seconds_count', { ...NAME, code: '200' }, 2],
      ['gateway_functions_seconds_bucket', { ...NAME, code: '200', le: '0.01' }, 0],
      ['gateway_functions_seconds_bucket', { ...NAME, code: '200', le: '0.025' }, 2],
      ['gateway_function_cold_start_seconds_count', NAME, 1],
      ['gateway_invocation_function_inflight', NAME, 2],
      ['gateway_service_count', NAME, 5],
      ['gateway_service_ready_count', NAME, 4],
      ['gateway_service_min', NAME, 3],
      ['gateway_service_min', { function_name: 'plain.openfaas-fn' }, 1],
      ['gateway_service_target_load', { ...NAME, scaling_type: 'capacity' }, 50],
      ['http_requests_total', { method: 'GET', path: '/system/functions', status: '200' }, 1],
    ] as const)
      expect([name, labels, valueOf(families, name, labels)]).toEqual([name, labels, value])
    // Where the load does not scale it, there is no target.
    expect(families.get('gateway_service_target_load')?.samples).toHaveLength(1)
    const buckets = families.get('gateway_functions_seconds')?.samples.flatMap(({ labels }) => labels['le'] ?? [])
    expect(buckets).toEqual([...DEFAULT_BUCKETS, ...DEFAULT_BUCKETS])
  })

  test('a label keeps what it is given, whatever that is', async () => {
    const metrics = new GatewayMetrics(() => [])
    const path = 'a"b\\c\nd,e="f"} 1 # {ü'
    metrics.request('GET', path, 200, 1)
    const families = await read(metrics)
    expect(valueOf(families, 'http_requests_total', { method: 'GET', path, status: '200' })).toBe(1)
    expect(valueOf(families, 'http_request_duration_seconds_sum', { method: 'GET', path, status: '200' })).toBe(1)
  })

  test('the series of a removed function go with it, and calls that end later bring none back', async () => {
    const deployed = new Map([['orders.openfaas-fn', scraped('orders.openfaas-fn')]])
    const metrics = new GatewayMetrics(() => deployed.values())
    metrics.deployed('orders.openfaas-fn')
    metrics.started('orders.openfaas-fn')
    metrics.finished('orders.openfaas-fn', 200, 0.1)
    metrics.coldStart('orders.openfaas-fn', 0.1)
    expect(metrics.invocations('orders.openfaas-fn')).toBe(1)
    metrics.started('orders.openfaas-fn')
    deployed.clear()
    metrics.removed('orders.openfaas-fn')
    metrics.finished('orders.openfaas-fn', 500, 0.1)
    metrics.coldStart('orders.openfaas-fn', 0.1)
    expect(Array.from((await read(metrics)).values()).flatMap(({ samples }) => samples)).toEqual([])
    expect(metrics.invocations('orders.openfaas-fn')).toBe(0)
    // Deployed again, it begins at 0.
    metrics.deployed('orders.openfaas-fn')
    metrics.started('orders.openfaas-fn')
    expect(valueOf(await read(metrics), 'gateway_function_invocation_started', NAME)).toBe(1)
  })

  test('a redeployment goes on counting', async () => {
    const metrics = new GatewayMetrics(() => [])
    metrics.deployed('orders.openfaas-fn')
    metrics.finished('orders.openfaas-fn', 200, 0.1)
    metrics.deployed('orders.openfaas-fn')
    expect(metrics.invocations('orders.openfaas-fn')).toBe(1)
  })
})

describe('of a gateway', () => {
  let rig: Rig

  beforeAll(async () => {
    rig = await startRig([nodeFunction('answers', 'answers')], { metricsPort: 0 })
  })
  afterAll(() => rig[Symbol.asyncDispose]())

  function metricsAddress(): string {
    return rig.gateway.metricsAddress as string
  }

  test('are the same on both ports, and nothing else is on their own', async () => {
    await rig.call('/function/answers/created')
    await rig.call('/function/nobody')
    for (const address of [rig.gateway.address, metricsAddress()]) {
      const { status, headers, text } = await call(address, '/metrics')
      expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
      const families = parsePrometheusText(text)
      const labels = { function_name: 'answers.openfaas-fn', code: '201' }
      expect(valueOf(families, 'gateway_function_invocation_total', labels)).toBe(1)
      expect(text).not.toContain('nobody')
    }
    expect(await call(metricsAddress(), '/healthz')).toMatchObject({ status: 200, text: 'OK' })
    for (const path of ['/', '/system/functions', '/function/answers', '/ui/'])
      expect(await call(metricsAddress(), path)).toMatchObject({ status: 404, text: '404 page not found\n' })
    for (const path of ['/metrics', '/healthz'])
      expect(await call(metricsAddress(), path, { method: 'POST' })).toMatchObject({ status: 405, text: '' })
  })

  test('routes of /system are counted by their pattern, never by what was asked for', async () => {
    await rig.call('/system/function/answers')
    await rig.call('/system/function/made-up-1')
    await rig.call('/system/function/made-up-2')
    await rig.call('/system/made-up-3')
    await rig.call('/system/info', { method: 'PUT' })
    const { text } = await call(metricsAddress(), '/metrics')
    const families = parsePrometheusText(text)
    const count = (method: string, path: string, status: string): number | undefined =>
      valueOf(families, 'http_requests_total', { method, path, status })
    expect(count('GET', '/system/function/{name}', '200')).toBe(1)
    expect(count('GET', '/system/function/{name}', '404')).toBe(2)
    expect(count('PUT', '/system/info', '405')).toBe(1)
    expect(text).not.toContain('made-up')
  })

  test('a port that is taken is named, with the way out', async () => {
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const { port } = blocker.address() as AddressInfo
    await expect(startRig([], { metricsPort: port })).rejects.toMatchObject({
      code: 'HUB_GATEWAY_LISTEN',
      message: expect.stringContaining(`127.0.0.1:${port}`) as string,
      hint: expect.stringContaining('--metrics-port') as string,
    })
    blocker.close()
  })

  test('without a port of their own there is none', async () => {
    await using own = await startRig([])
    expect(own.gateway.metricsAddress).toBeUndefined()
  })
})
