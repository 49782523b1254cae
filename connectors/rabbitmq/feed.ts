// One queue read on a channel of its own, so that what goes wrong with it leaves the other queues alone. Hands out through
// the window, settles at the broker. Owned by rabbit-source.ts.

import type { Channel, Message } from 'amqplib'

import type { Clock, ClockTimer, Delivery, EventMessage, Settlement, SettleResult } from '../../src/sdk/index.ts'
import { publishedMs, streamOffsetOf } from './event.ts'
import type { Handover } from './handover.ts'
import type { Letters } from './letters.ts'
import type { StreamPlace } from './stream-place.ts'
import type { Supply, Window } from './window.ts'

/** As the broker names it; `unknown` where it does not say. */
export type QueueKind = 'classic' | 'quorum' | 'stream' | 'unknown'

export interface FeedOptions {
  readonly queue: string
  readonly kind: QueueKind
  /** Of a quorum queue that is read in its order: begun. */
  readonly handover: Handover | undefined
  readonly openChannel: () => Promise<Channel>
  readonly window: Window
  readonly clock: Clock
  /** Of a stream. */
  readonly place: StreamPlace | undefined
  /** Undefined: the hub keeps the dead letters. */
  readonly letters: Letters | undefined
  /** What is to be retried goes back to the broker, as long as its delivery count stays within this. Undefined: never. */
  readonly returnsMax: number | undefined
  toEvent(entry: Entry): EventMessage
  /** The broker ended it: cancelled the consumer, or closed the channel with this error. Called once, not after `close`. */
  onEnd(error: Error | undefined): void
}

/** One message that the broker waits for us to settle. */
export interface Entry {
  readonly message: Message
  /** Unix milliseconds. */
  readonly arrivedMs: number
  /** How often it was handed out again without the broker. */
  retries: number
}

/** Before an event whose dead letter could not be published is handed out again. */
const LETTER_RETRY_MS = 5000

export class Feed implements Supply {
  readonly #options: FeedOptions
  /** All that is unsettled. */
  readonly #held = new Set<Entry>()
  #backlog: Entry[] = []
  #head = 0
  readonly #timers = new Map<Entry, ClockTimer>()
  /** Acknowledging them lets a stream send more; held back while its span is full. */
  #owed: Message[] = []
  /** Undefined before it is read. */
  #channel: Channel | undefined
  #consumerTag: string | undefined
  #state: 'open' | 'retired' | 'over' = 'open'
  #closing: Promise<void> | undefined

  constructor(options: FeedOptions) {
    this.#options = options
  }

