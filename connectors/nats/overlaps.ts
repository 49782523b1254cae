// Core NATS delivers a message once for each subscription outside of queue groups that matches it, and the copies have nothing
// to tell them by: that of the oldest subscription counts. (Inside a group the server chooses one subscription among all that
// match, whatever their filters.) Pure; owned by core-source.ts.

import { TopicIndex } from '../../src/sdk/index.ts'
import { overlap } from './subjects.ts'

export class Overlaps {
  /** Places in the order of subscribing, by filter. */
  #places = new Map<string, number>()
  /** Undefined where no two filters match one subject. */
  #index: TopicIndex<number> | undefined

  /** @param subjects in the order in which the server was asked for them: it has every earlier one of one that it has */
  set(subjects: readonly string[]): void {
    this.#places = new Map(subjects.map((subject, place) => [subject, place]))
    this.#index = undefined
    if (!subjects.some((one, at) => subjects.slice(at + 1).some((other) => overlap(one, other)))) return
    this.#index = new TopicIndex('nats')
    for (const [subject, place] of this.#places) this.#index.add(subject, place)
  }

  /** Does another subscription bring this message, too, and it counts? */
  isCopy(subscribed: string, subject: string): boolean {
    const own = this.#places.get(subscribed)
    if (this.#index === undefined || own === undefined) return false
    return this.#index.find(subject).some((place) => place < own)
  }
}
