// Discovery by a cluster whose API server forgets, is cut off, freezes, crashes, refuses and is late: the last good wiring stays,
// the problem is said, and what changed meanwhile is wired afterwards.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import { KubernetesApi as Client, listAll, podAccess } from '../../src/kubernetes/index.ts'
import type { KubernetesAnswer } from '../../src/kubernetes/index.ts'
import { systemClock } from '../../src/sdk/index.ts'
import type { KubernetesApi, Rule } from '../servers/kubernetes-api.ts'
import { noKubernetes, startKubernetes } from '../servers/kubernetes.ts'
import type { KubernetesServer } from '../servers/kubernetes.ts'
import { startTcpProxy } from '../servers/tcp-proxy.ts'
import {
  PodFiles,
  READS,
  WAIT,
  Watched,
  annotate,
  deployment,
  deployments,
  functionResource,
  functions,
} from './discovery-rig.ts'

const missing = await noKubernetes()
const because = missing === undefined ? '' : ` (${missing})`
/** Quick, so that a test does not wait for what a cluster has time for. */
const tuning = { watchSeconds: 2, graceMs: 1000, confirmMs: 500, absentMs: 200, backoffMaxMs: 500 }
const TEST_MS = 180_000

const deploy = (api: KubernetesApi, namespace: string, name: string, topic: string): Promise<unknown> =>
  api.json('POST', deployments(namespace), deployment(name, { topic }))

/** A namespace with a service account that may read there. */
async function account(api: KubernetesApi): Promise<{ readonly namespace: string; readonly token: string }> {
  const namespace = await api.createNamespace()
  const token = await api.serviceAccountToken(namespace, 'hub')
  await api.grant(namespace, 'hub', READS)
  return { namespace, token }
}

describe.skipIf(missing !== undefined)(`an API server that answers from etcd${because}`, { timeout: TEST_MS }, () => {
  let cluster: KubernetesServer
  beforeAll(async () => {
    cluster = await startKubernetes({ watchCache: false })
    await cluster.api.installFunctionCrd()
  }, TEST_MS)
  afterAll(() => cluster[Symbol.asyncDispose]())

  test('has compacted what happened while the connection was cut: all is listed anew', async () => {
    const { api } = cluster
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await deploy(api, namespace, 'gone', 'x')
    await using proxy = await startTcpProxy(api.address.port)
    await using watched = new Watched(api, namespace, { token, port: proxy.port, tuning: { ...tuning, watchSeconds: 60 } }) // prettier-ignore
    await watched.topic(`orders.${namespace}`, 'a')
    proxy.refuse(true)
    proxy.cut()
    await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_UNREACHABLE'))
    expect(Object.keys(watched.wired ?? {})).toHaveLength(2)
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await api.json('DELETE', deployments(namespace, 'gone'))
    await cluster.compact()
    proxy.refuse(false)
    await watched.topic(`orders.${namespace}`, 'b')
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'b' } })
    expect(watched.events.failures.some(({ message }) => /answered 410 (Gone|Expired)/.test(message))).toBe(true)
    await watched.until(({ problem }) => problem === undefined)
  })

  test('compacts in the middle of a list by pages: the list begins anew', async () => {
    const { api } = cluster
    const { namespace, token } = await account(api)
    for (let index = 0; index < 4; index += 1) await deploy(api, namespace, `f${index}`, 't')
    const asked: unknown[] = []
    class Compacting extends Client {
      override async list(...[path, query, options]: Parameters<Client['list']>): Promise<KubernetesAnswer> {
        const answer = await super.list(path, query, options)
        asked.push(query['continue'] === undefined ? 'first' : 'next')
        if (asked.length === 2) await cluster.compact()
        return answer
      }
    }
    using files = new PodFiles(api, token, namespace)
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(api.address.port) }
    const access = await podAccess(env, systemClock, files.folder)
    const client = new Compacting({ access, clock: systemClock, userAgent: 'test' })
    const options = { pageItems: 1, signal: new AbortController().signal }
    const { items } = await listAll(client, deployments(namespace), options, (_object, { name }) => name)
    await client.close()
    expect([...items.values()]).toEqual(['f0', 'f1', 'f2', 'f3'])
    expect(asked).toEqual(['first', 'next', 'first', 'next', 'next', 'next'])
  })

  test('suddenly lists nothing: that counts when it says so again', async () => {
    const { api } = cluster
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using proxy = await startTcpProxy(api.address.port)
    await using watched = new Watched(api, namespace, { token, port: proxy.port, tuning: { ...tuning, watchSeconds: 60 } }) // prettier-ignore
    await watched.topic(`orders.${namespace}`, 'a')
    proxy.refuse(true)
    proxy.cut()
    await watched.until(({ failures }) => failures.length > 0)
    await api.json('DELETE', deployments(namespace, 'orders'))
    await cluster.compact()
    proxy.refuse(false)
    await watched.until(({ wired }) => Object.keys(wired ?? {}).length === 0)
    const messages = watched.events.failures.map(({ message }) => message)
    expect(messages.filter((text) => text.startsWith(`the API server suddenly lists no deployments in ${namespace}`))).toHaveLength(1) // prettier-ignore
    await watched.until(({ problem }) => problem === undefined)
  })
})

