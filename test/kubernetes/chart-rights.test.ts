// The rights that the chart gives its service accounts, at a real API server with their own tokens: enough for what they are
// for, and without any one of them it is not.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import { takesTurns } from '../../src/hub/turn-settings.ts'
import { leaseName } from '../../src/hub/turns.ts'
import { ClusterState } from '../../src/kubernetes/cluster-state.ts'
import { KubernetesApi as Client, openAccess } from '../../src/kubernetes/index.ts'
import { LeaseElection } from '../../src/kubernetes/lease-election.ts'
import { asHubError, systemClock } from '../../src/sdk/index.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { hubYamlText, parsed, podOf, rendered, secretsOf } from './chart-rig.ts'
import type { Manifested, Rendered, Values } from './chart-rig.ts'
import { PodFiles, WAIT, Watched, deployment, deployments } from './discovery-rig.ts'

const missing = await noKubernetes()
const FORBIDDEN = 'HUB_KUBERNETES_FORBIDDEN'
const KEPT = { persistence: { enabled: true } } as const

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly resourceNames?: readonly string[]
  readonly verbs: readonly string[]
}

/** Every right that the rules give, one at a time: what is left when it is taken away. */
function withoutOne(rules: readonly Rule[]): readonly (readonly [right: string, left: readonly Rule[]])[] {
  return rules.flatMap((rule, index) =>
    rule.verbs.map((verb) => {
      const verbs = rule.verbs.filter((one) => one !== verb)
      return [`${verb} ${rule.resources.join()}`, rules.map((one, at) => (at === index ? { ...one, verbs } : one)).filter((one) => one.verbs.length > 0)] as const // prettier-ignore
    }),
  )
}

