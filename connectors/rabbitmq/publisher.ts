// Publishes over one connection, each message confirmed and none unroutable, on a channel that is opened again when the broker
// has closed it. Owned by letters.ts and emit.ts.

import type { ChannelModel, ConfirmChannel, MessageProperties, Options } from 'amqplib'

import type { Clock } from '../../src/sdk/index.ts'

export interface PublisherOptions {
  readonly model: ChannelModel
  readonly clock: Clock
  /** How long the broker may take to confirm. Milliseconds. */
  readonly confirmMs: number
  /** What `publish` was told as the id, from the properties that a returned message comes back with. */
  idOf(properties: MessageProperties): unknown
}

/** No queue takes it. */
export class Unroutable extends Error {
  override readonly name = 'Unroutable'
}

export class Publisher {
  readonly #options: PublisherOptions
  /** `basic.return` comes before the confirmation. */
  readonly #returned = new Set<unknown>()
  #channel: Promise<ConfirmChannel> | undefined
  #blocked: string | undefined
  /** Why the broker closed the channel: those that were not confirmed hear only that it was closed. */
  #refusal: Error | undefined

  constructor(options: PublisherOptions) {
    this.#options = options
    const { model } = options
    model.on('blocked', (reason) => (this.#blocked = reason))
    model.on('unblocked', () => (this.#blocked = undefined))
  }

  /**
   * Resolves once the broker has it in every queue that takes it. The order of the calls is the order of the messages.
   * @throws Unroutable, Error; with the reply code of the broker where it refuses
   */
  async publish(
    exchange: string,
    key: string,
    content: Uint8Array,
    options: Options.Publish,
    id: unknown,
  ): Promise<void> {
    // What is written meanwhile would pile up in memory.
    if (this.#blocked !== undefined) throw new Error(`the broker takes no messages: ${this.#blocked}`)
    const channel = await (this.#channel ??= this.#open())
    const { clock, confirmMs } = this.#options
    const confirmed = Promise.withResolvers<void>()
    const late = clock.after(confirmMs, () => confirmed.reject(new Error(`not confirmed within ${confirmMs} ms`)))
    const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
    try {
      // Throws where there is something in it that the client cannot write.
      channel.publish(exchange, key, bytes, { ...options, mandatory: true }, (error: unknown) => {
        const wasReturned = this.#returned.delete(id)
        if (error !== null && error !== undefined) confirmed.reject(this.#refusal ?? error)
        else if (wasReturned) confirmed.reject(new Unroutable(`no queue is bound for the routing key ${key}`))
        else confirmed.resolve()
      })
      await confirmed.promise
    } finally {
      late.cancel()
    }
  }

  async #open(): Promise<ConfirmChannel> {
    try {
      const channel = await this.#options.model.createConfirmChannel()
      this.#refusal = undefined
      channel.on('error', (error: Error) => (this.#refusal = error))
      channel.on('close', () => (this.#channel = undefined))
      channel.on('return', ({ properties }) => void this.#returned.add(this.#options.idOf(properties)))
      return channel
    } catch (error) {
      this.#channel = undefined
      throw error
    }
  }
}
