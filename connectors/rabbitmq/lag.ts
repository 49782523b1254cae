// How many messages wait in the queues of this instance, asked over a connection of its own, for autoscaling. AMQP tells
// what is ready, and not what consumers have. Called by tools.ts.

import { HubError, orAborted } from '../../src/sdk/index.ts'
import type { LagProbe, Subscription, ToolContext, TopicLag } from '../../src/sdk/index.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import type { QueueKind } from './feed.ts'
import { NOT_FOUND, queueProblem, replyCode } from './problems.ts'
import { ownQueue } from './subscriptions.ts'
import { countsOf, kindOf } from './topology.ts'

export class RabbitLag implements LagProbe {
  readonly #config: RabbitConfig
  readonly #instance: string
  readonly #link: Link
  readonly #at: string
  readonly #kinds = new Map<string, QueueKind>()
  #isOver = false

  private constructor(config: RabbitConfig, instance: string, link: Link) {
    this.#config = config
    this.#instance = instance
    this.#link = link
    this.#at = addressOf(config)
    void link.ended.then(() => (this.#isOver = true))
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(
    config: RabbitConfig,
    { instance, clock }: Pick<ToolContext, 'instance' | 'clock'>,
    signal: AbortSignal,
  ): Promise<RabbitLag> {
    return new RabbitLag(config, instance, await dial(config, `connector-hub ${instance} lag`, clock, signal))
  }

  async read(wanted: readonly Subscription[], signal: AbortSignal): Promise<readonly TopicLag[]> {
    const topics = [...new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))]
    // With an exchange everything comes through one queue.
    const queues = this.#config.exchange === undefined || topics.length === 0 ? topics : [ownQueue(this.#config, this.#instance)] // prettier-ignore
    const lags: TopicLag[] = []
    for (const queue of queues) lags.push(await orAborted(this.#look(queue), signal))
    return lags
  }

  async #look(queue: string): Promise<TopicLag> {
    const { model } = this.#link
    try {
      const kind = this.#kinds.get(queue) ?? (await kindOf(model, queue))
      this.#kinds.set(queue, kind)
      if (kind === 'stream') return { topic: queue, kind: 'unknown', problem: this.#streamProblem(queue) }
      return { topic: queue, kind: 'known', waiting: (await countsOf(model, queue)).messages, unsettled: undefined }
    } catch (error) {
      // It may be another kind of queue when it is there again.
      this.#kinds.delete(queue)
      const problem = queueProblem(error, this.#at, queue)
      if (this.#isOver || problem.code === 'HUB_SOURCE_LOST') throw problem
      if (replyCode(error) === NOT_FOUND && this.#isMade(queue)) return { topic: queue, kind: 'unread' }
      return { topic: queue, kind: 'unknown', problem }
    }
  }

  /** By a hub, when it starts. */
  #isMade(queue: string): boolean {
    return this.#config.declare || this.#config.queues.some(({ name }) => name === queue)
  }

  #streamProblem(queue: string): HubError {
    return new HubError('HUB_TOPIC_INVALID', `${this.#at}: ${queue} is a stream, of which the broker does not tell how far it was read`, {
      hint: 'Give the function a connector instance of its own for the stream, and scale that by something else.',
    }) // prettier-ignore
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.close()
  }
}
