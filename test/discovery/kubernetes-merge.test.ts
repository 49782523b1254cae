import { describe, expect, test } from 'vitest'

import { kubernetesScope, neededRules } from '../../src/discovery/kubernetes.ts'
import { mergeFunctions } from '../../src/discovery/kubernetes-merge.ts'
import {
  readDeployment,
  readFunction,
  readNamespace,
  type ClusterFunction,
} from '../../src/discovery/kubernetes-objects.ts'
import { gatewayDifferences, LastingDifferences, shownDifferences } from '../../src/discovery/cross-check.ts'
import type { Finding } from '../../src/discovery/index.ts'
import { metadataOf } from '../../src/kubernetes/index.ts'
import type { KubernetesAnswer } from '../../src/kubernetes/index.ts'
import { HubError, ManualClock } from '../../src/sdk/index.ts'
import { functionInfo } from './fixtures.ts'

const named = (name: string, more: Record<string, unknown> = {}) => ({ metadata: { name, namespace: 'shop', ...more } })

const asFunction = (object: KubernetesAnswer, previous?: ClusterFunction): ClusterFunction =>
  readFunction(object, metadataOf(object), previous)
const asDeployment = (object: KubernetesAnswer, previous?: ClusterFunction): ClusterFunction =>
  readDeployment(object, metadataOf(object), previous)

const deploymentOf = (annotations: unknown, onPods: unknown, name = 'orders'): KubernetesAnswer => ({
  ...named(name, { annotations }),
  spec: { template: { metadata: { annotations: onPods } } },
})

describe('a Function resource', () => {
  test('is the function that its spec names, with the annotations of its spec', () => {
    const object = { ...named('resource'), spec: { name: 'orders', annotations: { topic: 'a', 'x.io/y': 'z' } } }
    expect(asFunction(object)).toEqual({
      kind: 'Function',
      info: { name: 'orders', namespace: 'shop', fullName: 'orders.shop', annotations: { topic: 'a' } },
      findings: [],
    })
    expect(asFunction({ ...named('bills'), spec: {} }).info?.fullName).toBe('bills.shop')
    expect(asFunction(named('bills')).info?.annotations).toEqual({})
  })

  test('with annotations where OpenFaaS does not read them says so', () => {
    const object = { ...named('orders', { annotations: { topic: 'a', 'x.io/y': 'z' } }), spec: { annotations: {} } }
    const { info, findings } = asFunction(object)
    expect(info?.annotations).toEqual({})
    expect(findings).toMatchObject([
      { level: 'warning', function: 'orders.shop', annotation: 'topic', hint: 'Move it to spec.annotations.' },
    ])
  })

  test('with a value that is no text says so', () => {
    const { info, findings } = asFunction({ ...named('orders'), spec: { annotations: { topic: 5, schedule: null } } })
    expect(info?.annotations).toEqual({})
    expect(findings).toMatchObject([{ code: 'HUB_ANNOTATION_INVALID', annotation: 'topic' }])
  })

  test('with a name that cannot be called is left out with a finding', () => {
    const { info, findings } = asFunction({ ...named('r'), spec: { name: '../admin' } })
    expect(info).toBe(undefined)
    expect(findings).toMatchObject([{ level: 'error', code: 'HUB_DISCOVERY_FAILED', function: '../admin.shop' }])
  })
})

describe('a Deployment', () => {
  test('has the annotations of its pods, as the gateway lists them', () => {
    const both = { topic: 'a', 'deployment.kubernetes.io/revision': '3' }
    expect(asDeployment(deploymentOf(both, { topic: 'a' }))).toEqual({
      kind: 'Deployment',
      info: { name: 'orders', namespace: 'shop', fullName: 'orders.shop', annotations: { topic: 'a' } },
      findings: [],
    })
  })

  test('annotated alone counts, and where both are, that of the pods does, with a finding', () => {
    expect(asDeployment(deploymentOf({ topic: 'a' }, undefined)).info?.annotations).toEqual({ topic: 'a' })
    const { info, findings } = asDeployment(deploymentOf({ topic: 'new', schedule: 's' }, { topic: 'old' }))
    expect(info?.annotations).toEqual({ topic: 'old', schedule: 's' })
    expect(findings).toMatchObject([{ level: 'warning', function: 'orders.shop', annotation: 'topic' }])
  })

  test('that changed in nothing the hub reads is the same as before', () => {
    const first = asDeployment(deploymentOf({ topic: 'a' }, { topic: 'a', 'kubectl.kubernetes.io/restartedAt': '1' }))
    const second = asDeployment(deploymentOf({ topic: 'a', x: 'y' }, { topic: 'a' }), first)
    expect(second).toBe(first)
    const third = asDeployment(deploymentOf({ topic: 'b' }, { topic: 'b' }), second)
    expect(third).not.toBe(second)
    // Another finding about the same annotations is news, the function is not.
    const fourth = asDeployment(deploymentOf({ topic: 'c' }, { topic: 'b' }), third)
    expect([fourth === third, fourth.info === third.info]).toEqual([false, true])
  })
})

