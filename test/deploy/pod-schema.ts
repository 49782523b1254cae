// The JSON Schema of what an entry of the chart says about its pods. Kubernetes checks what is passed through to it.

export type Schema = Readonly<Record<string, unknown>>

export const closed = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
})

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
const count = (minimum: number): Schema => ({ type: 'integer', minimum })
const anyMap: Schema = { type: 'object' }
const texts: Schema = { type: 'object', additionalProperties: text }
const maps: Schema = { type: 'array', items: anyMap }
/** Of a Secret, a ConfigMap or an account. */
const objectName: Schema = {
  type: 'string',
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
  maxLength: 253,
}
const folders: Schema = {
  type: 'object',
  propertyNames: { pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 56 },
  additionalProperties: objectName,
}
const identifier: Schema = { type: ['integer', 'null'], minimum: 0 }

export const POD_KEYS: Readonly<Record<string, Schema>> = {
  basicAuthSecret: objectName,
  replicas: count(0),
  resources: closed({ requests: anyMap, limits: anyMap, claims: maps }),
  nodeSelector: texts,
  tolerations: maps,
  affinity: anyMap,
  topologySpreadConstraints: maps,
  priorityClassName: text,
  podLabels: texts,
  podAnnotations: texts,
  env: { type: 'array', items: { type: 'object', required: ['name'], properties: { name: text, value: text } } },
  envFrom: maps,
  secrets: folders,
  configMaps: folders,
  leaderElection: flag,
  persistence: closed({
    enabled: flag,
    size: { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(Mi|Gi|Ti|M|G|T)$' },
    storageClass: text,
    accessMode: { enum: ['ReadWriteOnce', 'ReadWriteOncePod'] },
    existingClaim: text,
  }),
  runAsUser: identifier,
  fsGroup: identifier,
  serviceAccount: closed({ name: text, annotations: texts }),
  podDisruptionBudget: closed({
    enabled: flag,
    maxUnavailable: { anyOf: [count(0), { type: 'string', pattern: '^[0-9]+%$' }] },
  }),
  networkPolicy: closed({ enabled: flag, metricsFrom: maps, hooksFrom: maps, egress: maps }),
  autoscaling: closed({
    enabled: flag,
    minReplicas: count(0),
    maxReplicas: count(1),
    targetLag: count(1),
    activationLag: count(0),
    pollingInterval: count(1),
    cooldownPeriod: count(0),
  }),
  serviceMonitor: closed({ enabled: flag, interval: text, labels: texts }),
  hooksService: closed({
    type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
    port: { type: 'integer', minimum: 1, maximum: 65_535 },
    annotations: texts,
  }),
  ingress: closed({ enabled: flag, className: text, annotations: texts, host: text, tlsSecret: text }),
}

/** What the templates read, and what therefore may not be taken away with `key:` and nothing behind it. */
const READ: Readonly<Record<string, readonly string[]>> = {
  replicas: [],
  persistence: ['size', 'accessMode'],
  serviceAccount: [],
  podDisruptionBudget: ['maxUnavailable'],
  networkPolicy: [],
  autoscaling: ['minReplicas', 'maxReplicas', 'targetLag', 'activationLag', 'pollingInterval', 'cooldownPeriod'],
  serviceMonitor: ['interval'],
  hooksService: ['type', 'port'],
  ingress: [],
}

/** Of `common`, which has everything: an entry is laid over it. */
export function wholePods(): Readonly<Record<string, Schema>> {
  return Object.fromEntries(
    Object.entries(POD_KEYS).map(([key, schema]) => {
      const required = READ[key] ?? []
      return [key, required.length === 0 ? schema : { ...schema, required }]
    }),
  )
}

export const POD_KEYS_READ = Object.keys(READ)
