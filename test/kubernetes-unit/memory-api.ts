// An API server's objects in memory, with its optimistic concurrency, and a network between that fails as it is told. For tests
// on a clock set by hand; what a real server does is in test/kubernetes.

import { KubernetesError } from '../../src/kubernetes/index.ts'
import type { CallOptions, KubernetesAnswer } from '../../src/kubernetes/index.ts'
import { isRecord } from '../../src/sdk/index.ts'
import type { Clock, ErrorCode } from '../../src/sdk/index.ts'

/** `late`: it arrives, by and by, long after the client has given up. */
export type NetworkFault = 'request-lost' | 'answer-lost' | 'late' | 'forbidden'

const TIMEOUT_MS = 10_000

export class MemoryCluster {
  readonly objects = new Map<string, KubernetesAnswer>()
  readonly #clock: Clock
  readonly #late: (() => void)[] = []
  writes = 0
  #version = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What was late arrives now. */
  deliverLate(): void {
    for (const arrive of this.#late.splice(0)) arrive()
  }

  client(): MemoryApi {
    return new MemoryApi(this, this.#clock, (arrive) => void this.#late.push(arrive))
  }

  apply(method: 'GET' | 'POST' | 'PUT', path: string, object?: unknown): KubernetesAnswer {
    if (method === 'GET') return this.objects.get(path) ?? refuse(404, 'NotFound')
    this.writes += 1
    const wished = JSON.parse(JSON.stringify(object)) as { metadata: Record<string, unknown> }
    const at = method === 'PUT' ? path : `${path}/${String(wished.metadata['name'])}`
    const before = this.objects.get(at)
    if (method === 'POST' && before !== undefined) return refuse(409, 'AlreadyExists')
    if (method === 'PUT' && before === undefined) return refuse(404, 'NotFound')
    if (method === 'PUT' && versionOf(before) !== wished.metadata['resourceVersion']) return refuse(409, 'Conflict')
    const stored = { ...wished, metadata: { ...wished.metadata, resourceVersion: String((this.#version += 1)) } }
    this.objects.set(at, stored)
    return stored
  }
}

export class MemoryApi {
  /** Of each request: what goes wrong with it. */
  fault: (method: 'GET' | 'POST' | 'PUT', path: string) => NetworkFault | undefined = () => undefined
  readonly #cluster: MemoryCluster
  readonly #clock: Clock
  readonly #delay: (arrive: () => void) => void

  constructor(cluster: MemoryCluster, clock: Clock, delay: (arrive: () => void) => void) {
    this.#cluster = cluster
    this.#clock = clock
    this.#delay = delay
  }

  get(path: string, options?: CallOptions): Promise<KubernetesAnswer> {
    return this.#call('GET', path, undefined, options)
  }

  create(path: string, object: unknown, options?: CallOptions): Promise<KubernetesAnswer> {
    return this.#call('POST', path, object, options)
  }

  replace(path: string, object: unknown, options?: CallOptions): Promise<KubernetesAnswer> {
    return this.#call('PUT', path, object, options)
  }

  async #call(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    object: unknown,
    { timeoutMs = TIMEOUT_MS, signal }: CallOptions = {},
  ): Promise<KubernetesAnswer> {
    signal?.throwIfAborted()
    const fault = this.fault(method, path)
    if (fault === undefined) return this.#cluster.apply(method, path, object)
    if (fault === 'forbidden') return refuse(403, 'Forbidden', 'HUB_KUBERNETES_FORBIDDEN')
    const arrive = (): void => {
      try {
        this.#cluster.apply(method, path, object)
      } catch {
        // Nobody waits for the answer.
      }
    }
    if (fault === 'answer-lost') arrive()
    if (fault === 'late') this.#delay(arrive)
    return await new Promise((_resolve, reject) => {
      const stop = (): void => reject(signal?.reason as Error)
      signal?.addEventListener('abort', stop, { once: true })
      this.#clock.after(timeoutMs, () => {
        signal?.removeEventListener('abort', stop)
        reject(
          new KubernetesError('HUB_KUBERNETES_UNREACHABLE', 'no answer', { status: 0, reason: '', canRetry: true }),
        )
      })
    })
  }
}

function versionOf(object: KubernetesAnswer | undefined): unknown {
  return isRecord(object?.['metadata']) ? object['metadata']['resourceVersion'] : undefined
}

function refuse(status: number, reason: string, code: ErrorCode = 'HUB_KUBERNETES_FAILED'): never {
  throw new KubernetesError(code, `answered ${status}`, { status, reason, canRetry: status === 403 })
}
