// How many messages wait in each queue that is read, asked of the broker now and then and kept for the metrics. Owned by
// rabbit-source.ts.

import type { Channel, ChannelModel } from 'amqplib'

import { Repeat, errorText } from '../../src/sdk/index.ts'
import type { SourceContext, TopicBacklog } from '../../src/sdk/index.ts'
import type { Feed } from './feed.ts'

/** The queues that were read, and whether by nobody else; `shared` where that is not known. */
export type Readers = Map<string, 'alone' | 'shared'>

const EVERY_MS = 5000

export interface DepthsOptions {
  readonly model: ChannelModel
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  /** By queue. */
  readonly feeds: ReadonlyMap<string, Feed>
  /** Kept up to date. */
  readonly readers: Readers
}

export class Depths {
  readonly #options: DepthsOptions
  #ready = new Map<string, number>()
  #channel: Channel | undefined
  readonly #repeat: Repeat

  constructor(options: DepthsOptions) {
    this.#options = options
    this.#repeat = new Repeat(options.context.clock, EVERY_MS, () => this.#refresh())
    this.#repeat.now()
  }

  /** As of the last answer. A stream is left out: it says neither how long it is nor how far we are. */
  read(): readonly TopicBacklog[] {
    return [...this.#options.feeds].flatMap(([queue, feed]) => {
      const ready = this.#ready.get(queue)
      if (ready === undefined) return []
      const { waiting, unsettled, oldestMs: oldestUnsettledMs } = feed
      return [{ topic: queue, waiting: ready + waiting, unsettled: unsettled - waiting, oldestWaitingMs: undefined, oldestUnsettledMs }] // prettier-ignore
    })
  }

  stop(): void {
    this.#repeat.stop()
  }

  /** Never rejects: what cannot be asked is not told. */
  async #refresh(): Promise<void> {
    const ready = new Map<string, number>()
    const { feeds, readers } = this.#options
    for (const [queue, feed] of feeds) {
      if (feed.kind === 'stream') continue
      try {
        const channel = (this.#channel ??= await this.#open())
        const { messageCount, consumerCount } = await channel.checkQueue(queue)
        ready.set(queue, messageCount)
        // Not what a queue says that has no leader yet.
        if (consumerCount === feed.consumers && feed.isReading) readers.set(queue, 'alone')
        else if (consumerCount > feed.consumers) readers.set(queue, 'shared')
      } catch (error) {
        if (this.#repeat.isStopped) return
        this.#options.context.log.debug('rabbitmq.no-depth', `queue ${queue}: ${errorText(error)}`)
      }
    }
    this.#ready = ready
  }

  async #open(): Promise<Channel> {
    const channel = await this.#options.model.createChannel()
    // What was asked rejects with it.
    channel.on('error', () => undefined)
    channel.on('close', () => (this.#channel = undefined))
    return channel
  }
}
