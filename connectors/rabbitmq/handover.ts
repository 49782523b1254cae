// Before a quorum queue is read in its order: what its last reader had must be back. A queue whose server was killed lets a
// new consumer in before it has noticed that the old one is gone, and gives it what comes later first (seen with 3.10.8: the
// 64 messages after the 64 that were held). Used by subscriptions.ts, which opens a channel with it, and feed.ts.

import type { Channel, ChannelModel, GetMessage } from 'amqplib'

import { sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { getOne } from './get.ts'
import { isSingleActive } from './problems.ts'

export interface HandoverOptions {
  readonly model: ChannelModel
  readonly queue: string
  readonly clock: Clock
  /** For others that have messages of the queue. Who shares it keeps no order, and does not wait long. Milliseconds. */
  readonly waitMs: number
  /** We had a consumer on it, which the broker may still have. */
  readonly isReopened: boolean
}

/** Between two questions whether the others are gone. */
const ASK_MS = 20

export class Handover {
  readonly #options: HandoverOptions
  #channel: Channel
  #first: GetMessage | undefined
  /** What somebody held may have come back after the first message was got, and would go before it. */
  #isOvertaken: boolean

  private constructor(options: HandoverOptions, channel: Channel, first: GetMessage | undefined) {
    this.#options = options
    this.#channel = channel
    this.#first = first
    this.#isOvertaken = options.isReopened
  }

  /**
   * Gets the first message: unlike any count, the answer to that proves that the queue has a leader which knows all its
   * consumers, the dead ones too.
   * @returns undefined for a queue with a single active consumer, whose broker keeps the order by itself
   * @throws what the broker answers
   */
  static async begin(options: HandoverOptions): Promise<Handover | undefined> {
    const channel = await openChannel(options.model)
    try {
      return new Handover(options, channel, await getOne(channel, options.queue))
    } catch (error) {
      if (isSingleActive(error)) return undefined
      throw error
    }
  }

  /** To be handed out before all that a consumer gets, and settled on `channel`; undefined when there was none. */
  get first(): GetMessage | undefined {
    return this.#first
  }

  /** Where the queue is to be read, once it is done. */
  get channel(): Channel {
    return this.#channel
  }

  /** False while another consumer may have messages of the queue. Once true, ask no more. @throws what the broker answers */
  async isDone(): Promise<boolean> {
    const { queue } = this.#options
    const { consumerCount } = await this.#channel.checkQueue(queue)
    // Who gets a message counts as a consumer for as long as it is not settled.
    if (consumerCount > (this.#first === undefined ? 0 : 1)) {
      this.#isOvertaken = true
      return false
    }
    // A message that came back says that all which did are behind it.
    if (this.#first?.fields.redelivered === false && this.#isOvertaken) {
      await this.#giveBack()
      return false
    }
    this.#first ??= await getOne(this.#channel, queue)
    return true
  }

  /** Resolves once it is done, or will not wait any longer. @throws what the broker answers, also when the channel ends */
  async done(): Promise<void> {
    const { clock, waitMs } = this.#options
    const until = clock.monotonic() + waitMs
    while (!(await this.isDone()) && clock.monotonic() < until) await sleep(clock, ASK_MS)
  }

  /** What was got goes back. Never rejects. */
  async close(): Promise<void> {
    await this.#channel.close().catch(() => undefined)
  }

  /** With its channel: what is only rejected goes to the end of the queue. */
  async #giveBack(): Promise<void> {
    await this.#channel.close()
    this.#first = undefined
    this.#channel = await openChannel(this.#options.model)
  }
}

async function openChannel(model: ChannelModel): Promise<Channel> {
  const channel = await model.createChannel()
  // What was asked rejects with it.
  channel.on('error', () => undefined)
  return channel
}
