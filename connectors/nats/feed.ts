// Pulls from one consumer, batch by batch, never while there is no room: what waits in the client's own memory gives no signs
// of life and would be delivered to somebody else meanwhile. Owned by jetstream-source.ts.

import type { Consumer, ConsumerMessages, JsMsg } from '@nats-io/jetstream'

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
  /** The most that the server gives at once, and how long it may keep a pull open. */
  readonly batchMax: number
  readonly expiresMs: number
  readonly context: Pick<SourceContext, 'clock' | 'log'>
  /** Gathers what has to be handed out before anything else; rejects when that fails for now, or is stopped. */
  first(gathering: Gathering): Promise<void>
  /** Resolves when what the server has sent has been read. */
  flush(): Promise<void>
  /** Undefined while the consumer is there. */
  missing(): Promise<HubError | undefined>
  /** The consumer is gone, or cannot be asked for. */
  lost(error: HubError): void
}

export interface Gathering {
  /** Resolves when so many were pulled, or there are no more for now. */
  pull(count: number): Promise<void>
  /** How many it has, up to this place in the stream. */
  upTo(sequenceMax: number): number
  readonly signal: AbortSignal
}

/** The least that there is. */
const GATHER_EXPIRES_MS = 1000
const PAUSE_MS = 1000
/** In a row, before somebody is told: a change of the leader passes sooner. */
const FAILURES_WARNED = 5

export class Feed {
  readonly #options: FeedOptions
  readonly #stop = new AbortController()
  #messages: ConsumerMessages | undefined
  /** Since a pull ended as it should. */
  #failures = 0

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
    const { held } = this.#options
    while (!this.#isOver) {
      if (!(await this.#attempt(() => this.#gather()))) continue
      held.inOrder(this)
      // What a pull that failed has left on its way is out with nobody.
      while (await this.#attempt(() => this.#next())) continue
    }
    // Between two connections and at the end it is not ours to decide.
    if (!held.over) held.refuse(this)
  }

  #gather(): Promise<void> {
    const { held } = this.#options
    return this.#options.first({
      pull: (count) => this.#pull(count, GATHER_EXPIRES_MS, (message) => held.gather(message, this)),
      upTo: (sequenceMax) => held.gathered(this, sequenceMax),
      signal: this.#stop.signal,
    })
  }

  async #next(): Promise<void> {
    const { held, batch, expiresMs } = this.#options
    await held.room()
    if (!this.#isOver) await this.#pull(batch, expiresMs, (message) => held.take(message))
  }

  async #pull(count: number, expires: number, take: (message: JsMsg) => void): Promise<void> {
    const { consumer, batchMax } = this.#options
    this.#messages = await consumer.fetch({ max_messages: Math.min(count, batchMax), expires })
    if (this.#stop.signal.aborted) this.#messages.stop()
    for await (const message of this.#messages) take(message)
    this.#failures = 0
  }

  /** False when it failed, after a while, or when it is over. */
  async #attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
    } catch (error) {
      if (this.#isOver) return false
      this.#report(error)
      await this.#recover()
      return false
    }
    return !this.#isOver
  }

  #report(error: unknown): void {
    const { name, context } = this.#options
    this.#failures += 1
    if (this.#failures === FAILURES_WARNED)
      context.log.warn('nats.pull-failed', `${name}: nothing can be pulled: ${errorText(error)}; it is tried again every second`) // prettier-ignore
    else context.log.debug('nats.pull-failed', `${name}: ${errorText(error)}`)
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
