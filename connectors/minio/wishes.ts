// What is wanted of each bucket: events, prefix and suffix, from topics and configuration. Pure; used by both sources.

import { HubError, TopicIndex } from '../../src/sdk/index.ts'
import type { S3Record, Subscription } from '../../src/sdk/index.ts'
import type { MinioConfig } from './client.ts'
import { topicOf } from './event.ts'
import { minioTopicProblem, partsOf } from './check.ts'
import { askedFor } from './event-names.ts'

/** What MinIO is asked for about one bucket. */
export interface Wish {
  readonly bucket: string
  /** As MinIO writes them, sorted, each once. */
  readonly events: readonly string[]
  readonly prefix: string
  readonly suffix: string
}

export class Wishes {
  readonly byBucket: ReadonlyMap<string, Wish>
  /** Of topics that MinIO does not have; the others work. */
  readonly refused: readonly HubError[]
  readonly #index = new TopicIndex<true>('s3')

  constructor(topics: readonly string[], config: Pick<MinioConfig, 'prefix' | 'suffix' | 'filters'>) {
    const events = new Map<string, Set<string>>()
    const refused: HubError[] = []
    for (const topic of new Set(topics)) {
      const [bucket, event] = partsOf(topic)
      const problem = minioTopicProblem(topic)
      if (problem !== undefined) {
        refused.push(new HubError('HUB_TOPIC_INVALID', `${topic}: ${problem}`))
        continue
      }
      this.#index.add(topic, true)
      const wanted = events.get(bucket) ?? new Set()
      events.set(bucket, wanted)
      for (const one of askedFor(event)) wanted.add(one)
    }
    this.refused = refused
    this.byBucket = new Map([...events].map(([bucket, wanted]) => [bucket, wishOf(bucket, wanted, config)]))
  }

  /** Of the topics alone, whatever prefix and suffix. */
  hasTopic(topic: string): boolean {
    return this.#index.find(topic).length > 0
  }

  wants(record: S3Record): boolean {
    const wish = this.byBucket.get(record.bucket)
    if (wish === undefined || !this.hasTopic(topicOf(record))) return false
    return record.key.startsWith(wish.prefix) && record.key.endsWith(wish.suffix)
  }
}

/** What `topics` of the configuration names, else what the annotations do. */
export function wantedTopics(
  wanted: readonly Subscription[],
  topics: readonly string[] | undefined,
): readonly string[] {
  return topics ?? wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : []))
}

export function equalWishes(left: Wish, right: Wish): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function wishOf(
  bucket: string,
  events: ReadonlySet<string>,
  config: Pick<MinioConfig, 'prefix' | 'suffix' | 'filters'>,
): Wish {
  const { prefix = '', suffix = '' } = config.filters.find((one) => one.bucket === bucket) ?? config
  // What a whole group asks for need not be asked for again.
  const needed = [...events].filter((event) => event.endsWith(':*') || !events.has(event.replace(/:[^:]+$/, ':*')))
  return { bucket, events: needed.toSorted(), prefix, suffix }
}
