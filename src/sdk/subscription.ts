// What the wiring wants from one source, and the difference between two such sets.

/** What to do when a schedule fires while its earlier run is still unsettled. */
export type OverlapPolicy = 'allow' | 'forbid' | 'replace'
/** What to do about fires missed while the hub was away: nothing, the latest one, or every one (bounded). */
export type CatchUpPolicy = 'none' | 'last' | 'all'

/** A broker topic or topic pattern that at least one function wants. */
export interface TopicSubscription {
  readonly kind: 'topic'
  readonly topic: string
}

/** One schedule expression of one function. */
export interface ScheduleSubscription {
  readonly kind: 'schedule'
  /** Full function name; goes into `EventMessage.target`. */
  readonly function: string
  /** One expression, already split at `;` and trimmed, e.g. `CRON_TZ=Europe/London 0 9 * * 1-5`. Valid. */
  readonly expression: string
  readonly overlap: OverlapPolicy
  readonly catchUp: CatchUpPolicy
  /** Each fire is delayed by a stable amount below this; 0 for none. Milliseconds. */
  readonly jitterMs: number
}

export type Subscription = TopicSubscription | ScheduleSubscription

/** Equal for equal subscriptions; any changed setting changes the key. */
export function subscriptionKey(subscription: Subscription): string {
  if (subscription.kind === 'topic') return subscription.topic
  const { function: name, expression, overlap, catchUp, jitterMs } = subscription
  return `${name} [${expression}] overlap=${overlap} catch-up=${catchUp} jitter=${jitterMs}ms`
}

/** The difference between what is subscribed (by key) and what is wanted. */
export function diffSubscriptions(
  current: ReadonlyMap<string, Subscription>,
  wanted: readonly Subscription[],
): { readonly added: readonly Subscription[]; readonly removed: readonly Subscription[] } {
  const wantedByKey = new Map(wanted.map((subscription) => [subscriptionKey(subscription), subscription]))
  const added = [...wantedByKey].filter(([key]) => !current.has(key)).map(([, subscription]) => subscription)
  const removed = [...current].filter(([key]) => !wantedByKey.has(key)).map(([, subscription]) => subscription)
  return { added, removed }
}
