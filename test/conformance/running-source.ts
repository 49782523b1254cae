// One source of the connector under test with a reader that collects what it hands out. Forgives nothing: an event
// counts as received only when its settlement was confirmed.

import { strict as assert } from 'node:assert'

import type { Delivery, EventMessage, Settlement, SettleResult, Source, Subscription } from '../../src/sdk/index.ts'
import type { CountingClock, LogRecord } from './recording.ts'

/** A delivery as the reader got it. */
export class Arrival {
  readonly tag: string
  readonly message: EventMessage
  readonly atMs: number
  readonly delivery: Delivery
  settlement: Settlement | undefined
  result: SettleResult | undefined
  readonly #onSettle: () => void

  constructor(tag: string, delivery: Delivery, atMs: number, onSettle: () => void) {
    this.tag = tag
    this.delivery = delivery
    this.message = delivery.message
    this.atMs = atMs
    this.#onSettle = onSettle
  }

  /** Settles and keeps the first settlement and its result. */
  async settle(settlement: Settlement): Promise<SettleResult> {
    if (this.settlement === undefined) {
      this.settlement = settlement
      this.#onSettle()
    }
    const result = await this.delivery.settle(settlement)
    this.result ??= result
    return result
  }

  ack(): Promise<SettleResult> {
    return this.settle({ kind: 'ack' })
  }
}

/** For `decide`: everything is fine. */
export const ackAll = (): Settlement => ({ kind: 'ack' })

export interface RunningSourceParts {
  readonly source: Source
  /** What the source was given; ended when the source is closed. */
  readonly context: Disposable
  readonly clock: CountingClock
  readonly log: LogRecord
  readonly unsettledMax: number
  readonly subscriptionOf: (topic: string) => Subscription
  readonly tagOf: (message: EventMessage) => string | undefined
}

export class RunningSource {
  readonly source: Source
  readonly clock: CountingClock
  readonly arrivals: Arrival[] = []
  /** Decides at arrival; undefined leaves the delivery unsettled. */
  decide: (arrival: Arrival) => Settlement | undefined = () => undefined
  /** How the last `deliveries` ended. */
  ending: { readonly error: unknown } | 'ended' | undefined
  /** Most deliveries handed out and unsettled at once, per connection. */
  unsettledHigh = 0
  readonly #parts: RunningSourceParts
  readonly #abort = new AbortController()
  #unsettled = 0
  #connection = 0
  #pumping: Promise<void> = Promise.resolve()
  readonly #settling: Promise<unknown>[] = []

  constructor(parts: RunningSourceParts) {
    this.#parts = parts
    this.source = parts.source
    this.clock = parts.clock
  }

  /** One attempt, as the supervisor makes it: connect, subscribe, read. */
  async open(topics: readonly string[]): Promise<this> {
    await this.source.connect(this.#abort.signal)
    await this.subscribe(topics)
    this.read()
    return this
  }

  /** Starts reading; once per successful connect. */
  read(): void {
    this.#connection += 1
    this.#unsettled = 0
    this.ending = undefined
    this.#pumping = this.#pump(this.#connection)
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    await this.source.subscribe(topics.map(this.#parts.subscriptionOf), this.#abort.signal)
  }

  /** Arrivals of one tag, in order. */
  of(tag: string): readonly Arrival[] {
    return this.arrivals.filter((arrival) => arrival.tag === tag)
  }

  /** Closes the source and waits until its reader has ended. Whatever was unsettled stays so. */
  async close(): Promise<void> {
    await this.settled()
    await this.source.close()
    await this.#pumping
    this.#parts.context[Symbol.dispose]()
  }

  /** Aborts what the source was given, then closes it; for the end of a scenario. */
  async abandon(): Promise<void> {
    this.#abort.abort()
    await this.source.close()
    this.#parts.context[Symbol.dispose]()
  }

  /** Waits for every settlement that `decide` started. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#settling)
  }

  get lines(): readonly string[] {
    return this.#parts.log.lines
  }

  async #pump(connection: number): Promise<void> {
    try {
      for await (const delivery of this.source.deliveries(this.#abort.signal)) this.#take(delivery, connection)
      this.ending = 'ended'
    } catch (error) {
      this.ending = { error }
    }
  }

  #take(delivery: Delivery, connection: number): void {
    const tag = this.#parts.tagOf(delivery.message)
    if (tag === undefined) {
      this.#settling.push(delivery.settle({ kind: 'ack' }))
      return
    }
    const arrival = new Arrival(tag, delivery, this.clock.now(), () => {
      if (connection === this.#connection) this.#unsettled -= 1
    })
    this.#unsettled += 1
    this.unsettledHigh = Math.max(this.unsettledHigh, this.#unsettled)
    this.arrivals.push(arrival)
    const settlement = this.decide(arrival)
    if (settlement !== undefined) this.#settling.push(arrival.settle(settlement))
  }
}

/**
 * Every tag was acked and the broker confirmed it; nothing else arrived; and no more than `copiesMax` arrivals were
 * copies of an event.
 */
export function assertTally(tags: readonly string[], sources: readonly RunningSource[], copiesMax: number): void {
  const arrivals = sources.flatMap((source) => source.arrivals)
  const acked = new Set(
    arrivals
      .filter(({ settlement, result }) => settlement?.kind === 'ack' && result === 'settled')
      .map(({ tag }) => tag),
  )
  const lost = tags.filter((tag) => !acked.has(tag))
  assert.deepEqual(lost, [], `${lost.length} of ${tags.length} events were never settled: ${lost.join(', ')}`)
  const published = new Set(tags)
  const foreign = arrivals.filter(({ tag }) => !published.has(tag)).map(({ tag }) => tag)
  assert.deepEqual(foreign, [], `events arrived that nobody published: ${foreign.join(', ')}`)
  const copies = arrivals.length - tags.length
  assert.ok(copies <= copiesMax, `${copies} copies arrived and at most ${copiesMax} are allowed`)
}
