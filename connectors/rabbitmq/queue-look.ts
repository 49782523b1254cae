// What waits in a queue, seen by taking it and giving it back: AMQP has no other way. Never with basic.nack, which puts what
// comes back to the end of a quorum queue; a channel that is closed puts it back where it was. Owned by peek.ts.

import type { Channel, ChannelModel, Message } from 'amqplib'

import { Repeat, errorText } from '../../src/sdk/index.ts'
import type { Clock, SourceLog } from '../../src/sdk/index.ts'
import type { QueueKind } from './feed.ts'
import { QuorumTaker } from './quorum-taker.ts'
import { countsOf } from './topology.ts'

export interface QueueLookOptions {
  readonly model: ChannelModel
  readonly queue: string
  readonly kind: QueueKind
  /**
   * `page`: what waits is given back at once, then shown, since somebody else reads the queue, or new messages are seen in
   * another way. `hold`: nobody else does, so it is kept until the look ends, and what comes is shown, too.
   */
  readonly mode: 'page' | 'hold'
  /** Of a page: at most so many, the oldest. */
  readonly limit?: number
  readonly clock: Clock
  readonly log: SourceLog
}

/** Messages that are kept from others at once. */
export const HELD_MAX = 1000
/** Of a page, in memory. */
const PAGE_BYTES = 16 * 1024 * 1024
/** How soon a consumer that comes gets what is held. */
const LOOK_MS = 500
/** Below the time after which brokers close the channel of whoever keeps a message, 30 minutes by default and once 15. */
const HOLD_MS = 600_000

export class QueueLook {
  readonly #options: QueueLookOptions
  readonly #watch: Repeat
  #channel: Channel | undefined
  /** Of a quorum queue, beside the channel. */
  #taker: QuorumTaker | undefined
  #page: Message[] | undefined
  #held = 0
  #heldSinceMs: number | undefined
  #isGivenBack = false
  /** The queue lets itself be looked at. */
  #isAnswered = false

  constructor(options: QueueLookOptions) {
    this.#options = options
    this.#watch = new Repeat(options.clock, LOOK_MS, () => this.#check())
  }

  get queue(): string {
    return this.#options.queue
  }

  /** The next one that was not seen; undefined when there is none now. @throws what the broker answers */
  async take(): Promise<Message | undefined> {
    if (this.#options.mode === 'page') {
      this.#page ??= await this.#takePage()
      return this.#page.shift()
    }
    return await this.#hold()
  }

  /** What is held goes back to its place. Idempotent, never rejects. */
  async close(): Promise<void> {
    this.#watch.stop()
    this.#isGivenBack = true
    const channel = this.#channel
    this.#channel = undefined
    await channel?.close().catch(() => undefined)
  }

  async #takePage(): Promise<Message[]> {
    const { model, queue, limit } = this.#options
    const messages = limit ?? (await countsOf(model, queue)).messages
    const page: Message[] = []
    if (messages === 0) return page
    const channel = await this.#open()
    try {
      for (let bytes = 0; page.length < Math.min(messages, HELD_MAX) && bytes < PAGE_BYTES;) {
        const message = await this.#next(channel)
        if (message === false) break
        page.push(message)
        bytes += message.content.length
      }
    } finally {
      await this.close()
    }
    if (page.length < messages) this.#say(`the first ${page.length} of ${messages} messages are shown`)
    return page
  }

  async #hold(): Promise<Message | undefined> {
    if (this.#isGivenBack) return undefined
    if (this.#held === HELD_MAX) {
      this.#held += 1
      this.#say(`${HELD_MAX} messages are held, the most that a look keeps from others; those behind them are not shown`) // prettier-ignore
    }
    if (this.#held > HELD_MAX) return undefined
    if (this.#channel === undefined) this.#watch.now()
    const channel = (this.#channel ??= await this.#open())
    try {
      const message = await this.#next(channel)
      this.#isAnswered = true
      if (message === false) return undefined
      this.#held += 1
      this.#heldSinceMs ??= this.#options.clock.monotonic()
      return message
    } catch (error) {
      // Given back meanwhile: by us, or by the broker.
      if (this.#isGivenBack) return undefined
      throw error
    }
  }

  #next(channel: Channel): Promise<Message | false> {
    const { queue, kind, clock } = this.#options
    if (kind !== 'quorum') return channel.get(queue)
    this.#taker ??= new QuorumTaker({ channel, queue, messagesMax: HELD_MAX, clock })
    return this.#taker.next()
  }

  /** Never rejects: what cannot be asked now is asked again. */
  async #check(): Promise<void> {
    const { model, queue, clock } = this.#options
    const { consumers } = await countsOf(model, queue).catch(() => ({ consumers: 0 }))
    if (this.#isGivenBack) return
    const isLate = this.#heldSinceMs !== undefined && clock.monotonic() - this.#heldSinceMs >= HOLD_MS
    if (consumers <= (this.#taker?.consumers ?? 0) && !isLate) return
    await this.close()
    this.#say(isLate ? 'what was held for ten minutes is given back; nothing more of it is shown' : 'a consumer has come: what was held is given back, and what it takes is not shown') // prettier-ignore
  }

  async #open(): Promise<Channel> {
    const channel = await this.#options.model.createChannel()
    let refusal: Error | undefined
    // What was asked rejects with it.
    channel.on('error', (error: Error) => (refusal = error))
    channel.on('close', () => {
      // What the first question rejects with is for whoever asked.
      if (this.#isGivenBack || !this.#isAnswered || refusal === undefined) return
      this.#isGivenBack = true
      this.#watch.stop()
      this.#say(`the broker closed the channel and has taken back what was held: ${errorText(refusal)}`)
    })
    return (this.#channel = channel)
  }

  #say(text: string): void {
    const { log, queue } = this.#options
    log.warn('rabbitmq.look', `queue ${queue}: ${text}`, { topic: queue })
  }
}
