// Discovery by a cluster against a real API server, with the rights of a service account: what is wired, and when.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import { listKubernetes } from '../../src/discovery/kubernetes.ts'
import { KubernetesApi as Client, podAccess } from '../../src/kubernetes/index.ts'
import { systemClock } from '../../src/sdk/index.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import {
  PodFiles,
  READS,
  Watched,
  annotate,
  deployment,
  deployments,
  functionResource,
  functions,
} from './discovery-rig.ts'

const missing = await noKubernetes()
const because = missing === undefined ? '' : ` (${missing})`

describe.skipIf(missing !== undefined)(`functions of a cluster${because}`, () => {
  let api: KubernetesApi
  let namespace: string
  let token: string
  let granted: string

  beforeAll(async () => {
    api = sharedKubernetes()
    await api.installFunctionCrd()
  })
  afterAll(() => api[Symbol.dispose]())
  beforeEach(async () => {
    namespace = await api.createNamespace()
    token = await api.serviceAccountToken(namespace, 'hub')
    granted = await api.grant(namespace, 'hub', READS)
  })

  const deploy = (name: string, annotations: Record<string, string>): Promise<unknown> =>
    api.json('POST', deployments(namespace), deployment(name, annotations))

  test('are its Function resources and the Deployments of OpenFaaS, each once', async () => {
    await deploy('orders', { topic: 'orders.created' })
    await deploy('both', { topic: 'old' })
    await api.json('POST', functions(namespace), functionResource('both', { topic: 'new' }))
    await api.json('POST', functions(namespace), functionResource('bills', { schedule: '* * * * *' }))
    // Not of OpenFaaS: it has no label faas_function.
    const other = deployment('other', { topic: 'x' }) as { metadata: { labels?: unknown } }
    delete other.metadata.labels
    await api.json('POST', deployments(namespace), other)
    await using watched = new Watched(api, namespace, { token })
    await watched.until(({ snapshots }) => snapshots.length > 0)
    expect(watched.snapshots[0]?.functions).toEqual([
      { name: 'bills', namespace, fullName: `bills.${namespace}`, annotations: { schedule: '* * * * *' } },
      { name: 'both', namespace, fullName: `both.${namespace}`, annotations: { topic: 'new' } },
      { name: 'orders', namespace, fullName: `orders.${namespace}`, annotations: { topic: 'orders.created' } },
    ])
    expect([watched.failures, watched.problem]).toEqual([[], undefined])
    expect(watched.watcher.status()).toMatchObject({ functions: 3, lastGoodAtMs: expect.any(Number) as number })
  })

  test('are listed once for commands with the same rights', async () => {
    await deploy('orders', { topic: 'orders.created' })
    await api.json('POST', functions(namespace), functionResource('bills', { topic: 'bills' }))
    using files = new PodFiles(api, token, namespace)
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(api.address.port) }
    const access = await podAccess(env, systemClock, files.folder)
    const client = new Client({ access, clock: systemClock, userAgent: 'test' })
    const options = { namespaces: { allow: [namespace], deny: [] }, functionNamespace: 'openfaas-fn' }
    const { functions: listed, findings } = await listKubernetes(client, options, new AbortController().signal)
    await client.close()
    expect(listed.map(({ fullName }) => fullName)).toEqual([`bills.${namespace}`, `orders.${namespace}`])
    expect(findings).toEqual([])
  })

  test('are wired as they are deployed, changed and removed', async () => {
    await using watched = new Watched(api, namespace, { token })
    await watched.until(({ snapshots }) => snapshots.length > 0)
    expect(watched.wired).toEqual({})
    await deploy('orders', { topic: 'a' })
    await watched.topic(`orders.${namespace}`, 'a')
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await watched.topic(`orders.${namespace}`, 'b')
    await api.json('POST', functions(namespace), functionResource('bills', { topic: 'c' }))
    await watched.topic(`bills.${namespace}`, 'c')
    await api.json('DELETE', deployments(namespace, 'orders'))
    await watched.until(({ wired }) => wired?.[`orders.${namespace}`] === undefined)
    await api.json('DELETE', functions(namespace, 'bills'))
    await watched.until(({ wired }) => Object.keys(wired ?? {}).length === 0)
    expect(watched.failures).toEqual([])
  })

  test('that change in nothing the hub reads are not wired anew', async () => {
    await deploy('orders', { topic: 'a' })
    await using watched = new Watched(api, namespace, { token })
    await watched.topic(`orders.${namespace}`, 'a')
    const status = { status: { replicas: 3, readyReplicas: 3, availableReplicas: 3 } }
    await api.json('PATCH', `${deployments(namespace, 'orders')}/status`, status, { contentType: 'application/merge-patch+json' }) // prettier-ignore
    await annotate(api, namespace, 'orders', { 'kubectl.kubernetes.io/restartedAt': 'now' })
    // Whatever these events lead to has happened when this one is wired: they come in order.
    await deploy('last', { topic: 'z' })
    await watched.topic(`last.${namespace}`, 'z')
    const orders = watched.snapshots.map(({ functions: list }) => list.find(({ name }) => name === 'orders'))
    expect(orders.every((info) => info === orders[0])).toBe(true)
    expect(watched.snapshots.length).toBe(2)
  })

  test('come by pages where there are many', async () => {
    for (let index = 0; index < 7; index += 1) await deploy(`f${index}`, { topic: `t${index}` })
    await using watched = new Watched(api, namespace, { token, tuning: { pageItems: 3 } })
    await watched.until(({ snapshots }) => snapshots.length > 0)
    expect(watched.snapshots[0]?.functions.map(({ name }) => name)).toEqual(['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6'])
  })

  test('stay wired while a right is missing, which is named with its Role, and follow when it is granted again', async () => {
    await deploy('orders', { topic: 'a' })
    await using watched = new Watched(api, namespace, { token, tuning: { watchSeconds: 1, backoffMaxMs: 500 } })
    await watched.topic(`orders.${namespace}`, 'a')
    await api.revoke(namespace, granted)
    await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_FORBIDDEN'))
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'a' } })
    const problem = watched.events.failures.find(({ code }) => code === 'HUB_KUBERNETES_FORBIDDEN')
    expect(problem?.message).toMatch(
      new RegExp(
        `Grant the service account by a Role in namespace ${namespace}: apiGroups \\["(apps|openfaas.com)"\\], resources \\["(deployments|functions)"\\], verbs \\["watch"\\]$`,
      ),
    )
    expect(problem?.lastGoodAgeMs).toBeTypeOf('number')
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await api.grant(namespace, 'hub', READS)
    await watched.topic(`orders.${namespace}`, 'b')
    await watched.until((one) => one.problem === undefined)
    expect(watched.events.recoveries).toBeGreaterThan(0)
  })

  test.each(READS.map((rule) => [rule.resources[0] as string, rule] as const))(
    'cannot be known without the rule for %s',
    async (resource, rule) => {
      await api.revoke(namespace, granted)
      await api.grant(namespace, 'hub', READS.filter((one) => one !== rule)) // prettier-ignore
      await using watched = new Watched(api, namespace, { token, tuning: { backoffMaxMs: 500 } })
      await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_FORBIDDEN'))
      expect(watched.problem).toContain(`resources ["${resource}"], verbs ["list"]`)
      expect([watched.snapshots, watched.watcher.status().lastGoodAtMs]).toEqual([[], undefined])
      await api.grant(namespace, 'hub', [rule])
      await watched.until(({ snapshots }) => snapshots.length > 0)
    },
  )

  test('whose Function and Deployment differ for long are a finding, and the Function counts', async () => {
    await deploy('both', { topic: 'deployed' })
    await api.json('POST', functions(namespace), functionResource('both', { topic: 'wanted' }))
    await using watched = new Watched(api, namespace, { token, graceMs: 200 })
    await watched.until(({ snapshots }) => snapshots.at(-1)?.findings.length === 1)
    expect(watched.snapshots.at(-1)?.findings).toMatchObject([
      { level: 'warning', code: 'HUB_DISCOVERY_DIFFERS', function: `both.${namespace}`, annotation: 'topic' },
    ])
    expect(watched.wired).toEqual({ [`both.${namespace}`]: { topic: 'wanted' } })
    await annotate(api, namespace, 'both', { topic: 'wanted' })
    await watched.until(({ snapshots }) => snapshots.at(-1)?.findings.length === 0)
  })
})