describe.skipIf(missing !== undefined)('the service account of the chart', () => {
  let api: KubernetesApi
  beforeAll(async () => {
    api = sharedKubernetes()
    await api.installFunctionCrd()
  })
  afterAll(() => api[Symbol.dispose]())

  /** Applies the account and its rights, with these rules instead of the Role's where some are given, until they count. */
  async function admit(chart: Rendered, namespace: string, kind: string, rules?: readonly Rule[]): Promise<string> {
    const objects = chart.objects.filter((object) => /^(ServiceAccount|(Cluster)?Role(Binding)?)$/.test(object.kind))
    const input = objects.map((object) => JSON.stringify(object.kind === kind && rules !== undefined ? { ...object, rules } : object)).join('\n---\n') // prettier-ignore
    const applied = await api.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { namespace, input })
    expect([applied.status, applied.stderr]).toEqual([0, ''])
    const account = chart.one('ServiceAccount').metadata.name
    const token = await api.serviceAccountToken(namespace, account)
    const role = chart.objects.find((object) => object.kind === kind) as Manifested
    for (const rule of rules ?? (role.rules as readonly Rule[])) await granted(rule, role.metadata.namespace, token)
    return token
  }

  /** The API server learns of rights a moment after they are written; a test that does not wait would see too few. */
  async function granted(rule: Rule, namespace: string | undefined, token: string): Promise<void> {
    for (const verb of rule.verbs) {
      const spec = { resourceAttributes: { verb, group: rule.apiGroups[0], resource: rule.resources[0], name: rule.resourceNames?.[0], namespace } } // prettier-ignore
      await vi.waitFor(async () => {
        const review = await api.json<{ status: { allowed: boolean } }>('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec }, { token }) // prettier-ignore
        expect([verb, rule.resources, review.status.allowed]).toEqual([verb, rule.resources, true])
      }, WAIT)
    }
  }

  const timers = (namespace: string, entry: Values = {}): Promise<Rendered> =>
    rendered(api, { connectors: { timers: { type: 'cron', ...KEPT, leaderElection: true, ...entry } } }, namespace)

  const orders = (namespace: string, namespaces: readonly string[]): Promise<Rendered> =>
    rendered(api, { connectors: { orders: { type: 'kafka', hub: { discovery: 'kubernetes', gateway: { namespaces } } } } }, namespace) // prettier-ignore

  describe('that takes turns', () => {
    const LEASE = 'connector-hub-leader-timers'

    /** Two replicas, one after the other, each with a turn in which it keeps something. @returns codes of what failed */
    async function turns(namespace: string, token: string): Promise<readonly string[]> {
      const failures: string[] = []
      for (const identity of ['a', 'b']) if (failures.length === 0) failures.push(...(await turn(namespace, token, identity))) // prettier-ignore
      return failures
    }

    async function turn(namespace: string, token: string, identity: string): Promise<readonly string[]> {
      using files = new PodFiles(api, token, namespace)
      const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(api.address.port) }
      const clock = systemClock
      const access = await openAccess({ env, clock, serviceAccount: files.folder })
      const client = new Client({ access, clock, userAgent: 'connector-hub/test', timeoutMs: 5000 })
      const failures: string[] = []
      const failed = (error: unknown): void => void failures.push(asHubError(error).code)
      const common = { api: client, namespace, name: LEASE, identity, clock }
      const timing = { durationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 200 }
      const nothing = (): void => undefined
      const election = new LeaseElection({ ...common, timing, events: { began: nothing, ended: nothing, follows: nothing, failed } }) // prettier-ignore
      const state = new ClusterState({ ...common, election, retryMs: 200, failed })
      election.start()
      await vi.waitFor(() => expect(election.term !== undefined || failures.length > 0).toBe(true), WAIT)
      if (election.term !== undefined) {
        // While it may not be written, it is tried again for ever.
        let isKept = false
        state.set('last', identity).then(() => (isKept = true), failed)
        await vi.waitFor(() => expect(isKept || failures.length > 0).toBe(true), WAIT)
      }
      await election.resign()
      state.close()
      await client.close()
      return failures
    }

    test('may do what that takes', async () => {
      const namespace = await api.createNamespace()
      const chart = await timers(namespace)
      expect(podOf(chart, 'StatefulSet').automountServiceAccountToken).toBe(true)
      expect(await turns(namespace, await admit(chart, namespace, 'Role'))).toEqual([])
      const lease = await api.kubectl(['get', 'lease', LEASE, '-o', 'jsonpath={.spec.leaseTransitions}'], { namespace })
      expect([lease.status, lease.stderr]).toEqual([0, ''])
    })

    test('is of the Lease that the hub of this configuration stands for', async () => {
      const chart = await timers('any')
      const env = Object.fromEntries((podOf(chart, 'StatefulSet').containers[0].env ?? []).map(({ name }) => [name, `the ${name}`])) // prettier-ignore
      const { settings, instances } = await parsed(hubYamlText(chart, 'timers'), env)
      expect(settings.leader).toMatchObject({ enabled: true, identity: 'the POD_NAME', namespace: 'the POD_NAMESPACE' })
      expect(instances.map((instance) => [takesTurns(settings, instance), leaseName(settings, instance.name)])).toEqual([[true, LEASE]]) // prettier-ignore
      const { rules = [] } = chart.one('Role')
      expect((rules as readonly Rule[]).flatMap(({ resourceNames = [] }) => resourceNames)).toEqual([LEASE, LEASE])
    })

    test('may do nothing else', async () => {
      const namespace = await api.createNamespace()
      const token = await admit(await timers(namespace), namespace, 'Role')
      const asked: readonly (readonly [string, string])[] = [
        ['GET', `/api/v1/namespaces/${namespace}/secrets`],
        ['GET', `/api/v1/namespaces/${namespace}/configmaps`],
        ['GET', `/api/v1/namespaces/${namespace}/configmaps/connector-hub-timers`],
        ['GET', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/another`],
        ['DELETE', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${LEASE}`],
        ['GET', deployments(namespace)],
      ]
      for (const [method, path] of asked)
        expect([path, (await api.request(method, path, undefined, { token })).status]).toEqual([path, 403])
    })

    const RIGHTS = ['create leases', 'get leases', 'update leases', 'create configmaps', 'get configmaps', 'update configmaps'] // prettier-ignore

    test('has these rights', async () => {
      const { rules = [] } = (await timers('any')).one('Role')
      expect(withoutOne(rules as readonly Rule[]).map(([right]) => right)).toEqual(RIGHTS)
    })

    test.each(RIGHTS)('needs the right to %s', async (right) => {
      const namespace = await api.createNamespace()
      const chart = await timers(namespace)
      const left = withoutOne(chart.one('Role').rules as readonly Rule[]).find(([one]) => one === right)?.[1]
      expect(await turns(namespace, await admit(chart, namespace, 'Role', left))).toContain(FORBIDDEN)
    })
  })

  describe.each([
    ['in the namespaces it is given', 'Role', ['list functions', 'watch functions', 'list deployments', 'watch deployments']],
    ['everywhere', 'ClusterRole', ['list functions', 'watch functions', 'list deployments', 'watch deployments', 'list namespaces', 'watch namespaces']],
  ] as const)('that watches functions %s', (_, kind, rights) => {
    /** Where functions are, and which of them the watcher is told to look at. */
    async function place(): Promise<{ namespace: string; chart: Rendered; allow: readonly string[] }> {
      const namespace = await api.createNamespace({ openfaas: '1' })
      const allow = kind === 'Role' ? [namespace] : []
      await api.json('POST', deployments(namespace), deployment('orders', { topic: 'a' }))
      return { namespace, chart: await orders(namespace, allow), allow }
    }

    async function expectWatched(namespace: string, token: string, allow: readonly string[], condition: (watched: Watched) => boolean): Promise<void> {
      const options = { token, namespaces: { allow, deny: [] }, tuning: { watchSeconds: 1, backoffMaxMs: 300 } }
      await using watched = new Watched(api, namespace, options)
      await watched.until(condition)
    }

    test('may do what that takes', async () => {
      const { namespace, chart, allow } = await place()
      expect(podOf(chart, 'Deployment').automountServiceAccountToken).toBe(true)
      // Nothing is asked for at the gateway.
      expect(secretsOf(podOf(chart, 'Deployment'))).toEqual({})
      const token = await admit(chart, namespace, kind)
      await expectWatched(namespace, token, allow, ({ wired, problem }) => wired?.[`orders.${namespace}`]?.['topic'] === 'a' && problem === undefined)
    })

    test('has these rights', async () => {
      const { chart } = await place()
      expect(withoutOne(chart.one(kind).rules as readonly Rule[]).map(([right]) => right)).toEqual(rights)
    })

    test.each(rights)('needs the right to %s', async (right) => {
      const { namespace, chart, allow } = await place()
      const left = withoutOne(chart.one(kind).rules as readonly Rule[]).find(([one]) => one === right)?.[1]
      const token = await admit(chart, namespace, kind, left)
      const [verb = '', resource = ''] = right.split(' ')
      await expectWatched(namespace, token, allow, ({ events }) => events.failures.some(({ code, message }) => code === FORBIDDEN && message.includes(`resources ["${resource}"]`) && message.includes(verb)))
    })
  }) // prettier-ignore

  test('of a connector that needs no API server has no token and no rights', async () => {
    const chart = await rendered(api, { connectors: { orders: { type: 'kafka' } } })
    expect(podOf(chart, 'Deployment').automountServiceAccountToken).toBe(false)
    expect(chart.objects.filter(({ kind }) => kind.includes('Role'))).toEqual([])
  })
})
