// A whole collection by pages, all of the same moment. Called by collection.ts, and by commands that look once.

import { isRecord, recordOf } from '../sdk/index.ts'
import type { KubernetesAnswer, KubernetesApi, Query } from './api.ts'
import { KubernetesError } from './errors.ts'

export interface ListOptions {
  /** labelSelector, fieldSelector. */
  readonly query?: Query
  /** Objects of one request. Default 500. */
  readonly pageItems?: number
  readonly signal: AbortSignal
}

export interface ObjectList<T> {
  /** By `namespace/name`; a name alone for what has no namespace. */
  readonly items: Map<string, T>
  /** Where a watch goes on. */
  readonly resourceVersion: string
}

export interface ObjectMetadata {
  readonly name: string
  /** '' for what has none. */
  readonly namespace: string
  readonly resourceVersion: string
  readonly annotations: Readonly<Record<string, unknown>>
  readonly labels: Readonly<Record<string, unknown>>
}

/** Makes what is kept of an object; undefined: it is left out. `key` as in ObjectList. */
export type ReadObject<T> = (object: KubernetesAnswer, metadata: ObjectMetadata, key: string) => T | undefined

const PAGE_ITEMS = 500
/** Bound of what is kept of one collection. */
const ITEMS_MAX = 100_000
/** The rest of a list is refused when a compaction took its moment away; compactions are minutes apart. */
const STARTS_MAX = 3

/**
 * Begins anew where the server no longer knows the moment of the first page.
 * @throws KubernetesError, the reason of the signal, and what `read` throws
 */
export async function listAll<T>(
  api: KubernetesApi,
  path: string,
  options: ListOptions,
  read: ReadObject<T>,
): Promise<ObjectList<T>> {
  for (let starts = 1; ; starts += 1) {
    try {
      return await listPages(api, path, options, read)
    } catch (error) {
      if (starts === STARTS_MAX || !isExpired(error)) throw error
    }
  }
}

async function listPages<T>(
  api: KubernetesApi,
  path: string,
  { query, pageItems = PAGE_ITEMS, signal }: ListOptions,
  read: ReadObject<T>,
): Promise<ObjectList<T>> {
  const items = new Map<string, T>()
  for (let next: string | undefined; ;) {
    const answer = await api.list(path, { ...query, limit: pageItems, continue: next }, { signal })
    const metadata = recordOf(answer['metadata'])
    const { resourceVersion } = metadata
    if (typeof resourceVersion !== 'string' || !Array.isArray(answer['items'] ?? []))
      throw unusable(api, path, 'the answer is not a list')
    // Go writes an empty list as null.
    for (const object of (answer['items'] ?? []) as unknown[]) {
      if (!isRecord(object)) continue
      const about = metadataOf(object)
      const key = keyOf(about)
      const item = read(object, about, key)
      if (item !== undefined) items.set(key, item)
    }
    refuseTooMany(api, path, items.size)
    next = typeof metadata['continue'] === 'string' ? metadata['continue'] : ''
    if (next === '') return { items, resourceVersion }
  }
}

/** @throws KubernetesError HUB_KUBERNETES_FAILED for more objects than are kept */
export function refuseTooMany(api: KubernetesApi, path: string, count: number): void {
  if (count > ITEMS_MAX) throw unusable(api, path, `more than ${ITEMS_MAX} objects`)
}

function unusable({ server }: KubernetesApi, path: string, what: string): KubernetesError {
  const message = `GET ${server}${path}: ${what}`
  return new KubernetesError('HUB_KUBERNETES_FAILED', message, { status: 0, reason: '', canRetry: true })
}

/** HTTP 410, and the same as an event of a watch: a moment that is no longer known. */
export function isExpired(error: unknown): boolean {
  return error instanceof KubernetesError && (error.status === 410 || error.reason === 'Expired')
}

/** What is missing is ''. */
export function metadataOf(object: KubernetesAnswer): ObjectMetadata {
  const metadata = recordOf(object['metadata'])
  const text = (key: string): string => (typeof metadata[key] === 'string' ? metadata[key] : '')
  return {
    name: text('name'),
    namespace: text('namespace'),
    resourceVersion: text('resourceVersion'),
    annotations: recordOf(metadata['annotations']),
    labels: recordOf(metadata['labels']),
  }
}

export function keyOf({ name, namespace }: ObjectMetadata): string {
  return namespace === '' ? name : `${namespace}/${name}`
}
