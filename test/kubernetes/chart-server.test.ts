// What the chart makes of everything that can be asked for, at a real API server: it is accepted as it is, by helm and by
// kubectl, and by the strictest standard for pods.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { CHART } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { EVERYTHING, installMonitoring } from './chart-everything.ts'
import { rendered } from './chart-rig.ts'
import type { Rendered, Values } from './chart-rig.ts'

const missing = await noKubernetes()

describe.skipIf(missing !== undefined)('the chart', () => {
  let api: KubernetesApi
  let chart: Rendered
  beforeAll(async () => {
    api = sharedKubernetes()
    chart = await rendered(api, EVERYTHING)
  })
  afterAll(() => api[Symbol.dispose]())

  test('is applied by helm at the API server, upgraded and removed', async () => {
    const namespace = await api.createNamespace()
    await installMonitoring(api)
    const helm = (args: readonly string[], values: Values): ReturnType<KubernetesApi['helm']> =>
      api.helm([...args, 'connector-hub', CHART, '--namespace', namespace, '--values', '-'], { input: JSON.stringify(values) }) // prettier-ignore
    const installed = await helm(['install'], EVERYTHING)
    expect([installed.status, installed.stderr]).toEqual([0, ''])
    const list = await api.kubectl(['get', 'deployments,statefulsets', '-o', 'name'], { namespace })
    expect(list.stdout.trim().split('\n').toSorted()).toEqual([
      'deployment.apps/connector-hub-events',
      'deployment.apps/connector-hub-orders',
      'deployment.apps/connector-hub-orders-scaler',
      'deployment.apps/connector-hub-rabbit',
      'statefulset.apps/connector-hub-hooks',
      'statefulset.apps/connector-hub-jobs',
      'statefulset.apps/connector-hub-pictures',
      'statefulset.apps/connector-hub-sensors',
      'statefulset.apps/connector-hub-timers',
    ])
    const upgraded = await helm(['upgrade'], { connectors: { orders: { type: 'kafka', replicas: 2 } } })
    expect([upgraded.status, upgraded.stderr]).toEqual([0, ''])
    const left = await api.kubectl(['get', 'deployments,statefulsets', '-o', 'name'], { namespace })
    expect(left.stdout.trim()).toBe('deployment.apps/connector-hub-orders')
    const removed = await api.helm(['uninstall', 'connector-hub', '--namespace', namespace])
    expect([removed.status, removed.stderr]).toEqual([0, ''])
  })

  test('is accepted by the API server from kubectl, whose schema is strict', async () => {
    const namespace = await api.createNamespace()
    await installMonitoring(api)
    const here = await rendered(api, EVERYTHING, namespace)
    for (const dryRun of [['--dry-run=server'], []]) {
      const args = ['apply', '--server-side', '--validate=strict', ...dryRun, '-f', '-']
      const { status, stderr } = await api.kubectl(args, { namespace, input: here.text })
      expect([status, stderr]).toEqual([0, ''])
    }
    // Kept as it was written: nothing was unknown to the API server.
    const kept = await api.kubectl(['get', 'statefulset', 'connector-hub-hooks', '-o', 'json'], { namespace })
    expect(JSON.parse(kept.stdout)).toMatchObject({ spec: here.one('StatefulSet', 'connector-hub-hooks').spec })
  })

  test('pods of every connector pass the restricted Pod Security Standard', async () => {
    const namespace = await api.createNamespace({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    const pods = chart.objects.flatMap(({ kind, metadata, spec }) => {
      if (kind !== 'Deployment' && kind !== 'StatefulSet') return []
      const template = spec?.['template'] as { readonly spec: Values; readonly metadata: Values }
      // Of a StatefulSet, the volume comes from its claims.
      const claimed = [{ name: 'state', emptyDir: {} }]
      const volumes = template.spec['volumes'] as readonly { readonly name: string }[]
      const more = volumes.some(({ name }) => name === 'state') ? [] : claimed
      const { priorityClassName: _, ...podSpec } = template.spec
      return [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: metadata.name }, spec: { ...podSpec, serviceAccountName: undefined, volumes: [...volumes, ...more] } }] // prettier-ignore
    })
    expect(pods).toHaveLength(9)
    for (const pod of pods) {
      const { status, text } = await api.request('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod)
      expect([pod.metadata.name, status, status === 201 ? '' : text]).toEqual([pod.metadata.name, 201, ''])
    }
  })

  test('says at the end how to follow each connector, where it is called and where its dead letters are', async () => {
    await installMonitoring(api)
    const args = ['install', 'connector-hub', CHART, '--dry-run=client', '--namespace', 'openfaas', '--values', '-']
    const { stdout } = await api.helm(args, { input: JSON.stringify(EVERYTHING) })
    const notes = stdout.slice(stdout.indexOf('NOTES:'))
    expect(notes).toContain('kubectl -n openfaas rollout status deployment/connector-hub-orders\n')
    expect(notes).toContain('kubectl -n openfaas rollout status statefulset/connector-hub-hooks\n')
    expect(notes).toContain(
      'It is called at http://connector-hub-hooks-hooks.openfaas:443 and https://hooks.example.com\n',
    )
    expect(notes).toContain('kubectl -n openfaas exec connector-hub-timers-0 -- connector-hub dead-letters list -c /etc/connector-hub/hub.yaml\n') // prettier-ignore
    // Its own broker, or another's, keeps them.
    expect(notes).not.toContain('connector-hub-sensors-0')
  })
})
