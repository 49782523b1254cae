// The chart, rendered by real helm: what it makes of everything that can be asked for says what it should.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { CHART } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { EVERYTHING } from './chart-everything.ts'
import { hubYaml, hubYamlText, one, parsed, podOf, rendered, secretsOf } from './chart-rig.ts'
import type { Rendered, Values } from './chart-rig.ts'

const missing = await noKubernetes()
const KEPT = { persistence: { enabled: true } } as const

describe.skipIf(missing !== undefined)('the chart', () => {
  let api: KubernetesApi
  let chart: Rendered
  beforeAll(async () => {
    api = sharedKubernetes()
    chart = await rendered(api, EVERYTHING)
  })
  afterAll(() => api[Symbol.dispose]())

  test('passes helm lint, with its own values and with everything', async () => {
    const plain = await api.helm(['lint', '--strict', CHART])
    expect([plain.status, plain.stdout]).toEqual([0, expect.stringContaining('1 chart(s) linted, 0 chart(s) failed')])
    const all = await api.helm(['lint', '--strict', CHART, '--values', '-'], { input: JSON.stringify(EVERYTHING) })
    expect([all.status, all.stdout]).toEqual([0, expect.stringContaining('1 chart(s) linted, 0 chart(s) failed')])
  })

  test('has the version of the package', () => {
    const { version } = JSON.parse(readFileSync(join(CHART, '../../../package.json'), 'utf8')) as { version: string }
    expect(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')).toContain(`\nversion: ${version}\nappVersion: ${version}\n`)
  })

  test('makes for one connector what it takes, and nothing else', async () => {
    expect((await one(api, 'kafka', { type: 'kafka' })).kinds()).toEqual(['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Service', 'ServiceAccount']) // prettier-ignore
  })

  test('sets what makes a pod harmless', () => {
    for (const [kind, name] of [['Deployment', 'connector-hub-events'], ['StatefulSet', 'connector-hub-hooks']] as const) {
      const pod = podOf(chart, kind, name)
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        securityContext: { runAsNonRoot: true, runAsUser: 12_345, fsGroup: 10_001, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            image: 'registry.example.com/hub:1',
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
            startupProbe: { httpGet: { path: '/healthz', port: 'metrics' } },
            livenessProbe: { httpGet: { path: '/healthz', port: 'metrics' } },
            readinessProbe: { httpGet: { path: '/readyz', port: 'metrics' } },
          },
        ],
      })
      expect(pod.containers[0].volumeMounts).toEqual(expect.arrayContaining([{ name: 'tmp', mountPath: '/tmp' }]))
    }
  }) // prettier-ignore

  test('hands on what a pod of Kubernetes can be told', () => {
    expect(podOf(chart, 'Deployment', 'connector-hub-orders')).toMatchObject({
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'events', operator: 'Exists' }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
          },
        },
      },
      topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'orders' } } }], // prettier-ignore
      priorityClassName: 'system-cluster-critical',
      imagePullSecrets: [{ name: 'pull' }],
      containers: [{ env: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }], envFrom: [{ secretRef: { name: 'extra' } }], imagePullPolicy: 'Always' }], // prettier-ignore
    })
    expect(chart.one('Deployment', 'connector-hub-orders').spec).toMatchObject({
      template: { metadata: { labels: { team: 'events' }, annotations: { note: 'x' } } },
    })
  })

  test('spreads the pods of a scaler by themselves', () => {
    expect(podOf(chart, 'Deployment', 'connector-hub-orders-scaler')['topologySpreadConstraints']).toMatchObject([{ labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'orders-scaler' } } }]) // prettier-ignore
  })

  test('a changed configuration is a changed pod', async () => {
    const note = async (zone: string): Promise<unknown> => {
      const { spec } = (await one(api, 'cron', { type: 'cron', ...KEPT, config: { zone } })).one('StatefulSet')
      return (spec as { template: { metadata: { annotations: Values } } }).template.metadata.annotations['checksum/config'] // prettier-ignore
    }
    expect(await note('UTC')).not.toBe(await note('Europe/London'))
    expect(await note('UTC')).toBe(await note('UTC'))
  })

  test('an entry is laid over what is common, false and empty values too', async () => {
    const common = { basic_auth: true, printResponse: true, upstreamTimeout: '10s', hub: { limits: { inFlightMax: 7 } } } // prettier-ignore
    const entry = { type: 'kafka', basic_auth: false, printResponse: false, hub: { defaults: { timeout: '20s' } } }
    const { text } = await rendered(api, { common, connectors: { x: entry } })
    const { settings, auth } = await parsed(load(text))
    expect([settings.log.printResponse, settings.defaults.timeout, settings.limits.inFlightMax, auth]).toEqual([false, 20_000, 7, undefined]) // prettier-ignore
  })

  test('a place of its own for dead letters is instead of the common one', async () => {
    const connectors = { orders: { type: 'kafka' }, x: { type: 'mqtt', hub: { deadLetters: { connector: 'orders', topic: 'l' } } } } // prettier-ignore
    const called = await rendered(api, { common: { hub: { deadLetters: { function: 'keep', mode: 'async' } } }, connectors }) // prettier-ignore
    expect((await parsed(hubYamlText(called, 'x'))).settings.deadLetters).toEqual({ connector: 'orders', topic: 'l', mode: 'sync' }) // prettier-ignore
    const y = { type: 'cron', hub: { deadLetters: { function: 'keep' } } }
    const kept = await rendered(api, { common: { hub: { deadLetters: { connector: 'orders', topic: 'l' } } }, connectors: { ...connectors, y } }) // prettier-ignore
    expect((await parsed(hubYamlText(kept, 'y'))).settings.deadLetters).toEqual({ function: 'keep', mode: 'sync' }) // prettier-ignore
  })

  test('another connector keeps the dead letters of one whose broker cannot', async () => {
    const { instances, letterKeeper, settings } = await parsed(hubYamlText(chart, 'sensors'), { HUB_SENSORS_CLIENT_ID: 'pod' }) // prettier-ignore
    expect(instances.map(({ name }) => name).toSorted()).toEqual(['orders', 'sensors'])
    expect([letterKeeper?.name, settings.deadLetters.topic]).toEqual(['orders', 'letters'])
    const pod = podOf(chart, 'StatefulSet', 'connector-hub-sensors')
    expect(pod.containers[0].args).toEqual(['run', 'sensors', '-c', '/etc/connector-hub/hub.yaml'])
    expect(pod.containers[0].env).toContainEqual({ name: 'HUB_SENSORS_CLIENT_ID', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }) // prettier-ignore
  })

  test('its Secrets are where hub.yaml looks for them', () => {
    expect(secretsOf(podOf(chart, 'StatefulSet', 'connector-hub-pictures'))).toEqual({ '/var/secrets/basic-auth': 'basic-auth', '/var/secrets/minio': 'minio' }) // prettier-ignore
    expect(hubYaml(chart, 'pictures')['gateway']).toEqual({
      url: 'http://gateway.openfaas:8080',
      auth: {
        usernameFile: '/var/secrets/basic-auth/basic-auth-user',
        passwordFile: '/var/secrets/basic-auth/basic-auth-password',
      },
    })
  })

  test('a connector that is called has a Service and an Ingress, and time to be forgotten before it goes', () => {
    expect(chart.one('Service', 'connector-hub-hooks-hooks').spec).toMatchObject({
      type: 'LoadBalancer',
      ports: [{ name: 'hooks', port: 443, targetPort: 'hooks' }],
    })
    expect(chart.one('Ingress').spec).toMatchObject({
      ingressClassName: 'nginx',
      tls: [{ hosts: ['hooks.example.com'], secretName: 'tls' }],
      rules: [{ host: 'hooks.example.com', http: { paths: [{ path: '/hooks', backend: { service: { name: 'connector-hub-hooks-hooks' } } }] } }],
    })
    expect(podOf(chart, 'StatefulSet', 'connector-hub-hooks').containers[0]).toMatchObject({
      ports: [{ name: 'metrics', containerPort: 8081 }, { name: 'hooks', containerPort: 8090 }],
      lifecycle: { preStop: { exec: { command: ['node', '-e', 'setTimeout(() => {}, 5000)'] } } },
    })
    expect(podOf(chart, 'StatefulSet', 'connector-hub-jobs').containers[0]).not.toHaveProperty('lifecycle')
  }) // prettier-ignore

  test('claims volumes as they are asked for', () => {
    expect(chart.one('StatefulSet', 'connector-hub-pictures').spec).toMatchObject({
      serviceName: 'connector-hub-pictures',
      volumeClaimTemplates: [{ metadata: { name: 'state' }, spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'fast', resources: { requests: { storage: '5Gi' } } } }],
    })
    const jobs = chart.one('StatefulSet', 'connector-hub-jobs')
    expect(jobs.spec).not.toHaveProperty('volumeClaimTemplates')
    expect(podOf(chart, 'StatefulSet', 'connector-hub-jobs').volumes).toContainEqual({ name: 'state', persistentVolumeClaim: { claimName: 'jobs' } })
  }) // prettier-ignore

  test('lets in who reads metrics and who calls, and lets out what was said', () => {
    const { spec } = chart.one('NetworkPolicy', 'connector-hub-hooks')
    expect(chart.one('NetworkPolicy', 'connector-hub-orders-scaler').spec).toMatchObject({ ingress: [{ ports: [{ port: 'grpc-scaler' }] }, { ports: [{ port: 'metrics' }] }] })
    expect(spec).toMatchObject({
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports: [{ port: 'metrics' }] }, { ports: [{ port: 'hooks' }] }],
      egress: [{ ports: [{ port: 53, protocol: 'UDP' }, { port: 53, protocol: 'TCP' }] }, { to: [{ podSelector: {} }] }],
    })
  }) // prettier-ignore

  test('scales by what waits at the broker', () => {
    expect(chart.one('Deployment', 'connector-hub-orders').spec).not.toHaveProperty('replicas')
    expect(chart.one('ScaledObject').spec).toMatchObject({
      scaleTargetRef: { kind: 'Deployment', name: 'connector-hub-orders' },
      minReplicaCount: 0,
      maxReplicaCount: 5,
      triggers: [
        {
          type: 'external-push',
          metadata: { scalerAddress: 'connector-hub-orders-scaler.openfaas:9090', connector: 'orders', targetLag: '100', activationLag: '0' },
        },
      ],
    })
    expect(podOf(chart, 'Deployment', 'connector-hub-orders-scaler').containers[0].args).toEqual(['scaler', 'orders', '-c', '/etc/connector-hub/hub.yaml']) // prettier-ignore
    expect(chart.one('Service', 'connector-hub-orders-scaler').spec).toMatchObject({ ports: [{ name: 'grpc-scaler', port: 9090 }, { name: 'metrics', port: 8081 }] })
  }) // prettier-ignore

  test('is scraped where the operator of Prometheus is told to, its scaler too', () => {
    expect(chart.one('ServiceMonitor', 'connector-hub-orders')).toMatchObject({
      metadata: { labels: { release: 'prometheus' } },
      spec: {
        selector: {
          matchLabels: { 'app.kubernetes.io/name': 'connector-hub', 'app.kubernetes.io/instance': 'connector-hub' },
          matchExpressions: [{ key: 'app.kubernetes.io/component', operator: 'In', values: ['orders', 'orders-scaler'] }],
        },
        endpoints: [{ port: 'metrics', path: '/metrics', interval: '30s' }],
      },
    })
    expect(chart.one('ServiceMonitor', 'connector-hub-hooks').spec).toMatchObject({ selector: { matchLabels: { 'app.kubernetes.io/component': 'hooks' } } })
  }) // prettier-ignore

  test("RabbitMQ's scaler asks the replicas what they have, and is let out and in", async () => {
    const jobs = await one(api, 'jobs', {
      type: 'rabbitmq',
      config: { deadLetterExchange: 'letters' },
      autoscaling: { enabled: true },
      networkPolicy: { enabled: true, metricsFrom: [{ namespaceSelector: {} }], egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] }, // prettier-ignore
    })
    expect(podOf(jobs, 'Deployment', 'connector-hub-jobs-scaler').containers[0].env).toEqual([{ name: 'HUB_SCALER_HUB', value: 'http://connector-hub-jobs.openfaas:8081' }])
    expect(podOf(jobs, 'Deployment', 'connector-hub-jobs').containers[0].env).toBeUndefined()
    expect(jobs.one('Service', 'connector-hub-jobs').spec).toMatchObject({ clusterIP: 'None', ports: [{ port: 8081 }] })
    const scaler = { 'app.kubernetes.io/name': 'connector-hub', 'app.kubernetes.io/instance': 'connector-hub', 'app.kubernetes.io/component': 'jobs-scaler' }
    expect(jobs.one('NetworkPolicy', 'connector-hub-jobs').spec).toMatchObject({ ingress: [{ ports: [{ port: 'metrics' }], from: [{ namespaceSelector: {} }, { podSelector: { matchLabels: scaler } }] }] })
    const replicas = { ...scaler, 'app.kubernetes.io/component': 'jobs' }
    expect(jobs.one('NetworkPolicy', 'connector-hub-jobs-scaler').spec?.['egress']).toContainEqual({ ports: [{ port: 8081, protocol: 'TCP' }], to: [{ podSelector: { matchLabels: replicas } }] })
  }) // prettier-ignore

  test.each(['cron', 'mqtt', 'nats', 'minio'])('%s may do what turns need', async (type) => {
    const config = { nats: { layer: 'core', queueGroup: 'none' }, minio: { receive: 'listen' } }[type] ?? {}
    const led = await one(api, 'led', { type, config, replicas: 2, leaderElection: true, hub: { deadLetters: { function: 'keep' } } }) // prettier-ignore
    const name = 'connector-hub-leader-led'
    expect(led.one('Role', name)['rules']).toEqual(
      [['coordination.k8s.io', 'leases'], ['', 'configmaps']].flatMap(([group, kind]) => [
        { apiGroups: [group], resources: [kind], verbs: ['create'] },
        { apiGroups: [group], resources: [kind], resourceNames: [name], verbs: ['get', 'update'] },
      ]), // prettier-ignore
    )
  })

  test('leaves user and group to a cluster that chooses them itself', async () => {
    const chosen = await rendered(api, { common: { fsGroup: null }, connectors: { orders: { type: 'kafka' } } })
    expect(podOf(chosen, 'Deployment')['securityContext']).toEqual({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }) // prettier-ignore
  })

  test('an account that is there already is used, and none made', () => {
    expect(podOf(chart, 'Deployment', 'connector-hub-rabbit')['serviceAccountName']).toBe('there-already')
    expect(chart.objects.filter(({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name.endsWith('rabbit'))).toEqual([]) // prettier-ignore
  })

  test('without connectors it says how to name one', async () => {
    const { status, stdout } = await api.helm(['install', 'connector-hub', CHART, '--dry-run=client', '--namespace', 'openfaas']) // prettier-ignore
    expect([status, stdout]).toEqual([0, expect.stringContaining('No connector is set up yet.')])
  })
})

/** The one hub.yaml of a chart's text. */
function load(text: string): string {
  const [, yaml = ''] = /hub\.yaml: \|\n((?: {4}.*\n)+)/.exec(text) ?? []
  return yaml.replaceAll(/^ {4}/gm, '')
}
