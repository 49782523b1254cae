// Messages that come to a consumer which takes nothing from anybody: of a stream, or of a queue that is ours alone. Owned by
// peek.ts.

import type { Channel, ChannelModel, Message, Options } from 'amqplib'

import { errorText } from '../../src/sdk/index.ts'
import type { SourceLog } from '../../src/sdk/index.ts'

export interface TapOptions {
  readonly model: ChannelModel
  readonly queue: string
  readonly log: SourceLog
  readonly consume?: Options.Consume
  /** Messages that are not to be shown; asked when their turn comes. */
  isKnown?(message: Message): boolean
}

/** Ahead of the reader. */
const AHEAD = 100

export class Tap {
  readonly #options: TapOptions
  readonly #channel: Channel
  #waiting: Message[] = []
  #isClosed = false

  private constructor(options: TapOptions, channel: Channel) {
    this.#options = options
    this.#channel = channel
  }

  /** @throws what the broker answers */
  static async open(options: TapOptions): Promise<Tap> {
    const { model, queue, log, consume = {} } = options
    const channel = await model.createChannel()
    const tap = new Tap(options, channel)
    let refusal: Error | undefined
    channel.on('error', (error: Error) => (refusal = error))
    channel.on('close', () => {
      if (!tap.#isClosed && refusal !== undefined) log.warn('rabbitmq.look', `${queue} is not shown any more: ${errorText(refusal)}`) // prettier-ignore
    })
    await channel.prefetch(AHEAD)
    await channel.consume(queue, (message) => tap.#arrived(message), consume)
    return tap
  }

  /** The next one; undefined when there is none now. */
  take(): Message | undefined {
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      if (!this.#isClosed) this.#ack(message)
      if (this.#options.isKnown?.(message) !== true) return message
    }
    return undefined
  }

  /** Idempotent, never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#channel.close().catch(() => undefined)
  }

  #arrived(message: Message | null): void {
    if (message !== null) this.#waiting.push(message)
    else this.#options.log.warn('rabbitmq.look', `${this.#options.queue} was deleted: nothing more of it is shown`)
  }

  /** So that the broker sends another one. */
  #ack(message: Message): void {
    try {
      this.#channel.ack(message)
    } catch {
      // The channel is gone: nothing more comes.
    }
  }
}