describe.skipIf(missing !== undefined)(`an API server as clusters have it${because}`, { timeout: TEST_MS }, () => {
  let cluster: KubernetesServer
  let api: KubernetesApi
  beforeAll(async () => {
    cluster = await startKubernetes({ anonymous: false })
    api = cluster.api
  }, TEST_MS)
  afterAll(() => cluster[Symbol.asyncDispose]())

  test('without Function resources gives its Deployments, and Functions once they are installed', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using watched = new Watched(api, namespace, { token, tuning })
    await watched.topic(`orders.${namespace}`, 'a')
    expect(watched.failures).toEqual([])
    await api.installFunctionCrd()
    await api.json('POST', functions(namespace), functionResource('bills', { topic: 'b' }))
    await watched.topic(`bills.${namespace}`, 'b')
    expect(Object.keys(watched.wired ?? {})).toEqual([`bills.${namespace}`, `orders.${namespace}`])
  })

  test('whose connections are reset is watched again where the watch was', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using proxy = await startTcpProxy(api.address.port)
    await using watched = new Watched(api, namespace, { token, port: proxy.port })
    await watched.topic(`orders.${namespace}`, 'a')
    for (const topic of ['b', 'c', 'd']) {
      const failures = watched.failures.length
      proxy.cut()
      await watched.until((one) => one.failures.length > failures)
      await annotate(api, namespace, 'orders', { topic })
      await watched.topic(`orders.${namespace}`, topic)
    }
    await watched.until(({ problem }) => problem === undefined)
    expect(new Set(watched.failures)).toEqual(new Set(['HUB_KUBERNETES_UNREACHABLE']))
  })

  test('behind a connection that is half open is noticed by its silence', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using proxy = await startTcpProxy(api.address.port)
    await using watched = new Watched(api, namespace, { token, port: proxy.port, tuning })
    await watched.topic(`orders.${namespace}`, 'a')
    proxy.silence(true)
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_UNREACHABLE'))
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'a' } })
    proxy.cut()
    proxy.silence(false)
    await watched.topic(`orders.${namespace}`, 'b')
  })

  test('that is frozen, and goes on', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using watched = new Watched(api, namespace, { token, tuning })
    await watched.topic(`orders.${namespace}`, 'a')
    cluster.pause()
    await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_UNREACHABLE'))
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'a' } })
    cluster.resume()
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await watched.topic(`orders.${namespace}`, 'b')
    await watched.until(({ problem }) => problem === undefined)
  })

  test('that is killed and starts again', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    await using watched = new Watched(api, namespace, { token, tuning })
    await watched.topic(`orders.${namespace}`, 'a')
    await cluster.kill()
    await watched.until(({ failures }) => failures.filter((code) => code === 'HUB_KUBERNETES_UNREACHABLE').length > 2)
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'a' } })
    await cluster.start()
    await annotate(api, namespace, 'orders', { topic: 'b' })
    await watched.topic(`orders.${namespace}`, 'b')
    await watched.until(({ problem }) => problem === undefined)
    expect(watched.events.recoveries).toBeGreaterThan(0)
  })

  test('that refuses an expired token takes the next one as soon as it is mounted', async () => {
    const { namespace, token } = await account(api)
    await deploy(api, namespace, 'orders', 'a')
    const expired = await api.tokenExpiringIn(-600, namespace, 'hub')
    await using watched = new Watched(api, namespace, { token: expired, tuning })
    await watched.until(({ failures }) => failures.includes('HUB_KUBERNETES_UNAUTHORIZED'))
    expect(watched.snapshots).toEqual([])
    watched.files.rotate(token)
    await watched.topic(`orders.${namespace}`, 'a')
    // The account's end is that of its tokens, a moment later: the server remembers what it has accepted.
    await api.json('DELETE', `/api/v1/namespaces/${namespace}/serviceaccounts/hub`)
    await watched.until(({ problem }) => problem?.startsWith('HUB_KUBERNETES_UNAUTHORIZED') === true)
    expect(watched.wired).toEqual({ [`orders.${namespace}`]: { topic: 'a' } })
    await annotate(api, namespace, 'orders', { topic: 'b' })
    watched.files.rotate(await api.serviceAccountToken(namespace, 'hub'))
    await watched.topic(`orders.${namespace}`, 'b')
  })

  test('as a whole: namespaces count when OpenFaaS may use them, and each right is needed', async () => {
    await api.installFunctionCrd()
    const { namespace: home } = await account(api)
    const rules: readonly Rule[] = [...READS, { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] }]
    const rbac = '/apis/rbac.authorization.k8s.io/v1'
    await api.json('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name: 'hub' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'hub' },
      subjects: [{ kind: 'ServiceAccount', name: 'hub', namespace: home }],
    })
    const allow = (some: readonly Rule[]): Promise<unknown> =>
      api.json('PUT', `${rbac}/clusterroles/hub`, { metadata: { name: 'hub' }, rules: some })
    await api.json('POST', `${rbac}/clusterroles`, { metadata: { name: 'hub' }, rules: rules.slice(0, 2) })
    await api.request('POST', '/api/v1/namespaces', { metadata: { name: 'openfaas-fn' } })
    const marked = await api.createNamespace({ openfaas: '1' })
    const strange = await api.createNamespace()
    await deploy(api, 'openfaas-fn', 'first', 'a')
    await deploy(api, marked, 'second', 'b')
    await deploy(api, strange, 'third', 'c')

    const token = await api.serviceAccountToken(home, 'hub')
    await using watched = new Watched(api, home, { token, tuning, namespaces: { allow: [], deny: [] } })
    await watched.until(({ problem }) => problem?.includes('Grant the service account by a ClusterRole: apiGroups [""], resources ["namespaces"], verbs ["list"]') === true) // prettier-ignore
    expect(watched.snapshots).toEqual([])
    await allow(rules)
    await watched.until(({ snapshots }) => snapshots.length > 0)
    expect(Object.keys(watched.wired ?? {}).sort()).toEqual([`first.openfaas-fn`, `second.${marked}`])

    const mark = (value: string | null): Promise<unknown> =>
      api.json('PATCH', `/api/v1/namespaces/${strange}`, { metadata: { annotations: { openfaas: value } } }, { contentType: 'application/merge-patch+json' }) // prettier-ignore
    await mark('1')
    await watched.topic(`third.${strange}`, 'c')
    await mark(null)
    await watched.topic(`third.${strange}`, undefined)
  })

  test('with 5,000 functions is wired whole, and a change among them alone', { timeout: 600_000 }, async () => {
    await api.installFunctionCrd()
    const { namespace, token } = await account(api)
    const names = Array.from({ length: 5000 }, (_, index) => `f${String(index).padStart(4, '0')}`)
    let next = 0
    const create = async (): Promise<void> => {
      for (let name = names[next++]; name !== undefined; name = names[next++])
        if (next % 2 === 0) await api.json('POST', functions(namespace), functionResource(name, { topic: name }))
        else await deploy(api, namespace, name, name)
    }
    await Promise.all(Array.from({ length: 8 }, create))
    await using watched = new Watched(api, namespace, { token })
    const startedMs = performance.now()
    await vi.waitFor(() => expect(watched.snapshots.length).toBe(1), { ...WAIT, timeout: 300_000 })
    const listedMs = performance.now() - startedMs
    expect(watched.snapshots[0]?.functions.map(({ name }) => name)).toEqual(names)
    await annotate(api, namespace, 'f0000', { topic: 'other' })
    const changedMs = performance.now()
    await watched.topic(`f0000.${namespace}`, 'other')
    const wiredMs = performance.now() - changedMs
    expect(watched.snapshots.length).toBe(2)
    const same = watched.snapshots[1]?.functions.filter(
      (info, index) => info === watched.snapshots[0]?.functions[index],
    )
    expect(same).toHaveLength(4999)
    console.info(`5,000 functions listed in ${listedMs.toFixed(0)} ms, a change wired in ${wiredMs.toFixed(0)} ms`)
  })
})
