// Which topic filters are asked of the broker for what is wanted. Pure; called by mqtt-source.ts.

import { matchPattern } from '../../src/sdk/index.ts'
import type { Subscription } from '../../src/sdk/index.ts'

export interface FilterOptions {
  /** Asked for instead of the wanted ones. */
  readonly topics: readonly string[] | undefined
  readonly sharedGroup: string | undefined
}

/**
 * The filters to subscribe to, without repetitions and without those that another one covers: a broker may send a message
 * once for each of its subscriptions that matches (MQTT 5.0 §3.3.4). A `$share/…` of the annotation is kept as it is.
 */
export function wantedFilters(wanted: readonly Subscription[], options: FilterOptions): readonly string[] {
  const { topics, sharedGroup } = options
  const plain = topics ?? wanted.flatMap((subscription) => (subscription.kind === 'topic' ? [subscription.topic] : []))
  const filters = [...new Set(plain)].map((filter) =>
    sharedGroup === undefined || isShared(filter) ? filter : `$share/${sharedGroup}/${filter}`,
  )
  const unique = [...new Set(filters)]
  return unique.filter((filter) => !unique.some((other) => other !== filter && covers(other, filter)))
}

/** As topics are named where channel keys are dropped (`trimChannelKey`). */
export function withoutKey(filter: string): string {
  const plain = matchPattern('mqtt', filter)
  return plain.slice(plain.indexOf('/') + 1)
}

export function isShared(filter: string): boolean {
  return filter.startsWith('$share/')
}

/** Does `outer` bring every message that `inner` brings? Never across shared groups: each gets its own copies. */
export function covers(outer: string, inner: string): boolean {
  if (groupOf(outer) !== groupOf(inner)) return false
  const outerFilter = matchPattern('mqtt', outer)
  const innerFilter = matchPattern('mqtt', inner)
  // MQTT 5.0 §4.7.2: a wildcard at the first level does not match topics that begin with $.
  if (innerFilter.startsWith('$') && /^[+#]/.test(outerFilter)) return false
  const outerLevels = outerFilter.split('/')
  const innerLevels = innerFilter.split('/')
  for (const [index, level] of outerLevels.entries()) {
    if (level === '#') return true
    const other = innerLevels[index]
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false
  }
  return outerLevels.length === innerLevels.length
}

function groupOf(filter: string): string | undefined {
  return isShared(filter) ? filter.split('/', 2)[1] : undefined
}