test.each([
  [{ annotations: { openfaas: '1' } }, true],
  [{ labels: { openfaas: '1' } }, true],
  [{ annotations: { openfaas: 'true' } }, true],
  [{ annotations: { openfaas: '0' } }, undefined],
  [{ labels: { other: '1' } }, undefined],
  [{}, undefined],
])('a namespace with %j is OpenFaaS’s: %s', (metadata, expected) => {
  expect(readNamespace({}, metadataOf({ metadata: { name: 'n', ...metadata } }))).toBe(expected)
})

describe('functions and Deployments together', () => {
  const all = { isWanted: () => true, hasNamespaces: true }

  test('are each function once, sorted, and the Function counts', () => {
    const { functions, findings, differences } = mergeFunctions({
      ...all,
      functions: [asFunction({ ...named('b'), spec: { annotations: { topic: 'of function' } } })],
      deployments: [
        asDeployment(deploymentOf({ topic: 'of deployment' }, { topic: 'of deployment' }, 'b')),
        asDeployment(deploymentOf({ topic: 'x' }, { topic: 'x' }, 'a')),
      ],
    })
    expect(functions.map(({ fullName, annotations }) => [fullName, annotations['topic']])).toEqual([
      ['a.shop', 'x'],
      ['b.shop', 'of function'],
    ])
    expect(findings).toEqual([])
    expect([...differences.keys()]).toEqual(['b.shop'])
  })

  test('of namespaces that do not count are neither wired nor talked about', () => {
    const { functions, findings } = mergeFunctions({
      ...all,
      isWanted: (namespace) => namespace !== 'shop',
      functions: [asFunction({ ...named('a', { annotations: { topic: 'x' } }), spec: {} })],
      deployments: [asDeployment(deploymentOf({ topic: 'x' }, {}, 'b'))],
    })
    expect([functions, findings]).toEqual([[], []])
  })

  test('of two resources with one name are one, with a finding', () => {
    const twice = (resource: string, topic: string): ClusterFunction =>
      asFunction({ ...named(resource), spec: { name: 'a', annotations: { topic } } })
    const { functions, findings } = mergeFunctions({ ...all, functions: [twice('r1', '1'), twice('r2', '2')], deployments: [] }) // prettier-ignore
    expect(functions).toMatchObject([{ annotations: { topic: '1' } }])
    expect(findings).toMatchObject([{ level: 'warning', message: 'a.shop is listed twice; the first one counts' }])
  })

  test('without any namespace say why nothing is called', () => {
    const { findings } = mergeFunctions({ ...all, hasNamespaces: false, functions: [], deployments: [] })
    expect(findings).toMatchObject([{ level: 'warning', function: '' }])
  })
})

