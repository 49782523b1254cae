// Where a source keeps what somebody handed to it once and will not hand to it again: durable until its functions have
// settled it. Implemented by the runtime; for sources without a broker behind them.

import type { Delivery } from './delivery.ts'
import type { EventMessage } from './event.ts'

/** An event to keep. What it lacks (source, attempt) the inbox knows itself. */
export type InboxEvent = Omit<EventMessage, 'source' | 'attempt' | 'target'>

export interface Inbox {
  /** Events kept, those in flight included. */
  readonly length: number
  /**
   * Resolves once the event is on the disk.
   * @param options.rememberMs an event of this id is taken once within that time, also when it is long settled; one that was
   *   rejected is forgotten at once, so that it can be sent again. Without: whatever its id.
   * @returns `known` when it was taken before, and nothing was stored
   * @throws HubError HUB_QUEUE_FULL when there is no room for it; HUB_STATE_UNUSABLE when it cannot be written
   */
  put(event: InboxEvent, options?: { readonly rememberMs?: number }): Promise<'stored' | 'known'>
  /**
   * What is due, oldest first, what an earlier process left included. A `retry` comes again after its delay, with the next
   * attempt. Settling over a later call than the one it came from works. One reader at a time.
   */
  deliveries(signal: AbortSignal): AsyncIterable<Delivery>
}
