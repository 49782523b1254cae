// With an exchange, the topics as binding keys: which of them the exchange takes, and which topic a message has. Pure; called
// by whoever reads for functions.

import type { Message } from 'amqplib'

import { HubError, TopicIndex, hasWildcard } from '../../src/sdk/index.ts'
import type { RabbitConfig } from './dial.ts'
import { earlierRoutingKeys } from './event.ts'

export class BindingKeys {
  /** Those that can be bound. */
  readonly keys: readonly string[]
  /** What is wrong with the others. */
  readonly problems: readonly HubError[]
  readonly #index = new TopicIndex<true>('amqp')

  constructor({ exchangeType }: Pick<RabbitConfig, 'exchangeType'>, topics: readonly string[]) {
    const isExact = (key: string): boolean => exchangeType === 'topic' || !hasWildcard('amqp', key)
    this.keys = topics.filter(isExact)
    for (const key of this.keys) this.#index.add(key, true)
    this.problems = topics
      .filter((key) => !isExact(key))
      .map((key) => new HubError('HUB_TOPIC_INVALID', `${key}: a direct exchange has no wildcards`, { hint: 'Use an exchange of type topic, or exact keys.' })) // prettier-ignore
  }

  /** The routing key; an earlier one of a message that came back through a dead letter exchange by another. */
  readonly topicOf = (message: Message): string => {
    const { routingKey } = message.fields
    if (this.#isWanted(routingKey)) return routingKey
    return earlierRoutingKeys(message).find((key) => this.#isWanted(key)) ?? routingKey
  }

  #isWanted(key: string): boolean {
    return this.#index.find(key).length > 0
  }
}
