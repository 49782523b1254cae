// Whose record is handed out next, how many may be out, and what a settlement does. One for each session.

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Delivery, Settlement, SettleResult, SourceContext } from '../../src/sdk/index.ts'
import type { KafkaConfig } from './dial.ts'
import { toEvent } from './event.ts'
import type { Letters } from './letters.ts'
import type { Fetched, Handed, Partition } from './partition.ts'

export interface OutboxOptions {
  readonly config: KafkaConfig
  readonly context: SourceContext
  readonly letters: Letters
  /** Those that are ours. */
  readonly partitions: () => readonly Partition[]
  /** Something of it is to be committed. */
  readonly changed: (partition: Partition) => void
  /** Records were handed out, so there is room for others. */
  readonly taken: () => void
}

export class Outbox {
  readonly buffer: DeliveryBuffer<Delivery>
  readonly #options: OutboxOptions
  /** Handed out and not settled. */
  #out = 0
  /** Whose turn it is. */
  #turn = 0

  constructor(options: OutboxOptions) {
    this.#options = options
    this.buffer = new DeliveryBuffer(options.context.unsettledMax)
  }

  /** As many records as there is room for, one of each partition in turn. */
  handOut(): void {
    const { context, taken } = this.#options
    const partitions = this.#options.partitions()
    for (let empty = 0; empty < partitions.length && this.#out < context.unsettledMax;) {
      const partition = partitions[this.#turn % partitions.length] as Partition
      this.#turn += 1
      const next = partition.handOut()
      if (next === undefined) empty += 1
      else {
        empty = 0
        this.#out += 1
        this.buffer.push(this.#delivery(partition, next.record, next.handed))
      }
    }
    taken()
  }

  #delivery(partition: Partition, record: Fetched, handed: Handed): Delivery {
    const { config, context, changed } = this.#options
    const withdrawn = new AbortController()
    let holdsRoom = true
    const release = (): void => {
      if (holdsRoom) this.#out -= 1
      holdsRoom = false
    }
    handed.withdraw = () => {
      release()
      withdrawn.abort()
    }
    let settled: Promise<SettleResult> | undefined
    return {
      message: toEvent(record, { instance: context.instance, topic: partition.topic, partition: partition.index, order: config.order }, handed.tries), // prettier-ignore
      signal: withdrawn.signal,
      tried: (attempts) => {
        handed.tries = attempts
        changed(partition)
      },
      settle: (settlement) => (settled ??= this.#settle(partition, record, handed, settlement, withdrawn.signal).finally(() => {
        release()
        this.handOut()
      })),
    } // prettier-ignore
  }

  async #settle(
    partition: Partition,
    record: Fetched,
    handed: Handed,
    settlement: Settlement,
    withdrawn: AbortSignal,
  ): Promise<SettleResult> {
    try {
      if (settlement.kind === 'reject') await this.#options.letters.put(settlement.letters, record, partition.index, withdrawn) // prettier-ignore
      const confirmed = partition.settle(handed)
      this.#options.changed(partition)
      return await confirmed
    } catch (error) {
      if (withdrawn.aborted) return 'stale'
      throw error
    }
  }
}