  /**
   * Resolves before messages come where another consumer still has some that must come first.
   * @throws what the broker answers to a consumer that it refuses; the channel is gone then
   */
  async start(prefetch: number): Promise<void> {
    const { handover, openChannel } = this.#options
    if (handover === undefined) return await this.#read(await openChannel(), prefetch)
    if (await handover.isDone()) return await this.#read(handover.channel, prefetch)
    void handover.done().then(() => this.#read(handover.channel, prefetch)).catch((error: unknown) => this.#over(error as Error)) // prettier-ignore
  }

  async #read(channel: Channel, prefetch: number): Promise<void> {
    const { queue, place, handover } = this.#options
    if (this.#state !== 'open') return await channel.close()
    this.#channel = channel
    let reason: Error | undefined
    channel.on('error', (error) => (reason = error))
    channel.on('close', () => this.#over(reason))
    await channel.prefetch(prefetch)
    if (handover?.first !== undefined) this.#arrived(handover.first)
    const args = place === undefined ? {} : { arguments: { 'x-stream-offset': place.from } }
    this.#consumerTag = (await channel.consume(queue, (message) => this.#arrived(message), args)).consumerTag
  }

  get kind(): QueueKind {
    return this.#options.kind
  }

  get isReading(): boolean {
    return this.#consumerTag !== undefined
  }

  /** As the broker counts consumers: a message that was got is one until it is settled. */
  get consumers(): number {
    const first = this.#options.handover?.first
    const isHeld = first !== undefined && [...this.#held].some(({ message }) => message === first)
    return (isHeld ? 1 : 0) + (this.isReading ? 1 : 0)
  }

  /** Of the broker's point of view: what waits here is among it. */
  get unsettled(): number {
    return this.#held.size
  }

  /** When the oldest of it was published, or arrived where the publisher does not say. */
  get oldestMs(): number | undefined {
    const [oldest] = this.#held
    return oldest === undefined ? undefined : (publishedMs(oldest.message) ?? oldest.arrivedMs)
  }

  get waiting(): number {
    return this.#backlog.length - this.#head
  }

  take(): Delivery | undefined {
    const entry = this.#backlog[this.#head]
    if (entry === undefined) return undefined
    this.#head += 1
    if (this.#head === this.#backlog.length || this.#head > 1024) {
      this.#backlog = this.#backlog.slice(this.#head)
      this.#head = 0
    }
    return new Handed(this.#options.toEvent(entry), entry, this.#settle)
  }

  untake(delivery: Delivery): void {
    if (delivery instanceof Handed) this.#backlog.push(delivery.entry)
  }

  /** Not wanted any more: gives back what the hub has not seen, and ends once the rest is settled. */
  async retire(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'retired'
    const { window } = this.#options
    const tag = this.#consumerTag
    this.#consumerTag = undefined
    try {
      if (tag !== undefined) await this.#channel?.cancel(tag)
      window.withdraw(this)
      for (const entry of [...this.#waitingEntries(), ...this.#timers.keys()]) this.#giveBack(entry)
      this.#dropBacklog()
    } catch {
      // The channel is gone, and with it all that it held.
    }
    this.#endWhenSettled()
  }

  /** Ends at once. What is unsettled goes back to the queue; what was settled before is settled for the broker, too. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      const isOpen = this.#state !== 'over'
      this.#abandon()
      const open = this.#channel ?? this.#options.handover
      this.#closing = isOpen && open !== undefined ? open.close().catch(() => undefined) : Promise.resolve()
    }
    return this.#closing
  }

  /** Nothing of it is left at the broker. */
  get isOver(): boolean {
    return this.#state === 'over'
  }

  #arrived(message: Message | null): void {
    if (message === null) {
      this.#consumerTag = undefined
      if (this.#state !== 'open') return
      void this.retire()
      this.#options.onEnd(undefined)
      return
    }
    const { place, window, clock } = this.#options
    const offset = place === undefined ? undefined : streamOffsetOf(message)
    if (this.#state === 'over') return
    if (place !== undefined && offset !== undefined && !place.add(offset)) {
      this.#channel?.ack(message)
      return
    }
    const entry = { message, arrivedMs: clock.now(), retries: 0 }
    this.#held.add(entry)
    if (this.#state === 'retired') {
      this.#giveBack(entry)
      return
    }
    this.#backlog.push(entry)
    window.offer(this)
  }

  readonly #settle = async (entry: Entry, settlement: Settlement): Promise<SettleResult> => {
    try {
      if (!this.#held.has(entry)) return 'stale'
      if (settlement.kind === 'retry') return this.#retry(entry, settlement.delayMs)
      if (settlement.kind === 'reject') await this.#bury(entry, settlement)
      return await this.#acknowledge(entry)
    } finally {
      this.#options.window.release()
    }
  }

  async #acknowledge(entry: Entry): Promise<SettleResult> {
    // While the dead letter was written the channel may have ended.
    if (!this.#held.delete(entry)) return 'stale'
    const { place } = this.#options
    const { message } = entry
    try {
      if (place === undefined) this.#channel?.ack(message)
      else {
        // What could not be stored is stored with a later one, which must be able to come.
        try {
          await place.settle(streamOffsetOf(message) ?? 0n)
        } finally {
          this.#owed.push(message)
          if (!place.isFull && !this.isOver) for (const owed of this.#owed.splice(0)) this.#channel?.ack(owed)
        }
      }
    } catch (error) {
      if (!this.isOver) throw error
      return 'stale'
    } finally {
      this.#endWhenSettled()
    }
    return 'settled'
  }

  #retry(entry: Entry, delayMs: number): SettleResult {
    if (delayMs > 0) this.#later(entry, delayMs, () => this.#again(entry))
    else this.#again(entry)
    return 'settled'
  }

  #again(entry: Entry): void {
    const counted: unknown = entry.message.properties.headers?.['x-delivery-count']
    const returns = typeof counted === 'number' ? counted : 0
    const { returnsMax, window } = this.#options
    if (this.#state === 'retired' || (returnsMax !== undefined && returns < returnsMax)) {
      this.#giveBack(entry)
      this.#endWhenSettled()
      return
    }
    entry.retries += 1
    this.#backlog.push(entry)
    window.offer(this)
  }

  /** @throws HubError HUB_DEAD_LETTER_FAILED; the event is handed out again later */
  async #bury(entry: Entry, { letters }: Extract<Settlement, { kind: 'reject' }>): Promise<void> {
    try {
      for (const letter of letters) await this.#options.letters?.publish(letter, entry.message, this.#options.queue)
    } catch (error) {
      if (this.#held.has(entry)) this.#later(entry, LETTER_RETRY_MS, () => this.#again(entry))
      throw error
    }
  }

  #later(entry: Entry, delayMs: number, work: () => void): void {
    const run = (): void => {
      this.#timers.delete(entry)
      if (this.#held.has(entry)) work()
    }
    this.#timers.set(entry, this.#options.clock.after(delayMs, run))
  }

  /** Back to its queue. A stream has nothing to give back: its place has not moved. */
  #giveBack(entry: Entry): void {
    this.#timers.get(entry)?.cancel()
    this.#timers.delete(entry)
    if (!this.#held.delete(entry) || this.#options.place !== undefined) return
    try {
      this.#channel?.nack(entry.message, false, true)
    } catch {
      // The channel is gone: the broker has taken it back by itself.
    }
  }

  #waitingEntries(): readonly Entry[] {
    return this.#backlog.slice(this.#head)
  }

  #dropBacklog(): void {
    this.#backlog = []
    this.#head = 0
  }

  #endWhenSettled(): void {
    if (this.#state !== 'retired' || this.#held.size > 0) return
    void this.close()
  }

  #over(error: Error | undefined): void {
    const wasOpen = this.#state === 'open'
    this.#abandon()
    if (wasOpen) this.#options.onEnd(error)
  }

  #abandon(): void {
    this.#state = 'over'
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#held.clear()
    this.#options.window.withdraw(this)
    this.#dropBacklog()
    this.#owed = []
  }
}

type Settle = (entry: Entry, settlement: Settlement) => Promise<SettleResult>

class Handed implements Delivery {
  readonly message: EventMessage
  readonly entry: Entry
  readonly #settle: Settle
  #settled: Promise<SettleResult> | undefined

  constructor(message: EventMessage, entry: Entry, settle: Settle) {
    this.message = message
    this.entry = entry
    this.#settle = settle
  }

  settle(settlement: Settlement): Promise<SettleResult> {
    return (this.#settled ??= this.#settle(this.entry, settlement))
  }
}
