// A mirror of one collection of objects: lists it, watches it, and keeps what it knew through every fault. What is kept of an
// object, its reader says. Made by discovery, one for each path.

import { HubError, asHubError, backoffMs, sleep } from '../sdk/index.ts'
import type { BackoffSettings, Clock } from '../sdk/index.ts'
import type { KubernetesAnswer, KubernetesApi, Query, WatchEvent } from './api.ts'
import { NOT_FOUND, statusOf } from './errors.ts'
import { isExpired, keyOf, listAll, metadataOf, refuseTooMany } from './list.ts'
import type { ObjectMetadata } from './list.ts'

export interface CollectionTuning {
  /** Objects of one page of a list. Default 500. */
  readonly pageItems?: number
  /** After which the server ends a watch, at most; the next one goes on where it ended. Default 60. */
  readonly watchSeconds?: number
  /** Silence beyond that, after which a watch counts as dead. Default 15 s. */
  readonly graceMs?: number
  /** After which the next watch begins with a list, whatever was watched: a restored etcd goes back in time. Default 10 min. */
  readonly relistMs?: number
  /** Between an empty list and the one that has to confirm it. Default 10 s. */
  readonly confirmMs?: number
  /** Between two looks for a resource that the server does not have. Default 10 s. */
  readonly absentMs?: number
  /** Longest wait after a failure. Default 15 s. */
  readonly backoffMaxMs?: number
}

export interface CollectionOptions<T> extends CollectionTuning {
  readonly api: KubernetesApi
  readonly clock: Clock
  readonly path: string
  /** labelSelector, fieldSelector. */
  readonly query?: Query
  /** The resource is of a definition (CRD) that may not be installed; until it is, the collection is empty. */
  readonly mayBeAbsent: boolean
  /** What is kept; undefined leaves the object out. Gives `previous` back when nothing that counts has changed. */
  readonly read: (object: KubernetesAnswer, metadata: ObjectMetadata, previous: T | undefined) => T | undefined
  readonly listener: CollectionListener
}

export interface CollectionListener {
  /** `items` is another now, or is known for the first time. */
  changed(): void
  /** The server has given a sign that `items` is what it has. */
  alive(): void
  /** An attempt failed; what was known stays, and another attempt follows. */
  failed(error: HubError): void
}

const WATCH_SECONDS = 60
const GRACE_MS = 15_000
const RELIST_MS = 600_000
const CONFIRM_MS = 10_000
const ABSENT_MS = 10_000
const BACKOFF_MIN_MS = 250
const BACKOFF_MAX_MS = 15_000
/** A watch that lived this long was a sound one: the next failure is the first. */
const SOUND_MS = 5000

/**
 * A watch that is cut goes on where it was; one whose moment is no longer known (410) lists anew. A namespace that held
 * objects and of which a list suddenly has none counts as empty only when the next list says the same, because that is
 * what restored, restarted and half-started servers say, too; a deletion that is watched counts at once.
 */
export class Collection<T> {
  readonly #options: CollectionOptions<T>
  readonly #closing = new AbortController()
  readonly #backoff: BackoffSettings
  #items = new Map<string, T>()
  #version: string | undefined
  #listedAtMs = 0
  #emptied: ReadonlySet<string> = new Set()
  #aliveAtMs: number | undefined
  #problem: HubError | undefined
  /** Since the last watch that lived. */
  #failures = 0
  #expiries = 0
  #loop: Promise<void> | undefined

