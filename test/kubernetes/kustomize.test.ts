// The overlays, built by real kubectl: the API server accepts them, and each is what the chart makes of the same hub.yaml.

import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { DEPLOY } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { Rendered, one } from './chart-rig.ts'
import type { Manifested, Values } from './chart-rig.ts'

const missing = await noKubernetes()
const OVERLAYS = join(DEPLOY, 'kustomize/overlays')
const CONNECTORS = readdirSync(OVERLAYS).toSorted()

/** The Secret that its hub.yaml reads from, beside the gateway's. */
const SECRETS: Readonly<Record<string, Values>> = {
  minio: { minio: 'minio' },
  rabbitmq: { rabbitmq: 'rabbitmq' },
  sqs: { aws: 'aws' },
  webhook: { github: 'github' },
}

describe.skipIf(missing !== undefined).each(CONNECTORS)('the overlay of %s', (connector) => {
  let api: KubernetesApi
  let overlay: Rendered
  beforeAll(async () => {
    api = sharedKubernetes()
    const { status, stdout, stderr } = await api.kubectl(['kustomize', join(OVERLAYS, connector)])
    if (status !== 0) throw new Error(stderr)
    overlay = new Rendered(stdout)
  })
  afterAll(() => api[Symbol.dispose]())

  test('is accepted by the API server', async () => {
    // As `kubectl apply -k` has it, but in a namespace of the test's own.
    const namespace = await api.createNamespace()
    const input = overlay.text.replaceAll(/^( *)namespace: openfaas$/gm, `$1namespace: ${namespace}`)
    const applied = await api.kubectl(['apply', '--server-side', '--validate=strict', '-f', '-'], { namespace, input })
    expect([applied.status, applied.stderr]).toEqual([0, ''])
  })

  test('is what the chart makes of the same', async () => {
    const text = readFileSync(join(OVERLAYS, connector, 'hub.yaml'), 'utf8')
    const { connectors } = load(text) as { readonly connectors: Readonly<Record<string, Values>> }
    const { type: _, ...config } = connectors[connector] ?? {}
    const entry = {
      type: connector,
      config,
      secrets: SECRETS[connector] ?? {},
      persistence: { enabled: connector !== 'kafka' },
    }
    const chart = await one(api, connector, entry)
    expect(compared(overlay, connector)).toEqual(compared(chart, connector))
  })
})

/** By kind, without what each of the two adds of its own: labels of Helm, a hash in a name, how a Service is called. */
function compared(rendered: Rendered, connector: string): unknown {
  const strip = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') return value.replace(/^(connector-hub-\w+)-[a-z0-9]{10}$/, '$1')
    if (Array.isArray(value)) {
      const items = value.filter((item) => !(key === 'args' && item === connector)).map((item) => strip(item))
      return ['volumes', 'volumeMounts', 'ports'].includes(key) ? items.toSorted(byName) : items
    }
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value).filter(([name]) => !/^(helm\.sh|app\.kubernetes\.io)\/|^(checksum\/config|creationTimestamp)$/.test(name)) // prettier-ignore
    return Object.fromEntries(entries.map(([name, inner]) => [name, strip(inner, name)] as const).filter(([, inner]) => !isEmpty(inner))) // prettier-ignore
  }
  return Object.fromEntries(
    rendered.objects.map((object) => {
      const name = object.metadata.name
        .replace(/^connector-hub-hooks-(\w+)$/, 'connector-hub-$1-hooks')
        .replace(/-[a-z0-9]{10}$/, '')
      const hub = object.data?.['hub.yaml']
      const data = hub === undefined ? {} : { data: load(hub) }
      return [`${object.kind} ${name}`, strip({ ...object, metadata: { ...object.metadata, name }, ...data })]
    }),
  )
}

function byName(a: unknown, b: unknown): number {
  return (a as Manifested['metadata']).name.localeCompare((b as Manifested['metadata']).name)
}

function isEmpty(value: unknown): boolean {
  return value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
}
