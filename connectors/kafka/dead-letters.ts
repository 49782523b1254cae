// The dead letters of an instance in their topics: read from the oldest that was not removed to the last that is there now.
// Called by tools.ts; what writes them is letters.ts.

import { HubError, nearest, orAborted } from '../../src/sdk/index.ts'
import type { HeldLetter, LetterBox, LetterPlaces, ToolContext } from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { TopicPartition } from './assignor.ts'
import { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { LetterMarks, deleteBefore } from './letter-marks.ts'
import { letterOf } from './letter-record.ts'
import { letterTopicOf } from './letters.ts'
import { commits, endsOf } from './offsets.ts'
import type { Coordinator } from './offsets.ts'
import { clientIdOf, coordinatorOf } from './peek.ts'
import { grantHint, kafkaProblem } from './problems.ts'
import { decodeProgress } from './progress.ts'
import { Reader } from './reader.ts'
import type { Read } from './reader.ts'
import { isForbidden, partitionCounts, readingProblem } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'
import { wantedTopics } from './topics.ts'

/** What is read of one partition. */
interface Shelf extends TopicPartition {
  readonly marks: LetterMarks
  /** Removed earlier. */
  readonly removed: ReadonlySet<bigint>
  readonly start: bigint
  /** Behind the last letter that was there when it began. */
  readonly end: bigint
  /** Behind the letter that was read last. */
  after: bigint
}

export class KafkaLetterBox implements LetterBox {
  readonly caution = undefined
  readonly #config: KafkaConfig
  readonly #context: ToolContext
  readonly #group: string
  readonly #stop = new AbortController()
  readonly #cluster: Cluster
  readonly #coordinator: Coordinator
  readonly #shelves = new Map<string, Shelf>()
  #states: ReadonlyMap<string, TopicState> = new Map()
  #topics: readonly string[] = []

  private constructor(config: KafkaConfig, context: ToolContext) {
    this.#config = config
    this.#context = context
    this.#group = `${config.group}-dead-letters`
    this.#cluster = new Cluster(config, clientIdOf(config, context), context.clock, this.#stop.signal)
    this.#coordinator = coordinatorOf(this.#cluster, this.#group)
  }

  /** @throws HubError */
  static async open(
    config: KafkaConfig,
    context: ToolContext,
    from: LetterPlaces,
    signal: AbortSignal,
  ): Promise<KafkaLetterBox> {
    const box = new KafkaLetterBox(config, context)
    try {
      await orAborted(box.#find(from), signal)
      return box
    } catch (error) {
      box.#close()
      signal.throwIfAborted()
      throw kafkaProblem(error, `${box.#cluster.addresses}: dead letters`)
    }
  }

  get place(): string {
    const names = this.#topics.length === 0 ? 'no topic yet' : `topic${this.#topics.length > 1 ? 's' : ''} ${this.#topics.join(', ')}` // prettier-ignore
    return `${names} at ${this.#cluster.addresses}`
  }

  get removal(): string {
    const noted = `Kafka removes no single records: what is removed is noted in the offsets of the group ${this.#group}`
    const deletable = this.#topics.filter((topic) => !isForbidden(this.#states.get(topic), 'delete'))
    if (deletable.length === 0) return `${noted}; the records stay for other readers until the retention of the topic deletes them. Brokers forget the offsets of a group a week after their last change (offsets.retention.minutes), and then removed letters are listed again; a user with the operation Delete on the topic avoids that.` // prettier-ignore
    return `${noted}, and from the beginning of a partition to the oldest letter that stays the records are deleted, for other readers, too, where the topic lets them be.`
  }

  async *letters(signal: AbortSignal): AsyncIterable<HeldLetter> {
    const stop = AbortSignal.any([this.#stop.signal, signal])
    const { clock, log } = this.#context
    const open = [...this.#shelves.values()].filter(({ start, end }) => start < end)
    if (open.length === 0) return
    const reader = new Reader({ config: this.#config, cluster: this.#cluster, clock, log, stop })
    const isDone = (): boolean => reader.partitions.every(({ topic, index, position }) => position >= (this.#shelves.get(partitionKey(topic, index))?.end ?? 0n)) // prettier-ignore
    try {
      await reader.add(open.map(({ topic, partition, start: offset }) => ({ topic, partition, offset, metadata: null, isNew: false }))) // prettier-ignore
      for (let read = await reader.next(isDone); read !== undefined; read = await reader.next(isDone)) {
        const held = this.#held(read)
        if (held !== undefined) yield held
      }
    } catch (error) {
      signal.throwIfAborted()
      throw kafkaProblem(error, `${this.#cluster.addresses}: dead letters`)
    }
  }

  /** What was removed from the beginning of a partition is deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { topic, partition, start, marks } of this.#shelves.values()) {
      const floor = marks.committed
      if (floor === undefined || floor <= start || isForbidden(this.#states.get(topic), 'delete')) continue
      try {
        await deleteBefore(topic, partition, floor, this.#cluster, this.#config.requestTimeout)
      } catch (error) {
        // They are noted as removed all the same. A topic that is compacted does not let them be deleted.
        this.#context.log.info('kafka.letters-kept', `the removed letters stay in ${topic} until it deletes them itself: ${kafkaProblem(error, this.#cluster.addresses).message}`, { topic }) // prettier-ignore
      }
    }
    this.#close()
  }

  #close(): void {
    this.#stop.abort(new HubError('HUB_SOURCE_LOST', `${this.#cluster.addresses}: the dead letters were closed`))
    this.#cluster.close()
  }

  #held({ partition: { topic, index }, record }: Read): HeldLetter | undefined {
    const shelf = this.#shelves.get(partitionKey(topic, index)) as Shelf
    const { marks, removed, end, after } = shelf
    const { offset } = record
    // It came after we began.
    if (offset >= end) return undefined
    shelf.after = offset + 1n
    if (removed.has(offset)) {
      marks.settled(offset, after)
      return undefined
    }
    return {
      id: `${topic}/${index}@${offset}`,
      letter: letterOf(record, { instance: this.#context.instance, topic, partition: index, order: this.#config.order }), // prettier-ignore
      remove: () => marks.remove(offset, after),
    }
  }

  async #find(from: LetterPlaces): Promise<void> {
    this.#states = await this.#candidates(from)
    this.#topics = [...this.#states.keys()].toSorted()
    for (const topic of this.#topics) {
      const problem = readingProblem(topic, this.#states.get(topic))
      if (problem !== undefined) throw new HubError('HUB_SOURCE_FORBIDDEN', `${this.#cluster.addresses}: ${problem}`, { hint: grantHint('Read', 'topic', topic) }) // prettier-ignore
    }
    const partitions = [...partitionCounts(this.#topics, this.#states)].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => ({ topic, partition })),
    )
    if (partitions.length === 0) return
    const committed = await commits(partitions, this.#group, this.#coordinator)
    const [first, last] = [await endsOf(partitions, this.#cluster, 'oldest'), await endsOf(partitions, this.#cluster, 'newest')] // prettier-ignore
    for (const one of partitions) {
      const key = partitionKey(one.topic, one.partition)
      const known = committed.get(key)
      const [low, end] = [first.get(key) ?? 0n, last.get(key) ?? 0n]
      const start = known !== undefined && known.offset > low ? known.offset : low
      const removed = new Set(decodeProgress(known?.metadata ?? null).settled.map((distance) => (known?.offset ?? 0n) + BigInt(distance))) // prettier-ignore
      const marks = new LetterMarks({ group: this.#group, ...one, coordinator: this.#coordinator }, start)
      this.#shelves.set(key, { ...one, marks, removed, start, end, after: start })
    }
  }

  /**
   * The named ones; else those of the topics that functions are subscribed to; without any, all whose name is that of a
   * dead-letter topic. Those that do not exist yet are left out.
   */
  async #candidates({ places, topics }: LetterPlaces): Promise<ReadonlyMap<string, TopicState>> {
    if (places.length > 0) return await this.#named(places)
    const wanted = await wantedTopics(topics.map((topic) => ({ kind: 'topic', topic })), this.#config.topics, this.#cluster) // prettier-ignore
    if (wanted.topics.length === 0) return await this.#allOfThem()
    const names = new Set(wanted.topics.map((topic) => letterTopicOf(this.#config, topic)))
    const states = await this.#cluster.topics([...names])
    return new Map([...states].filter(([, state]) => 'leaders' in state || isForbidden(state, 'read')))
  }

  async #named(places: readonly string[]): Promise<ReadonlyMap<string, TopicState>> {
    const states = await this.#cluster.topics(places)
    for (const place of places) {
      const state = states.get(place)
      if (state !== undefined && (!('problem' in state) || isForbidden(state, 'read'))) continue
      const known = nearest(place, [...(await this.#cluster.topics(null)).keys()])
      throw new HubError('HUB_USAGE', `${this.#cluster.addresses}: ${state?.problem ?? `${place} does not exist`}`, {
        hint: known === undefined ? 'Name a topic that holds dead letters.' : `Did you mean ${known}?`,
      })
    }
    return states
  }

  async #allOfThem(): Promise<ReadonlyMap<string, TopicState>> {
    const parts = this.#config.deadLetterTopic.split('{topic}').map((part) => RegExp.escape(part))
    const pattern = new RegExp(`^${parts.join('.+')}$`)
    return new Map([...(await this.#cluster.topics(null))].filter(([topic]) => pattern.test(topic)))
  }
}
