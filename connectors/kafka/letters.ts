// Dead letters as records of a topic, durable on all in-sync replicas before the event is settled. Owned by kafka-source.ts.

import { Producer } from '@platformatic/kafka'

import { HubError, backoffMs, letterHeaders, sleep } from '../../src/sdk/index.ts'
import type { Clock, DeadLetter, SourceLog } from '../../src/sdk/index.ts'
import { connectionOptions } from './dial.ts'
import type { KafkaConfig } from './dial.ts'
import type { Fetched } from './partition.ts'
import { createHint, errorIds, kafkaProblem } from './problems.ts'

const AGAIN = { minWaitMs: 200, maxWaitMs: 15_000, jitter: 'equal' } as const
const ALL_REPLICAS = -1
const NO_BYTES = Buffer.alloc(0)

export class Letters {
  readonly #config: KafkaConfig
  readonly #clientId: string
  readonly #clock: Clock
  readonly #log: SourceLog
  #producer: Producer | undefined

  constructor(config: KafkaConfig, clientId: string, clock: Clock, log: SourceLog) {
    this.#config = config
    this.#clientId = clientId
    this.#clock = clock
    this.#log = log
  }

  /**
   * Resolves once all of them are durable, however often it takes.
   * @throws the signal's reason when the event is not ours any more
   */
  async put(letters: readonly DeadLetter[], record: Fetched, partition: number, signal: AbortSignal): Promise<void> {
    if (letters.length === 0) return
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#send(letters, record, partition)
        return
      } catch (error) {
        signal.throwIfAborted()
        const topic = this.#topicOf(letters[0] as DeadLetter)
        const { message, hint } = putProblem(error, topic)
        const waitMs = backoffMs(attempt, AGAIN)
        this.#log.error('kafka.dead-letter-failed', `${message}. The event stays unsettled and this is tried again. ${hint}`, { topic }) // prettier-ignore
        await sleep(this.#clock, waitMs, signal)
      }
    }
  }

  async close(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await producer?.close(true).catch(() => undefined)
  }

  async #send(letters: readonly DeadLetter[], record: Fetched, partition: number): Promise<void> {
    this.#producer ??= new Producer({
      ...connectionOptions(this.#config),
      clientId: this.#clientId,
      bootstrapBrokers: [...this.#config.brokers],
      // Where the brokers allow it (auto.create.topics.enable, on by default).
      autocreateTopics: true,
      retries: 3,
      retryDelay: 200,
    })
    const { key, value, headers } = record
    await this.#producer.send({
      acks: ALL_REPLICAS,
      messages: letters.map((letter) => ({
        topic: this.#topicOf(letter),
        ...(key === null ? {} : { key }),
        value: value ?? NO_BYTES,
        headers: new Map([...headers.map(([name, text]) => [name ?? NO_BYTES, text ?? NO_BYTES] as const), ...ownHeaders(letter, partition, record)]), // prettier-ignore
      })),
    })
  } // prettier-ignore

  #topicOf({ message }: DeadLetter): string {
    return letterTopicOf(this.#config, message.topic)
  }
}

/** Where the dead letters of a topic go. */
export function letterTopicOf({ deadLetterTopic }: Pick<KafkaConfig, 'deadLetterTopic'>, topic: string): string {
  return deadLetterTopic.replaceAll('{topic}', topic)
}

function ownHeaders(
  letter: DeadLetter,
  partition: number,
  { offset, timestampMs }: Fetched,
): readonly (readonly [Buffer, Buffer])[] {
  // prettier-ignore
  const origin = { 'hub-topic': letter.message.topic, 'hub-partition': partition, 'hub-offset': offset, 'hub-timestamp': timestampMs } // prettier-ignore
  return Object.entries({ ...letterHeaders(letter), ...origin }).map(([name, value]) => [Buffer.from(name), Buffer.from(String(value))]) // prettier-ignore
}

function putProblem(error: unknown, topic: string): HubError {
  const { message, hint } = kafkaProblem(error, `dead letters to ${topic}`)
  // The library says so by itself when the brokers do not list it.
  const isMissing = errorIds(error).includes('UNKNOWN_TOPIC_OR_PARTITION') || message.includes('Unknown topic')
  return new HubError('HUB_DEAD_LETTER_FAILED', message, {
    cause: error,
    canRetry: true,
    hint: isMissing ? createHint(topic) : hint,
  })
}
