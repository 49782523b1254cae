// Several hubs as processes with one connector, which take turns by a Lease of a real API server, and the gateway that records
// what they invoke. For the tests of turns.

import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vi } from 'vitest'

import { HubProcess } from '../faults/hub-process.ts'
import { HttpListener } from '../http-listener.ts'
import type { KubernetesApi, Rule } from '../servers/kubernetes-api.ts'

/** Reached only by what is broken. */
export const WAIT = { timeout: 90_000, interval: 20 }

/** One invocation, as the function sees it. */
export interface Call {
  readonly function: string
  /** Unix seconds. */
  readonly planned: number
  readonly epoch: number
  /** Who made it. */
  readonly hub: string
  /** Of all calls, in their order. */
  readonly order: number
  readonly atMs: number
  readonly caughtUp: boolean
  readonly body: string
}

/** Lists functions with schedules, answers after a moment, remembers every call. */
export class CronGateway implements AsyncDisposable {
  readonly calls: Call[] = []
  readonly #functions: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly #listener = new HttpListener((request, response) => void this.#serve(request, response))

  constructor(functions: Readonly<Record<string, Readonly<Record<string, string>>>>) {
    this.#functions = functions
  }

  async start(): Promise<this> {
    await this.#listener.start()
    return this
  }

  /** The name of the hub is a path prefix: so each call tells who made it. */
  urlFor(hub: string): string {
    return `${this.#listener.url}/${hub}`
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#listener.stop()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, hub = '', route = '', name = ''] = (request.url ?? '').split('/')
    const body = await bodyOf(request)
    if (route === 'system') response.end(JSON.stringify(name.startsWith('namespaces') ? ['openfaas-fn'] : this.#list()))
    else if (route === 'function') {
      const header = (key: string): string => String(request.headers[key])
      this.calls.push({
        function: name.split('.')[0] ?? '',
        planned: Date.parse(header('x-cron-scheduled-at')) / 1000,
        epoch: Number(header('x-cron-epoch')),
        hub,
        order: this.calls.length,
        atMs: Date.now(),
        caughtUp: header('x-cron-caught-up') === 'true',
        body,
      })
      // Long enough to be interrupted now and then.
      await new Promise((resolve) => void setTimeout(resolve, (this.calls.length * 37) % 150))
      response.end()
    } else response.writeHead(404).end()
  }

  #list(): readonly object[] {
    return Object.entries(this.#functions).map(([name, annotations]) => ({ name, namespace: 'openfaas-fn', annotations })) // prettier-ignore
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

/** Just what deploy/ grants, too. @param name of the Lease and the ConfigMap */
export function turnRights(name: string): readonly Rule[] {
  return [
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: [name], verbs: ['get', 'update'] },
    { apiGroups: [''], resources: ['configmaps'], verbs: ['create'] },
    { apiGroups: [''], resources: ['configmaps'], resourceNames: [name], verbs: ['get', 'update'] },
  ]
}

export interface ReplicaSettings {
  readonly gateway: CronGateway
  readonly namespace: string
  readonly kubeconfig: string
  /** Default cron. */
  readonly connector?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A namespace with an account of those rights. */
export async function cronCluster(
  api: KubernetesApi,
  rules = turnRights('hub-cron'),
): Promise<Pick<ReplicaSettings, 'namespace' | 'kubeconfig'>> {
  const namespace = await api.createNamespace()
  const token = await api.serviceAccountToken(namespace, 'hub')
  await api.grant(namespace, 'hub', rules)
  return { namespace, kubeconfig: api.kubeconfig(token, namespace) }
}

/** Replicas of one Deployment. */
export class Replicas implements AsyncDisposable {
  readonly running = new Map<string, HubProcess>()
  readonly #settings: ReplicaSettings
  readonly #folder = mkdtempSync(join(tmpdir(), 'hub-replicas-'))
  #count = 0

  constructor(settings: ReplicaSettings) {
    this.#settings = settings
  }

  /** @returns its name */
  start(): string {
    const { gateway, namespace, kubeconfig, connector = 'cron', env } = this.#settings
    const name = `pod-${(this.#count += 1)}`
    const hub = new HubProcess(name, [connector], {
      HOME: this.#folder,
      HUB_GATEWAY_URL: gateway.urlFor(name),
      HUB_GATEWAY_REBUILD_INTERVAL: '1s',
      HUB_STATE_DIR: join(this.#folder, name),
      HUB_KUBERNETES_KUBECONFIG: kubeconfig,
      HUB_KUBERNETES_TIMEOUT: '2s',
      HUB_LEADER_ENABLED: 'true',
      HUB_LEADER_LEASE: 'hub',
      HUB_LEADER_NAMESPACE: namespace,
      HUB_LEADER_DURATION: '3s',
      HUB_LEADER_RENEW_DEADLINE: '2s',
      HUB_LEADER_RETRY_PERIOD: '300ms',
      POD_NAME: name,
      ...env,
    })
    this.running.set(name, hub)
    return name
  }

  of(name: string): HubProcess {
    const hub = this.running.get(name)
    if (hub === undefined) throw new Error(`${name} does not run`)
    return hub
  }

  /** As the kernel does it, without a word. */
  async kill(name: string): Promise<void> {
    const hub = this.of(name)
    this.running.delete(name)
    hub.signal('SIGKILL')
    await hub.ended()
  }

  /** As the kubelet does it. */
  async stop(name: string): Promise<void> {
    const hub = this.of(name)
    this.running.delete(name)
    hub.signal('SIGTERM')
    await hub.ended()
  }

  logTails(): string {
    return [...this.running.values()].map((hub) => hub.logTail()).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const hub of this.running.values()) await hub[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** @param more what is known when it does not happen */
export function until(condition: () => boolean, what: string, more: () => string = () => ''): Promise<void> {
  return vi.waitFor(() => {
    if (!condition()) throw new Error(`did not happen: ${what}\n${more()}`)
  }, WAIT)
}
