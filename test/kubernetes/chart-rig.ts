// Renders the chart by real helm for the tests of it, and reads what comes out as the API server and the hub would.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { load, loadAll } from 'js-yaml'

import { checkHubConfig } from '../../src/hub/config.ts'
import type { HubConfig } from '../../src/hub/config.ts'
import { problemText } from '../../src/sdk/index.ts'
import { CHART } from '../deploy/chart-keys.ts'
import type { KubernetesApi } from '../servers/kubernetes-api.ts'

export type Values = Readonly<Record<string, unknown>>

/** An object of the API, as far as the tests look into it. */
export interface Manifested {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly spec?: Readonly<Record<string, unknown>>
  readonly data?: Readonly<Record<string, string>>
  readonly rules?: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[]
  readonly [key: string]: unknown
}

export class Rendered {
  readonly text: string
  readonly objects: readonly Manifested[]

  constructor(text: string) {
    this.text = text
    this.objects = (loadAll(text) as (Manifested | null)[]).filter((object) => object !== null)
  }

  /** @throws Error when there is none, or more than one without a name */
  one(kind: string, name?: string): Manifested {
    const found = this.objects.filter((object) => object.kind === kind && (name === undefined || object.metadata.name === name)) // prettier-ignore
    if (found.length !== 1) throw new Error(`${found.length} objects are a ${kind} ${name ?? ''}`)
    return found[0] as Manifested
  }

  kinds(): readonly string[] {
    return this.objects.map(({ kind }) => kind).toSorted()
  }
}

/** By `helm template`, as a release connector-hub in the namespace. @returns what it says when it refuses */
export async function render(api: KubernetesApi, values: Values, namespace = 'openfaas'): Promise<Rendered | string> {
  const args = ['template', 'connector-hub', CHART, '--namespace', namespace, '--values', '-']
  const { status, stdout, stderr } = await api.helm(args, { input: JSON.stringify(values) })
  return status === 0 ? new Rendered(stdout) : stderr
}

/** @throws Error with what helm says when it refuses */
export async function rendered(api: KubernetesApi, values: Values, namespace?: string): Promise<Rendered> {
  const result = await render(api, values, namespace)
  if (typeof result === 'string') throw new Error(result)
  return result
}

/** A chart with one connector. */
export async function one(api: KubernetesApi, name: string, entry: Values): Promise<Rendered> {
  return rendered(api, { connectors: { [name]: entry } })
}

/** What helm says to a chart with one connector, without where in the templates it says so. */
export async function refusal(api: KubernetesApi, name: string, entry: Values): Promise<string> {
  const said = await render(api, { connectors: { [name]: entry } })
  if (typeof said !== 'string') return 'accepted'
  return said
    .replace(/^Error: execution error at \([^)]*\): /, '')
    .replace(/^Error: values don't meet[^]*?connector-hub:\n/, '')
    .replace(/\n\nUse --debug[^]*$/, '')
    .trim()
}

/** The hub.yaml of a ConfigMap, by the hub's own parser. @throws Error with what it finds wrong */
export async function parsed(yaml: string, env: Readonly<Record<string, string>> = {}): Promise<HubConfig> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-chart-'))
  try {
    const file = join(folder, 'hub.yaml')
    writeFileSync(file, yaml)
    const { config, findings } = await checkHubConfig({ file, env, readSecretFiles: false })
    if (config === undefined) throw new Error(findings.map(problemText).join('; '))
    return config
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The hub.yaml of a connector, as a mapping. */
export function hubYaml(chart: Rendered, name: string): Readonly<Record<string, unknown>> {
  return load(hubYamlText(chart, name)) as Readonly<Record<string, unknown>>
}

export function hubYamlText(chart: Rendered, name: string): string {
  return chart.one('ConfigMap', `connector-hub-${name}`).data?.['hub.yaml'] ?? ''
}

interface Volume {
  readonly name: string
  readonly secret?: { readonly secretName: string }
}

interface Container {
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly args: readonly string[]
}

export interface PodSpec {
  readonly containers: readonly [Container]
  readonly volumes: readonly Volume[]
  readonly terminationGracePeriodSeconds: number
  readonly automountServiceAccountToken: boolean
  readonly [key: string]: unknown
}

/** Of the only workload, or of the one with this name. */
export function podOf(chart: Rendered, kind: 'Deployment' | 'StatefulSet', name?: string): PodSpec {
  const { template } = (chart.one(kind, name).spec ?? {}) as { readonly template: { readonly spec: PodSpec } }
  return template.spec
}

/** Where which Secret is in the pod. */
export function secretsOf({ containers: [{ volumeMounts }], volumes }: PodSpec): Readonly<Record<string, string>> {
  return Object.fromEntries(
    volumes.flatMap(({ name, secret }) => {
      const path = volumeMounts.find((mount) => mount.name === name)?.mountPath
      return secret === undefined || path === undefined ? [] : [[path, secret.secretName] as const]
    }),
  )
}
