// Watches a cluster for functions and keeps the last good list of each collection through every fault. Speaks no HTTP itself
// and reads no object; made by the composition root.

import { HubError, asHubError, backoffMs, sleep } from '../sdk/index.ts'
import type { BackoffSettings, Clock, ClockTimer } from '../sdk/index.ts'
import { Collection } from '../kubernetes/index.ts'
import type { CollectionTuning, KubernetesApi } from '../kubernetes/index.ts'
import { LastingDifferences, shownDifferences } from './cross-check.ts'
import type { DiscoveryEvents, DiscoveryStatus, FunctionWatcher, Snapshot } from './function.ts'
import { mergeFunctions } from './kubernetes-merge.ts'
import { readDeployment, readFunction, readNamespace, type ClusterFunction } from './kubernetes-objects.ts'
import {
  FUNCTION_QUERY,
  kubernetesScope,
  type KubernetesScope,
  type KubernetesScopeOptions,
} from './kubernetes-scope.ts'
import { LastGood } from './last-good.ts'

export interface KubernetesWatcherOptions extends KubernetesScopeOptions {
  /** Called until it succeeds: credentials may come later than we do. The signal aborts when the watcher is closed. */
  readonly open: (signal: AbortSignal) => Promise<KubernetesApi>
  readonly clock: Clock
  readonly events: DiscoveryEvents
  /** Quiet time after a change before it is wired: one deployment is several events. Default 50 ms. */
  readonly debounceMs?: number
  /** For which a Function and its Deployment may differ before that is a finding. Default 30 s. */
  readonly graceMs?: number
  readonly tuning?: CollectionTuning
}

const DEBOUNCE_MS = 50
/** OpenFaaS's operator needs a moment to update a Deployment. */
const GRACE_MS = 30_000
const TOLD_AGAIN_MS = 1000
const OPEN_BACKOFF: BackoffSettings = { minWaitMs: 250, maxWaitMs: 15_000, jitter: 'equal' }

/**
 * Each collection goes on by itself: while one of them fails, what it had stays, changes of the others are wired, and the age
 * of the whole is that of the oldest. The first snapshot waits for all of them.
 */
export class KubernetesWatcher implements FunctionWatcher {
  readonly #options: KubernetesWatcherOptions
  readonly #scope: KubernetesScope
  readonly #lastGood: LastGood
  readonly #lasting: LastingDifferences
  readonly #closing = new AbortController()
  #opening: Promise<void> | undefined
  #api: KubernetesApi | undefined
  #namespaces: Collection<true> | undefined
  #functions: readonly Collection<ClusterFunction>[] = []
  #deployments: readonly Collection<ClusterFunction>[] = []
  #onSnapshot: ((snapshot: Snapshot) => void) | undefined
  #timer: ClockTimer | undefined

  /** @throws HubError HUB_CONFIG_INVALID */
  constructor(options: KubernetesWatcherOptions) {
    this.#options = options
    this.#scope = kubernetesScope(options)
    this.#lastGood = new LastGood(options.clock, options.events)
    this.#lasting = new LastingDifferences(options.clock, options.graceMs ?? GRACE_MS, () => this.#schedule())
  }

  /** @throws Error when started twice */
  start(onSnapshot: (snapshot: Snapshot) => void): void {
    if (this.#opening !== undefined) throw new Error('a watcher is started once')
    this.#onSnapshot = onSnapshot
    this.#opening = this.#open()
  }

  status(): DiscoveryStatus {
    return this.#lastGood.status()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#timer?.cancel()
    this.#lasting.close()
    await this.#opening
    await Promise.all(this.#collections.map((collection) => collection.close()))
    await this.#api?.close()
  }

  get #collections(): readonly (Collection<ClusterFunction> | Collection<true>)[] {
    const namespaces = this.#namespaces === undefined ? [] : [this.#namespaces]
    return [...namespaces, ...this.#functions, ...this.#deployments]
  }

  /** Never rejects. */
  async #open(): Promise<void> {
    const { open, clock } = this.#options
    const { signal } = this.#closing
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        this.#api = await open(signal)
        break
      } catch (error) {
        if (signal.aborted) return
        this.#lastGood.fail(error)
        // Rejects only when closed, which ends the loop.
        await sleep(clock, backoffMs(failures, OPEN_BACKOFF), signal).catch(() => {})
      }
    }
    if (this.#api === undefined || signal.aborted) return
    this.#mirror(this.#api)
    for (const collection of this.#collections) collection.start()
    // Names of namespaces that are all denied: nothing will ever be listed.
    if (this.#collections.length === 0) this.#schedule()
  }

  #mirror(api: KubernetesApi): void {
    const { clock, tuning } = this.#options
    const listener = {
      changed: () => this.#schedule(),
      alive: () => this.#confirm(),
      failed: (error: HubError) => this.#lastGood.fail(error),
    }
    const common = { api, clock, listener, ...tuning }
    const { namespaces, functions, deployments } = this.#scope
    if (namespaces !== undefined)
      this.#namespaces = new Collection({ ...common, path: namespaces, mayBeAbsent: false, read: readNamespace })
    this.#functions = functions.map(
      (path) => new Collection({ ...common, path, mayBeAbsent: true, read: readFunction }),
    )
    this.#deployments = deployments.map(
      (path) => new Collection({ ...common, path, query: FUNCTION_QUERY, mayBeAbsent: false, read: readDeployment }),
    )
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#closing.signal.aborted) return
    const { clock, debounceMs = DEBOUNCE_MS } = this.#options
    this.#timer = clock.after(debounceMs, () => this.#flush())
  }

  #flush(): void {
    this.#timer = undefined
    if (this.#collections.some(({ aliveAtMs }) => aliveAtMs === undefined)) return
    const { functions, findings, differences } = mergeFunctions(this.#state())
    const lasting = shownDifferences(this.#lasting.of(differences))
    try {
      this.#lastGood.replace(functions, [...findings, ...lasting], this.#onSnapshot as (snapshot: Snapshot) => void)
      this.#confirm()
    } catch (error) {
      // Of the listener; it is told again, as LastGood promises.
      this.#lastGood.fail(asHubError(error))
      this.#timer = this.#options.clock.after(TOLD_AGAIN_MS, () => this.#flush())
    }
  }

  #state(): Parameters<typeof mergeFunctions>[0] {
    const marked = this.#namespaces?.items ?? new Map<string, true>()
    return {
      functions: this.#functions.flatMap(({ items }) => [...items.values()]),
      deployments: this.#deployments.flatMap(({ items }) => [...items.values()]),
      isWanted: (namespace) => this.#scope.isWanted(namespace, marked),
      hasNamespaces: this.#functions.length > 0,
    }
  }

  /** What is in force is what the cluster has, as far as every collection knows. */
  #confirm(): void {
    // A change that is not wired yet, or no first list.
    if (this.#timer !== undefined || this.#lastGood.functions === undefined) return
    let oldestMs = this.#options.clock.now()
    for (const { aliveAtMs, problem } of this.#collections) {
      if (aliveAtMs === undefined || problem !== undefined) return
      oldestMs = Math.min(oldestMs, aliveAtMs)
    }
    this.#lastGood.confirm(oldestMs)
  }
}
