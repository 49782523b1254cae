// A source that is made anew for each turn, because one that was closed does not connect again. For connectors that know
// nothing of turns; made by the composition root.

import type { Delivery, ProbeReport, Source, Subscription, TopicBacklog } from '../sdk/index.ts'

export class TurnSource implements Source {
  readonly #make: () => Source
  #source: Source
  /** Only where the connector knows how far it is behind. */
  readonly backlog?: () => readonly TopicBacklog[]

  constructor(first: Source, make: () => Source) {
    this.#make = make
    this.#source = first
    if (first.backlog !== undefined) this.backlog = () => this.#source.backlog?.() ?? []
  }

  connect(signal: AbortSignal): Promise<void> {
    return this.#source.connect(signal)
  }

  subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    return this.#source.subscribe(wanted, signal)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    return this.#source.deliveries(signal)
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return this.#source.probe(topics, signal)
  }

  async stepDown(): Promise<void> {
    const source = this.#source
    this.#source = this.#make()
    await source.close()
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}
