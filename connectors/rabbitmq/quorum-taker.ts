// Messages of a quorum queue in their order, none of them settled, and back in their order when the channel is closed. Only
// the first is got: RabbitMQ 3 makes a consumer of every message that is got, and gives them back in the order of the names
// of these. Used by queue-look.ts, which owns the channel.

import type { Channel, Message } from 'amqplib'

import { sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { getOne } from './get.ts'

export interface QuorumTakerOptions {
  readonly channel: Channel
  readonly queue: string
  readonly messagesMax: number
  readonly clock: Clock
}

/** Messages of one consumer, which are in memory at once before they are looked at. */
const CREDIT = 100
/** Without a message for so long there is none. */
const IDLE_MS = 500

export class QuorumTaker {
  readonly #options: QuorumTakerOptions
  readonly #arrived: Message[] = []
  #isBegun = false
  /** What the newest consumer may still get. */
  #credit = 0
  #wake: (() => void) | undefined
  /** As the broker counts them, for whoever wants to know whether there are others. */
  consumers = 0

  constructor(options: QuorumTakerOptions) {
    this.#options = options
  }

  /** False when there is none now. @throws what the broker answers */
  async next(): Promise<Message | false> {
    if (!this.#isBegun) return await this.#first()
    if (this.#arrived.length === 0) {
      if (this.#credit === 0 && !(await this.#addConsumer())) return false
      await this.#arrival()
    }
    return this.#arrived.shift() ?? false
  }

  /** A queue that does not let itself be looked at refuses this, and not a consumer. */
  async #first(): Promise<Message | false> {
    const { channel, queue } = this.#options
    // Before it is: who asks meanwhile must not take it for somebody else.
    this.consumers = 1
    const message = await getOne(channel, queue)
    this.#isBegun = message !== undefined
    if (message === undefined) this.consumers = 0
    return message ?? false
  }

  /** When the others are full: those that come back are sorted by consumer, and then by their place. */
  async #addConsumer(): Promise<boolean> {
    const { channel, queue, messagesMax } = this.#options
    const left = messagesMax - 1 - (this.consumers - 1) * CREDIT
    if (left <= 0) return false
    this.consumers += 1
    this.#credit = Math.min(CREDIT, left)
    await channel.prefetch(this.#credit)
    const consumerTag = `connector-hub-look-${String(this.consumers).padStart(4, '0')}`
    await channel.consume(queue, (message) => this.#arrive(message), { consumerTag })
    return true
  }

  #arrive(message: Message | null): void {
    if (message === null) return
    this.#credit -= 1
    this.#arrived.push(message)
    this.#wake?.()
  }

  async #arrival(): Promise<void> {
    if (this.#arrived.length > 0) return
    const idle = new AbortController()
    this.#wake = () => idle.abort()
    await sleep(this.#options.clock, IDLE_MS, idle.signal).catch(() => undefined)
    this.#wake = undefined
  }
}
