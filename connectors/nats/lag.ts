// How many messages wait for the durable consumers of this instance, asked of the server for autoscaling. Makes no stream and
// no consumer. Called by tools.ts; what a hub itself shows is in backlog.ts.

import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { asHubError, errorText, orAborted } from '../../src/sdk/index.ts'
import type { LagProbe, Subscription, ToolContext, TopicLag } from '../../src/sdk/index.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { openManager } from './manager.ts'
import { durableOf } from './manifest.ts'
import { addressesOf, forbiddenProblem, lostProblem } from './problems.ts'
import { Streams, isMissing } from './streams.ts'
import { consumerName, wantedSubjects } from './subjects.ts'

export class StreamsLag implements LagProbe {
  readonly #config: NatsConfig
  readonly #nats: NatsConnection
  readonly #manager: JetStreamManager
  readonly #streams: Streams
  readonly #durable: string

  private constructor(config: NatsConfig, context: ToolContext, nats: NatsConnection, manager: JetStreamManager) {
    this.#config = config
    this.#nats = nats
    this.#manager = manager
    this.#durable = durableOf(config, context.instance)
    this.#streams = new Streams(config, context, this.#durable)
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(config: NatsConfig, context: ToolContext, signal: AbortSignal): Promise<StreamsLag> {
    const nats = await dial(config, `${durableOf(config, context.instance)}-lag`, signal)
    try {
      return new StreamsLag(config, context, nats, await orAborted(openManager(nats, config), signal))
    } catch (error) {
      await nats.close()
      signal.throwIfAborted()
      throw error
    }
  }

  async read(wanted: readonly Subscription[], signal: AbortSignal): Promise<readonly TopicLag[]> {
    const lags: TopicLag[] = []
    for (const subject of wantedSubjects(wanted, this.#config.topics))
      lags.push(await orAborted(this.#look(subject), signal))
    return lags
  }

  async #look(topic: string): Promise<TopicLag> {
    try {
      const streams = await this.#streams.of(this.#manager, topic)
      if (streams.length === 0) {
        const problem = await this.#streams.problem(this.#manager, topic)
        return problem === undefined ? { topic, kind: 'unread' } : { topic, kind: 'unknown', problem }
      }
      const consumer = consumerName(this.#durable, topic)
      const infos = await Promise.all(streams.map((stream) => this.#manager.consumers.info(stream, consumer)))
      const waiting = infos.reduce((sum, info) => sum + info.num_pending, 0)
      const unsettled = infos.reduce((sum, info) => sum + info.num_ack_pending, 0)
      return { topic, kind: 'known', waiting, unsettled }
    } catch (error) {
      if (isMissing(error)) return { topic, kind: 'unread' }
      const addresses = addressesOf(this.#config.servers)
      if (this.#nats.isClosed()) throw lostProblem(addresses, errorText(error), error)
      return { topic, kind: 'unknown', problem: forbiddenProblem(error, addresses) ?? asHubError(error, 'HUB_SOURCE_LOST', true) } // prettier-ignore
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nats.close()
  }
}
