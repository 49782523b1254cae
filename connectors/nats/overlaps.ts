// Core NATS delivers a message once for each subscription that matches it, and a queue group each of these copies to one of
// its members, perhaps to different ones. Which copy is handed out: that of the first subscription in an order that is the
// same on all replicas. Pure; owned by core-source.ts.

import { TopicIndex } from '../../src/sdk/index.ts'
import { overlap } from './subjects.ts'

export class Overlaps {
  /** The server knows them. */
  #established = new TopicIndex<string>('nats')
  /** Asked for on this connection, in their order. */
  #asked = new TopicIndex<string>('nats')
  #new: ReadonlySet<string> = new Set()
  #any = false

  /** @param added asked for in this order, which is that of `toSorted` */
  asked(added: readonly string[], established: readonly string[]): void {
    const all = [...established, ...added]
    this.#established = indexOf(established)
    this.#asked = indexOf(all)
    this.#new = new Set(added)
    this.#any = all.some((one, at) => all.slice(at + 1).some((other) => overlap(one, other)))
  }

  /**
   * Is this copy to be dropped for that of an earlier subscription? Only for one that the server is sure to have: either all
   * are confirmed, or it was asked for before this one. So no message is dropped by all who get a copy.
   */
  isCopy(subscribed: string, subject: string): boolean {
    if (!this.#any) return false
    const index = this.#new.has(subscribed) ? this.#asked : this.#established
    return index.find(subject).some((other) => other < subscribed)
  }
}

function indexOf(subjects: readonly string[]): TopicIndex<string> {
  const index = new TopicIndex<string>('nats')
  for (const subject of subjects) index.add(subject, subject)
  return index
}
