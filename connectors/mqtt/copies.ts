// Recognises the second copy of an event that matches several of our subscriptions. Mosquitto sends one PUBLISH for each
// of them to MQTT 5 clients; with a subscription identifier each (MQTT 5.0 §3.3.4) the copies can be told from repetitions.

import { TopicIndex } from '../../src/sdk/index.ts'
import { isShared } from './filters.ts'

/** An event is forgotten when so many others came after it: brokers send the copies of one event one after the other. */
const WINDOW = 128

interface Seen {
  readonly digest: string
  /** Subscription identifiers by which the event came. */
  readonly by: Set<number>
  readonly at: number
}

/**
 * Pairs arrivals of equal content that came by different subscriptions. What came twice by the same subscription is two
 * events, however equal. Shared subscriptions take no part: their copies may go to another replica.
 */
export class CopyFilter {
  #index = new TopicIndex<string>('mqtt')
  #recent: Seen[] = []
  #arrivals = 0

  /**
   * The filters in force. `forget`: an event may from now on come without the copy that an earlier equal one had (a
   * subscription ended, or a connection began), so earlier ones must not be paired with later ones.
   */
  use(filters: Iterable<string>, forget: boolean): void {
    this.#index = new TopicIndex('mqtt')
    for (const filter of filters) if (!isShared(filter)) this.#index.add(filter, filter)
    if (forget) this.#recent = []
  }

  /** True for a copy of an event that was here already; false remembers the event. */
  isCopy(topic: string, digest: string, identifiers: readonly number[]): boolean {
    this.#arrivals += 1
    const ways = identifiers.length === 0 ? 0 : this.#index.find(topic).length
    if (ways < 2) return false
    this.#recent = this.#recent.filter(({ by, at }) => by.size < ways && this.#arrivals - at <= WINDOW)
    const first = this.#recent.find((seen) => seen.digest === digest && !identifiers.some((id) => seen.by.has(id)))
    if (first === undefined) {
      this.#recent.push({ digest, by: new Set(identifiers), at: this.#arrivals })
      return false
    }
    for (const id of identifiers) first.by.add(id)
    return true
  }
}