  constructor(options: CollectionOptions<T>) {
    this.#options = options
    this.#backoff = {
      minWaitMs: BACKOFF_MIN_MS,
      maxWaitMs: options.backoffMaxMs ?? BACKOFF_MAX_MS,
      jitter: 'equal',
    }
  }

  /** By `namespace/name`. */
  get items(): ReadonlyMap<string, T> {
    return this.#items
  }

  /** Unix milliseconds of the last sign that `items` is what the server has; undefined before the first list. */
  get aliveAtMs(): number | undefined {
    return this.#aliveAtMs
  }

  /** Why the latest attempt failed; undefined while all is well. */
  get problem(): HubError | undefined {
    return this.#problem
  }

  /** @throws Error when started twice */
  start(): void {
    if (this.#loop !== undefined) throw new Error('a collection is started once')
    this.#loop = this.#run()
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#loop
  }

  /** Of a watch that did what watches do. */
  get #soundMs(): number {
    return Math.min(SOUND_MS, (this.#options.watchSeconds ?? WATCH_SECONDS) * 500)
  }

  /** Ends only when closed; never rejects. */
  async #run(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#closing
    while (!signal.aborted) {
      const begunAtMs = clock.monotonic()
      const settle = (): void => {
        if (clock.monotonic() - begunAtMs < this.#soundMs) return
        this.#failures = 0
        this.#expiries = 0
      }
      let waitMs = 0
      try {
        // However the watch before it ended: behind a proxy that cuts them, all end by a failure.
        const isStale = clock.monotonic() - this.#listedAtMs >= (this.#options.relistMs ?? RELIST_MS)
        if (this.#version === undefined || isStale) await this.#list()
        await this.#watch()
        this.#failures += 1
        settle()
        // A server that ends watches at once is not asked in a circle.
        if (this.#failures > 1) waitMs = backoffMs(this.#failures - 1, this.#backoff)
      } catch (error) {
        if (signal.aborted) return
        settle()
        waitMs = this.#failed(error)
      }
      // Rejects only when closed, which ends the loop.
      if (waitMs > 0) await sleep(clock, waitMs, signal).catch(() => {})
    }
  }

  /** @returns how long to wait */
  #failed(error: unknown): number {
    const { mayBeAbsent, absentMs = ABSENT_MS, confirmMs = CONFIRM_MS, listener } = this.#options
    let problem = asHubError(error)
    if (mayBeAbsent && statusOf(problem) === NOT_FOUND) {
      this.#version = undefined
      this.#failures = 0
      try {
        this.#take(new Map())
        return absentMs
      } catch (unconfirmed) {
        problem = unconfirmed as HubError
      }
    }
    this.#problem = problem
    listener.failed(problem)
    if (problem instanceof Unconfirmed) return confirmMs
    // What fails in between is a server that is starting, and its empty list confirms nothing.
    this.#emptied = new Set()
    if (isExpired(problem)) {
      this.#version = undefined
      // Another list is all that is to be done, but not in a circle.
      return this.#expiries++ === 0 ? 0 : backoffMs(this.#expiries, this.#backoff)
    }
    this.#failures += 1
    return backoffMs(this.#failures, this.#backoff)
  }

  async #list(): Promise<void> {
    const { api, path, query, pageItems, read } = this.#options
    const { signal } = this.#closing
    const options = {
      signal,
      ...(query === undefined ? {} : { query }),
      ...(pageItems === undefined ? {} : { pageItems }),
    }
    const { items, resourceVersion } = await listAll(api, path, options, (object, metadata, key) =>
      read(object, metadata, this.#items.get(key)),
    )
    this.#take(items)
    this.#version = resourceVersion
    this.#listedAtMs = this.#options.clock.monotonic()
  }

  /** @throws Unconfirmed */
  #take(items: Map<string, T>): void {
    const held = namespacesOf(this.#items)
    const listed = namespacesOf(items)
    const emptied = new Set([...held].filter((namespace) => !listed.has(namespace)))
    const news = [...emptied].filter((namespace) => !this.#emptied.has(namespace))
    this.#emptied = emptied
    if (news.length > 0) throw new Unconfirmed(this.#options.path, news)
    this.#emptied = new Set()
    const isOther = this.#aliveAtMs === undefined || !sameItems(this.#items, items)
    this.#items = items
    this.#alive(isOther)
  }

  async #watch(): Promise<void> {
    const { api, path, query, watchSeconds = WATCH_SECONDS, graceMs = GRACE_MS } = this.#options
    // Not all watches of all replicas at the same second.
    const timeoutSeconds = Math.max(1, Math.round(watchSeconds * (0.75 + Math.random() * 0.25)))
    await api.watch(
      path,
      {
        resourceVersion: this.#version as string,
        timeoutSeconds,
        idleMs: timeoutSeconds * 1000 + graceMs,
        ...(query === undefined ? {} : { query }),
        signal: this.#closing.signal,
        onOpen: () => this.#alive(false),
      },
      (event) => this.#apply(event),
    )
    this.#alive(false)
  }

  #apply({ type, object }: WatchEvent): void {
    const { read } = this.#options
    const metadata = metadataOf(object)
    let isOther = false
    if (type !== 'BOOKMARK') {
      const key = keyOf(metadata)
      const previous = this.#items.get(key)
      const item = type === 'DELETED' ? undefined : read(object, metadata, previous)
      if (item === undefined) this.#items.delete(key)
      else this.#items.set(key, item)
      refuseTooMany(this.#options.api, this.#options.path, this.#items.size)
      isOther = item !== previous
    }
    if (metadata.resourceVersion !== '') this.#version = metadata.resourceVersion
    this.#alive(isOther)
  }

  #alive(isOther: boolean): void {
    this.#aliveAtMs = this.#options.clock.now()
    this.#problem = undefined
    if (isOther) this.#options.listener.changed()
    this.#options.listener.alive()
  }
}

/** A list that the next one has to confirm. */
class Unconfirmed extends HubError {
  constructor(path: string, namespaces: readonly string[]) {
    const what = path.split('/').at(-1) ?? path
    const shown = namespaces.slice(0, 5).join(', ')
    super('HUB_DISCOVERY_FAILED', `the API server suddenly lists no ${what}${shown === '' ? '' : ` in ${shown}`}`, {
      canRetry: true,
      hint: 'Do nothing if they were removed: the next list confirms it. Otherwise look at the API server and its etcd.',
    })
  }
}

function namespacesOf(items: ReadonlyMap<string, unknown>): ReadonlySet<string> {
  const namespaces = new Set<string>()
  for (const key of items.keys()) namespaces.add(key.slice(0, Math.max(0, key.indexOf('/'))))
  return namespaces
}

function sameItems(left: ReadonlyMap<string, unknown>, right: ReadonlyMap<string, unknown>): boolean {
  if (left.size !== right.size) return false
  for (const [key, item] of left) if (right.get(key) !== item) return false
  return true
}