describe('namespaces', () => {
  const scopeOf = (allow: readonly string[], deny: readonly string[] = []) =>
    kubernetesScope({ namespaces: { allow, deny }, functionNamespace: 'openfaas-fn' })

  test('that are named are read one by one, and need a Role in each', () => {
    const scope = scopeOf(['shop', 'bank', 'shop', 'old'], ['old'])
    expect(scope.functions).toEqual([
      '/apis/openfaas.com/v1/namespaces/shop/functions',
      '/apis/openfaas.com/v1/namespaces/bank/functions',
    ])
    expect([scope.deployments[0], scope.namespaces]).toEqual(['/apis/apps/v1/namespaces/shop/deployments', undefined])
    // Named by whoever runs the hub: that is enough.
    expect([scope.isWanted('shop', new Map()), scope.isWanted('old', new Map())]).toEqual([true, false])
    expect(neededRules(scopeOf(['shop']))).toEqual([
      { verb: 'list', group: 'openfaas.com', resource: 'functions', namespace: 'shop' },
      { verb: 'watch', group: 'openfaas.com', resource: 'functions', namespace: 'shop' },
      { verb: 'list', group: 'apps', resource: 'deployments', namespace: 'shop' },
      { verb: 'watch', group: 'apps', resource: 'deployments', namespace: 'shop' },
    ])
  })

  test.each([[[]], [['team-*', 'shop']]])('%j are of the whole cluster, where OpenFaaS may use them', (allow) => {
    const scope = scopeOf(allow, ['team-secret'])
    expect([scope.functions, scope.deployments, scope.namespaces]).toEqual([
      ['/apis/openfaas.com/v1/functions'],
      ['/apis/apps/v1/deployments'],
      '/api/v1/namespaces',
    ])
    const marked = new Map([
      ['team-a', true],
      ['team-secret', true],
    ])
    expect(scope.isWanted('team-a', marked)).toBe(true)
    expect(scope.isWanted('team-b', marked)).toBe(false)
    expect(scope.isWanted('team-secret', marked)).toBe(false)
    expect(scope.isWanted('openfaas-fn', new Map())).toBe(allow.length === 0)
    expect(neededRules(scope).filter(({ group }) => group === '')).toEqual([
      { verb: 'list', group: '', resource: 'namespaces', namespace: undefined },
      { verb: 'watch', group: '', resource: 'namespaces', namespace: undefined },
    ])
  })

  test('more than can be watched one by one are refused with the way out', () => {
    const names = Array.from({ length: 61 }, (_, index) => `n${index}`)
    expect(() => scopeOf(names)).toThrow(HubError)
    expect(scopeOf(names.slice(1)).functions).toHaveLength(60)
  })
})

describe('cluster and gateway', () => {
  const told = (differences: Iterable<Finding>): string[] => [...differences].map(({ message }) => message)

  test('that agree in what the hub reads have no differences', () => {
    const cluster = [functionInfo('a.shop', { topic: 'x' })]
    const gateway = [functionInfo('a.shop', { topic: 'x', 'prometheus.io.scrape': 'false' })]
    expect(gatewayDifferences(cluster, gateway, 'openfaas-fn').size).toBe(0)
  })

  test('differ in functions and in annotations', () => {
    const cluster = [functionInfo('a.shop', { topic: 'x', schedule: 's' }), functionInfo('b.shop', {})]
    const gateway = [functionInfo('a.shop', { topic: 'y', schedule: 's' }), functionInfo('c.shop', {})]
    const differences = gatewayDifferences(cluster, gateway, 'openfaas-fn')
    expect(told(differences.values())).toEqual([
      'a.shop has another topic in the cluster than the gateway lists; that of the cluster counts',
      'b.shop is in the cluster, and the gateway does not list it',
      'c.shop is listed by the gateway, and is not in the cluster as it is read here: nothing triggers it',
    ])
    expect([...differences.values()].every(({ code, level }) => code === 'HUB_DISCOVERY_DIFFERS' && level === 'warning')).toBe(true) // prettier-ignore
  })

  test('are compared where the gateway has no namespaces', () => {
    const cluster = [functionInfo('a.openfaas-fn', {})]
    expect(gatewayDifferences(cluster, [functionInfo('a', {})], 'openfaas-fn').size).toBe(0)
    expect(gatewayDifferences(cluster, [functionInfo('a', {})], 'other').size).toBe(2)
  })

  test('that differ in thousands say so in a few lines', () => {
    const cluster = Array.from({ length: 500 }, (_, index) => functionInfo(`f${index}.shop`, {}))
    const shown = shownDifferences([...gatewayDifferences(cluster, [], 'openfaas-fn').values()])
    expect(shown).toHaveLength(21)
    expect(shown.at(-1)?.message).toBe('480 more functions are not the same in the cluster and at the gateway')
  })

  test('may differ for a while; what lasts is told, once it does', async () => {
    const clock = new ManualClock()
    let due = 0
    const lasting = new LastingDifferences(clock, 1000, () => (due += 1))
    const differences = gatewayDifferences([functionInfo('a.shop', {})], [], 'openfaas-fn')
    expect(lasting.of(differences)).toEqual([])
    await clock.advance(999)
    expect([lasting.of(differences), due]).toEqual([[], 0])
    await clock.advance(1)
    expect(due).toBe(1)
    expect(lasting.of(differences)).toHaveLength(1)
    // Agreed meanwhile: the time begins anew.
    expect(lasting.of(new Map())).toEqual([])
    expect(lasting.of(differences)).toEqual([])
    lasting.close()
    expect(clock.pending).toBe(0)
  })
})
