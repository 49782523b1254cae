// Pulls from one consumer, batch by batch, never while there is no room: what waits in the client's own memory gives no signs
// of life and would be delivered to somebody else meanwhile. Owned by jetstream-source.ts.

import type { Consumer, ConsumerMessages } from '@nats-io/jetstream'

import { errorText, sleep } from '../../src/sdk/index.ts'
import type { HubError, SourceContext } from '../../src/sdk/index.ts'
import type { Held } from './held.ts'

export interface FeedOptions {
  readonly consumer: Consumer
  /** For messages: `<stream>/<consumer>`. */
  readonly name: string
  readonly held: Held
  /** Pulled at once. */
  readonly batch: number
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  /** Resolves when the first may be pulled. */
  ready(signal: AbortSignal): Promise<void>
  /** Resolves when what the server has sent has been read. */
  flush(): Promise<void>
  /** Undefined while the consumer is there. */
  missing(): Promise<HubError | undefined>
  /** The consumer is gone, or cannot be asked for. */
  lost(error: HubError): void
}

const EXPIRES_MS = 30_000
const PAUSE_MS = 1000

export class Feed {
  readonly #options: FeedOptions
  readonly #stop = new AbortController()
  #messages: ConsumerMessages | undefined

  constructor(options: FeedOptions) {
    this.#options = options
    void this.#run()
  }

  /** Nothing more is pulled. What the server has sent already is still taken: else it would come again after `ackWait`. Idempotent. */
  stop(): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    const end = (): void => this.#messages?.stop()
    this.#options.flush().then(end, end)
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { consumer, held, batch, name, context } = this.#options
    await this.#options.ready(this.#stop.signal).catch(() => undefined)
    while (!this.#isOver) {
      await held.room()
      if (this.#isOver) return
      try {
        this.#messages = await consumer.fetch({ max_messages: batch, expires: EXPIRES_MS })
        if (this.#stop.signal.aborted) this.#messages.stop()
        for await (const message of this.#messages) held.take(message)
      } catch (error) {
        if (this.#isOver) return
        context.log.debug('nats.pull-failed', `${name}: ${errorText(error)}`)
        await this.#recover()
      }
    }
  }

  /** A new leader, a full queue of requests, a heartbeat that was missed: all of that passes, but for a consumer that is gone. */
  async #recover(): Promise<void> {
    const problem = await this.#options.missing()
    if (this.#isOver) return
    if (problem === undefined)
      await sleep(this.#options.context.clock, PAUSE_MS, this.#stop.signal).catch(() => undefined) // prettier-ignore
    else {
      this.stop()
      this.#options.lost(problem)
    }
  }

  get #isOver(): boolean {
    return this.#stop.signal.aborted || this.#options.held.over
  }
}
