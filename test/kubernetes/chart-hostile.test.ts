// What an operator slips into values, and what upgrades do to what is there: the chart says what to do, or makes of it what
// Kubernetes takes. What it refuses because of the hub's own terms is in chart-terms.test.ts.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { CHART, DEPLOY } from '../deploy/chart-keys.ts'
import type { KubernetesApi, Ran } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { installMonitoring } from './chart-everything.ts'
import { one, podOf, refusal, render, rendered } from './chart-rig.ts'
import type { Values } from './chart-rig.ts'

const missing = await noKubernetes()
const KEPT = { persistence: { enabled: true } } as const
const HOOKS = { config: { hooks: [{ name: 'any', scheme: 'none' }] } } as const
const KAFKA = { type: 'kafka' } as const
const SCALED = { ...KAFKA, autoscaling: { enabled: true, targetLag: 5_000_000, activationLag: 1_000_000 } } as const

describe.skipIf(missing !== undefined)('the chart', () => {
  let api: KubernetesApi
  beforeAll(() => void (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  test.each<[string, Values, string]>([
    ['nothing behind common', { common: null }, "at '': missing property 'common'"],
    ['nothing behind a group', { common: { persistence: null } }, "at '/common': missing property 'persistence'"],
    ['nothing behind a key of it', { common: { hooksService: { port: null } } }, "at '/common/hooksService': missing property 'port'"],
    ['nothing behind image', { image: null }, "at '': missing property 'image'"],
    ['half a digest', { image: { digest: 'sha256:ab' } }, "at '/image/digest': 'sha256:ab' does not match pattern '^(sha256:[0-9a-f]{64})?$'"],
    ['names that begin with a digit', { fullnameOverride: '2024-01' }, 'connectors.x: what belongs to it would be called 2024-01-x, and Kubernetes takes lower-case letters, digits and -, beginning with a letter. Set fullnameOverride.'],
    ['names with other letters', { fullnameOverride: 'My_Hub' }, 'connectors.x: what belongs to it would be called My_Hub-x, and Kubernetes takes lower-case letters, digits and -, beginning with a letter. Set fullnameOverride.'],
    ['a connector called as a scaler', { connectors: { x: SCALED, 'x-scaler': KAFKA } }, 'connectors.x-scaler: must be another name: what x makes is called that, too.'],
    ['a connector called as the hooks of another', { connectors: { x: { type: 'webhook', ...KEPT, ...HOOKS }, 'x-hooks': KAFKA } }, 'connectors.x-hooks: must be another name: what x makes is called that, too.'],
  ])('refuses %s', async (_, values, said) => {
    expect(await render(api, { connectors: { x: KAFKA }, ...values })).toContain(said)
  }) // prettier-ignore

  test.each<[string, Values, string]>([
    ['a number for a variable', { env: [{ name: 'A', value: 1 }] }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/env/0/value': got number, want string"],
    ['what is no name of a Secret', { secrets: { tls: 'My Secret' } }, "- at '/connectors/x': 'allOf' failed\n  - at '/connectors/x/secrets/tls': 'My Secret' does not match pattern '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'"],
    ['a label that the selectors go by', { podLabels: { 'app.kubernetes.io/component': 'y' } }, "connectors.x.podLabels: app.kubernetes.io/component is the chart's, whose selectors go by it. Remove it."],
    ['a password in an address, in any letters', { gatewayURL: 'HTTP://admin:word@gateway' }, 'connectors.x.hub.gateway.url: has a user or a password in it, and everybody who may read ConfigMaps would read it. Take it out, and set usernameFile and passwordFile to keys of a Secret mounted with `secrets`.'],
    ['the port of metrics for hooks', { type: 'webhook', ...KEPT, config: { ...HOOKS.config, listen: { port: 8081 } } }, 'connectors.x.config.listen.port: 8081 is where health and metrics are. Set another; callers see that of hooksService.port.'],
  ])('refuses %s', async (_, entry, said) => {
    expect(await refusal(api, 'x', { ...KAFKA, ...entry })).toBe(said)
  }) // prettier-ignore

  test('takes names, labels and lists that YAML would read as something else, and defaults that are taken away', async () => {
    await installMonitoring(api)
    const namespace = await api.createNamespace()
    const nothing = ['env', 'envFrom', 'podLabels', 'podAnnotations', 'secrets', 'configMaps', 'hub', 'resources', 'affinity'] // prettier-ignore
    const values = {
      common: { ...Object.fromEntries(nothing.map((key) => [key, null])), serviceMonitor: { enabled: true } },
      connectors: { '1': SCALED, true: KAFKA, 'a-scaler': KAFKA, 'a-hooks': KAFKA, a: { ...KAFKA, podLabels: { 'app.kubernetes.io/version': '9' }, podAnnotations: { 'checksum/config': 'mine' } } }, // prettier-ignore
    }
    const chart = await rendered(api, values, namespace)
    const args = ['apply', '--server-side', '--validate=strict', '-f', '-']
    const applied = await api.kubectl(args, { namespace, input: chart.text })
    expect([applied.status, applied.stderr]).toEqual([0, ''])
    expect(chart.one('ScaledObject').spec).toMatchObject({ triggers: [{ metadata: { connector: '1', targetLag: '5000000', activationLag: '1000000' } }] }) // prettier-ignore
    const { template } = chart.one('Deployment', 'connector-hub-a').spec as { template: { metadata: Record<'labels' | 'annotations', Record<string, string>> } } // prettier-ignore
    expect(template.metadata.labels).toMatchObject({ 'app.kubernetes.io/version': '9', 'app.kubernetes.io/component': 'a' }) // prettier-ignore
    expect(template.metadata.annotations['checksum/config']).toMatch(/^[0-9a-f]{64}$/)
  })

  test('makes one Role for a namespace that is named twice, as the hub looks there once', async () => {
    const hub = { discovery: 'kubernetes', gateway: { namespaces: ['shop', 'team', 'shop'] } }
    const roles = (await one(api, 'x', { ...KAFKA, hub })).objects.filter(({ kind }) => kind === 'Role')
    expect(roles.map(({ metadata }) => metadata.namespace)).toEqual(['shop', 'team'])
  })

  test('takes an image by its digest', async () => {
    const digest = `sha256:${'0f'.repeat(32)}`
    const chart = await rendered(api, { image: { repository: 'r/hub', tag: 'old', digest }, connectors: { x: KAFKA } })
    expect(podOf(chart, 'Deployment').containers[0]).toMatchObject({ image: `r/hub@${digest}` })
  })

  test('has the alerts of deploy/prometheus for the operator, when it is asked', async () => {
    expect((await one(api, 'x', KAFKA)).kinds()).not.toContain('PrometheusRule')
    const chart = await rendered(api, { prometheusRule: { enabled: true, labels: { release: 'prometheus' } }, connectors: { x: KAFKA } }) // prettier-ignore
    const rule = chart.one('PrometheusRule')
    expect(rule.spec).toEqual(load(readFileSync(join(DEPLOY, 'prometheus/alerts.yaml'), 'utf8')))
    expect(rule.metadata.labels).toMatchObject({ release: 'prometheus', 'app.kubernetes.io/instance': 'connector-hub' })
  })

  const upgraded = (namespace: string, persistence: Values): Promise<Ran> =>
    api.helm(['upgrade', '--install', 'connector-hub', CHART, '--namespace', namespace, '--values', '-'], {
      input: JSON.stringify({ connectors: { x: { type: 'cron', persistence } } }),
    })

  test.each(['1024Mi', '1.5Gi', '2000M', '1.1G'])(
    'a volume of %s is the same one at the next upgrade, however Kubernetes writes that size',
    async (size) => {
      const namespace = await api.createNamespace()
      expect(await upgraded(namespace, { enabled: true, size })).toMatchObject({ status: 0, stderr: '' })
      expect(await upgraded(namespace, { enabled: true, size })).toMatchObject({ status: 0, stderr: '' })
      expect(await upgraded(namespace, { enabled: true, size: '3Gi' })).toMatchObject({ status: 1 })
    },
  )

  test('says how a StatefulSet comes to another volume, and that works', async () => {
    const namespace = await api.createNamespace()
    const upgrade = (persistence: Values): Promise<Ran> => upgraded(namespace, persistence)
    expect(await upgrade({ enabled: true })).toMatchObject({ status: 0 })
    expect(await upgrade({ enabled: true })).toMatchObject({ status: 0 })
    const { status, stderr } = await upgrade({ enabled: true, size: '2Gi' })
    expect(status).toBe(1)
    expect(stderr).toContain(
      `connectors.x.persistence: the StatefulSet claims volumes of another kind (1Gi, ReadWriteOnce, default class; values: 2Gi, ReadWriteOnce, default class), which Kubernetes lets nobody change. Delete it without its pods, and upgrade again: kubectl -n ${namespace} delete statefulset connector-hub-x --cascade=orphan. Claims that are there stay as they are.`,
    )
    expect((await upgrade({ enabled: true, existingClaim: 'mine' })).stderr).toContain('values: none')
    // What a controller of the cluster does, which is not here: it lets the pods go, then the StatefulSet.
    const there = ['statefulset', 'connector-hub-x']
    expect(await api.kubectl(['delete', ...there, '--cascade=orphan', '--wait=false'], { namespace })).toMatchObject({ status: 0 }) // prettier-ignore
    expect(await api.kubectl(['patch', ...there, '-p', '{"metadata":{"finalizers":null}}'], { namespace })).toMatchObject({ status: 0 }) // prettier-ignore
    expect(await upgrade({ enabled: true, size: '2Gi' })).toMatchObject({ status: 0, stderr: '' })
  })
})
