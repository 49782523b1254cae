// Values that ask for everything the chart has, and the kinds of other people's operators that it then speaks of. For the
// tests of the chart.

import { expect } from 'vitest'

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import type { Values } from './chart-rig.ts'

const KEPT = { persistence: { enabled: true } } as const

/** Everything at once. */
export const EVERYTHING: Values = {
  image: { repository: 'registry.example.com/hub', tag: '1', pullPolicy: 'Always' },
  imagePullSecrets: [{ name: 'pull' }],
  common: {
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ key: 'events', operator: 'Exists' }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
        },
      },
    },
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }],
    priorityClassName: 'system-cluster-critical',
    podLabels: { team: 'events' },
    podAnnotations: { note: 'x' },
    env: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
    envFrom: [{ secretRef: { name: 'extra', optional: true } }],
    configMaps: { trust: 'trust-bundle' },
    runAsUser: 12_345,
    networkPolicy: { enabled: true, egress: [{ to: [{ podSelector: {} }] }] },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  },
  prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
  connectors: {
    timers: { type: 'cron', ...KEPT, replicas: 3, leaderElection: true },
    orders: { type: 'kafka', config: { brokers: ['kafka:9092'], tls: { enabled: true, caFile: '/var/config/trust/ca.crt' } }, autoscaling: { enabled: true, minReplicas: 0 } }, // prettier-ignore
    sensors: {
      type: 'mqtt',
      config: { url: 'mqtts://mqtt', sharedGroup: 'hub' },
      replicas: 2,
      hub: { deadLetters: { connector: 'orders', topic: 'letters' } },
    },
    events: { type: 'nats', hub: { deadLetters: { function: 'keep.openfaas-fn' } }, basic_auth: false },
    jobs: { type: 'sqs', persistence: { enabled: true, existingClaim: 'jobs', size: '2Gi' } },
    pictures: {
      type: 'minio',
      persistence: { enabled: true, storageClass: 'fast', size: '5Gi' },
      secrets: { minio: 'minio' },
      config: { tokenFile: '/var/secrets/minio/token', acknowledge: 'stored' },
    },
    hooks: {
      type: 'webhook',
      ...KEPT,
      secrets: { github: 'github' },
      config: { hooks: [{ name: 'github', scheme: 'github', secretFile: '/var/secrets/github/secret' }] },
      hooksService: { type: 'LoadBalancer', port: 443, annotations: { a: 'b' } },
      ingress: { enabled: true, className: 'nginx', host: 'hooks.example.com', tlsSecret: 'tls' },
    },
    rabbit: { type: 'rabbitmq', config: { deadLetterExchange: 'dead' }, serviceAccount: { name: 'there-already' } },
  },
}

/** The kinds of Prometheus's and KEDA's operators. Their schemas are theirs: the tests look at what is said. */
export async function installMonitoring(api: KubernetesApi): Promise<void> {
  const kinds = [
    ['monitoring.coreos.com', 'v1', 'ServiceMonitor', 'servicemonitors'],
    ['keda.sh', 'v1alpha1', 'ScaledObject', 'scaledobjects'],
    ['monitoring.coreos.com', 'v1', 'PrometheusRule', 'prometheusrules'],
  ] as const
  for (const [group, version, kind, plural] of kinds) {
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { kind, plural, singular: kind.toLowerCase() },
        versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }], // prettier-ignore
      },
    }
    const { status, stderr } = await api.kubectl(['apply', '--server-side', '-f', '-'], { input: JSON.stringify(definition) }) // prettier-ignore
    expect([status, stderr]).toEqual([0, ''])
    const wait = await api.kubectl(['wait', '--for=condition=established', '--timeout=60s', `crd/${plural}.${group}`])
    expect([wait.status, wait.stderr]).toEqual([0, ''])
  }
}
