// Turns by a Lease of a real API server, with just the rights that are documented: what it accepts, who leads, what doctor
// says of missing rights. What faults do is in cron.test.ts.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { turnRules } from '../../src/hub/turn-check.ts'
import { ClusterState } from '../../src/kubernetes/cluster-state.ts'
import { KubernetesApi as Client, openAccess } from '../../src/kubernetes/index.ts'
import { LeaseElection } from '../../src/kubernetes/lease-election.ts'
import { systemClock } from '../../src/sdk/index.ts'
import { cli } from '../cli/cli.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { CronGateway, Replicas, cronCluster, turnRights, until } from './cron-rig.ts'

const TIMING = { durationMs: 3000, renewDeadlineMs: 2000, retryPeriodMs: 200 }
const missing = await noKubernetes()

describe.skipIf(missing !== undefined)(`a turn${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  beforeAll(() => (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  const client = async (kubeconfig: string): Promise<Client> => new Client({ access: await openAccess({ env: {}, clock: systemClock, kubeconfig }), clock: systemClock, userAgent: 'connector-hub/test' }) // prettier-ignore
  const nothing = (): void => undefined
  const candidate = (kubernetes: Client, namespace: string, identity: string): LeaseElection =>
    new LeaseElection({
      api: kubernetes,
      namespace,
      name: 'hub-cron',
      identity,
      timing: TIMING,
      clock: systemClock,
      events: { began: nothing, ended: nothing, follows: nothing, failed: nothing },
    })

  test('is one of several at a time, goes over when it is resigned, and is what kubectl shows', async () => {
    const { namespace, kubeconfig } = await cronCluster(api)
    const clients = await Promise.all(['a', 'b', 'c'].map(() => client(kubeconfig)))
    const elections = clients.map((one, index) => candidate(one, namespace, `pod-${index}`))
    for (const election of elections) election.start()
    const leaders = (): readonly LeaseElection[] => elections.filter(({ term }) => term?.held() === true)
    await until(() => leaders().length > 0, 'somebody leads')
    const [first] = leaders()
    expect([leaders().length, first?.term?.epoch]).toEqual([1, 0])
    const { stdout } = await api.kubectl(['get', 'lease', 'hub-cron', '-o', 'jsonpath={.spec.holderIdentity} {.spec.leaseDurationSeconds} {.spec.leaseTransitions}'], { namespace }) // prettier-ignore
    expect(stdout).toBe(`${first?.standing.holder} 3 0`)
    await first?.resign()
    await until(() => leaders().length > 0, 'somebody else leads')
    expect([leaders().length, leaders()[0]?.term?.epoch, leaders()[0] === first]).toEqual([1, 1, false])
    await Promise.all(elections.map((election) => election.resign()))
    await Promise.all(clients.map((one) => one.close()))
  })

  test('shuts out what an earlier holder still writes', async () => {
    const { namespace, kubeconfig } = await cronCluster(api)
    const kubernetes = await client(kubeconfig)
    const state = (identity: string, epoch: number): ClusterState => {
      const { signal } = new AbortController()
      const election = { term: { epoch, signal, held: () => true }, outrank: nothing }
      return new ClusterState({ api: kubernetes, namespace, name: 'hub-cron', identity, election, clock: systemClock, retryMs: 200, failed: nothing }) // prettier-ignore
    }
    const [first, second] = [state('pod-1', 0), state('pod-2', 1)]
    await first.set('a', '1')
    await Promise.all(Array.from({ length: 500 }, (_, index) => first.set(`key ${index}`, String(index))))
    expect([await second.get('a'), (await second.keys()).length]).toEqual(['1', 501])
    await expect(first.set('a', 'stale')).rejects.toMatchObject({ code: 'HUB_LEASE_LOST' })
    await second.set('a', '2')
    const { data } = await api.json<{ data: { state: string; fence: string } }>('GET', `/api/v1/namespaces/${namespace}/configmaps/hub-cron`) // prettier-ignore
    expect([(JSON.parse(data.state) as { a: string }).a, data.fence]).toEqual(['2', '{"epoch":1,"holder":"pod-2","write":1}']) // prettier-ignore
    await kubernetes.close()
  })

  test('of a hub needs the documented rights, which doctor asks for, and each of them', async () => {
    const { namespace, kubeconfig } = await cronCluster(api)
    const env = (file: string): Record<string, string> => ({ HUB_KUBERNETES_KUBECONFIG: file, HUB_LEADER_ENABLED: 'true', HUB_LEADER_LEASE: 'hub', HUB_LEADER_NAMESPACE: namespace, HUB_STATE_DIR: '/tmp' }) // prettier-ignore
    const turns = async (file: string): Promise<unknown> => {
      const { stdout } = await cli(['doctor', 'cron', '--json', '--timeout', '5s'], { env: env(file) })
      const { checks } = JSON.parse(stdout) as { checks: { subject: string }[] }
      return checks.find(({ subject }) => subject === 'leader')
    }
    expect(await turns(kubeconfig)).toEqual({ subject: 'leader', outcome: 'ok', detail: `cron may create, get and update Lease and ConfigMap hub-cron in ${namespace}` }) // prettier-ignore
    const token = await api.serviceAccountToken(namespace, 'poor')
    await api.grant(namespace, 'poor', turnRights('hub-cron').slice(1))
    expect(await turns(api.kubeconfig(token, namespace))).toEqual({
      subject: 'leader',
      outcome: 'failed',
      detail: `cron must not create leases: it needs Lease and ConfigMap hub-cron in ${namespace}`,
      code: 'HUB_KUBERNETES_FORBIDDEN',
      fix: `Grant the service account by a Role in namespace ${namespace}: apiGroups ["coordination.k8s.io"], resources ["leases"], verbs ["create"].`,
    })
    // What is asked for is what is granted, verb by verb.
    const granted = turnRights('hub-cron').flatMap(({ apiGroups, resources, verbs }) => verbs.map((verb) => `${verb} ${resources[0]} ${apiGroups[0]}`)) // prettier-ignore
    expect(turnRules('hub-cron', namespace).map(({ verb, resource, group }) => `${verb} ${resource} ${group}`).toSorted()).toEqual(granted.toSorted()) // prettier-ignore
  })

  test('is shown by /readyz of each replica, and those that stand by are ready', async () => {
    await using gateway = await new CronGateway({ tick: { topic: 'cron-function', schedule: '@every 1s' } }).start()
    await using replicas = new Replicas({ gateway, ...(await cronCluster(api)) })
    const hubs = [replicas.start(), replicas.start()].map((name) => replicas.of(name))
    await until(() => gateway.calls.length > 0, 'the first fire')
    const leader = gateway.calls[0]?.hub ?? ''
    interface Ready {
      readonly ready: boolean
      readonly connectors: readonly { readonly state: string; readonly leader: { readonly holder: string; readonly isOurs: boolean } }[] // prettier-ignore
    }
    const read = async (): Promise<readonly Ready[]> => Promise.all(hubs.map(async (hub) => (await (await hub.ask('/readyz')).json()) as Ready)) // prettier-ignore
    await expect.poll(async () => (await read()).map(({ ready, connectors }) => `${ready} ${connectors[0]?.state} ${connectors[0]?.leader.isOurs} ${connectors[0]?.leader.holder.split('_')[0]}`).toSorted()).toEqual([`true active true ${leader}`, `true standby false ${leader}`]) // prettier-ignore
    const metrics = await Promise.all(hubs.map(async (hub) => (await hub.ask('/metrics')).text()))
    expect(metrics.map((text) => /^connector_hub_leader\{.*\} (\d)$/m.exec(text)?.[1] ?? '0').toSorted()).toEqual(['0', '1']) // prettier-ignore
  })

  test('is had by nobody while its rights are missing, which the hub says, and by somebody when they are there', async () => {
    const namespace = await api.createNamespace()
    const token = await api.serviceAccountToken(namespace, 'hub')
    await using gateway = await new CronGateway({ tick: { topic: 'cron-function', schedule: '@every 1s' } }).start()
    await using replicas = new Replicas({ gateway, namespace, kubeconfig: api.kubeconfig(token, namespace) })
    const hub = replicas.of(replicas.start())
    await hub.says('connector.failing')
    expect((await hub.ask('/readyz')).status).toBe(503)
    expect(hub.logTail()).toContain('HUB_KUBERNETES_FORBIDDEN')
    await api.grant(namespace, 'hub', turnRights('hub-cron'))
    await until(() => gateway.calls.length > 0, 'the first fire')
  })
})
