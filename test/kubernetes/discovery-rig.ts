// What the tests of discovery in a cluster share: the files of a pod, functions as OpenFaaS makes them, and a watcher with all
// that it told.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vi } from 'vitest'

import type { Snapshot } from '../../src/discovery/index.ts'
import { KubernetesWatcher } from '../../src/discovery/kubernetes.ts'
import type { KubernetesWatcherOptions } from '../../src/discovery/kubernetes.ts'
import { KubernetesApi as Client, openAccess } from '../../src/kubernetes/index.ts'
import { systemClock } from '../../src/sdk/index.ts'
import { RecordedEvents } from '../discovery/fixtures.ts'
import type { KubernetesApi, Rule } from '../servers/kubernetes-api.ts'

export const WAIT = { timeout: 60_000, interval: 10 }

/** What discovery needs in a namespace, and no more. */
export const READS: readonly Rule[] = [
  { apiGroups: ['openfaas.com'], resources: ['functions'], verbs: ['list', 'watch'] },
  { apiGroups: ['apps'], resources: ['deployments'], verbs: ['list', 'watch'] },
]

type Annotations = Readonly<Record<string, string>>

/** As faas-netes makes it: the same annotations on it and on its pods. */
export function deployment(name: string, annotations: Annotations, onPods: Annotations = annotations): unknown {
  const labels = { faas_function: name }
  return {
    metadata: { name, labels, annotations: { 'prometheus.io.scrape': 'false', ...annotations } },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { name, labels, annotations: { 'prometheus.io.scrape': 'false', ...onPods } },
        spec: { containers: [{ name, image: 'example/function:1' }] },
      },
    },
  }
}

/** As a user of OpenFaaS's operator writes it. */
export function functionResource(name: string, annotations: Annotations): unknown {
  return {
    apiVersion: 'openfaas.com/v1',
    kind: 'Function',
    metadata: { name },
    spec: { name, image: 'example/function:1', annotations },
  }
}

export const deployments = (namespace: string, name = ''): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments${name === '' ? '' : `/${name}`}`
export const functions = (namespace: string, name = ''): string =>
  `/apis/openfaas.com/v1/namespaces/${namespace}/functions${name === '' ? '' : `/${name}`}`

/** Changes annotations where OpenFaaS writes them; null takes one away. */
export async function annotate(
  api: KubernetesApi,
  namespace: string,
  name: string,
  annotations: Readonly<Record<string, string | null>>,
): Promise<void> {
  const patch = { metadata: { annotations }, spec: { template: { metadata: { annotations } } } }
  await api.json('PATCH', deployments(namespace, name), patch, { contentType: 'application/merge-patch+json' })
}

/** The files that Kubernetes mounts into a pod. */
export class PodFiles implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'hub-pod-'))

  constructor(api: KubernetesApi, token: string, namespace: string) {
    writeFileSync(join(this.folder, 'ca.crt'), api.ca)
    writeFileSync(join(this.folder, 'namespace'), namespace)
    this.rotate(token)
  }

  rotate(token: string): void {
    writeFileSync(join(this.folder, 'next'), token)
    renameSync(join(this.folder, 'next'), join(this.folder, 'token'))
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

interface WatchedOptions extends Partial<KubernetesWatcherOptions> {
  readonly token: string
  /** Of a proxy instead of the server. */
  readonly port?: number
}

/** A watcher with a pod's access. */
export class Watched implements AsyncDisposable {
  readonly events = new RecordedEvents()
  readonly snapshots: Snapshot[] = []
  readonly files: PodFiles
  readonly watcher: KubernetesWatcher

  constructor(api: KubernetesApi, namespace: string, { token, port = api.address.port, ...more }: WatchedOptions) {
    this.files = new PodFiles(api, token, namespace)
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) }
    const clock = systemClock
    this.watcher = new KubernetesWatcher({
      namespaces: { allow: [namespace], deny: [] },
      functionNamespace: 'openfaas-fn',
      clock,
      events: this.events,
      open: async () => {
        const access = await openAccess({ env, clock, serviceAccount: this.files.folder })
        return new Client({ access, clock, userAgent: 'connector-hub/test', timeoutMs: 5000 })
      },
      ...more,
    })
    this.watcher.start((snapshot) => this.snapshots.push(snapshot))
  }

  /** Annotations by full name, as they are wired now. */
  get wired(): Readonly<Record<string, Annotations>> | undefined {
    const latest = this.snapshots.at(-1)
    return latest && Object.fromEntries(latest.functions.map(({ fullName, annotations }) => [fullName, annotations]))
  }

  get problem(): string | undefined {
    return this.watcher.status().problem
  }

  /** Codes of what failed so far. */
  get failures(): readonly string[] {
    return this.events.failures.map(({ code }) => code)
  }

  async until(condition: (watched: this) => boolean): Promise<void> {
    await vi.waitFor(() => {
      if (condition(this)) return
      throw new Error(JSON.stringify({ wired: this.wired, problem: this.problem, failures: this.events.failures.slice(-3) }).slice(0, 2000)) // prettier-ignore
    }, WAIT)
  }

  /** Until the topic of the function is this one; undefined: until the function is not wired. */
  topic(fullName: string, topic: string | undefined): Promise<void> {
    return this.until(({ wired }) => wired !== undefined && wired[fullName]?.['topic'] === topic)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watcher.close()
    this.files[Symbol.dispose]()
  }
}
