// Events as a hub would get them, from where its group stands, read beside it: no membership, no commit. Called by tools.ts.

import { HubError, orAborted, sleep } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, Subscription, ToolContext } from '../../src/sdk/index.ts'
import { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { toEvent } from './event.ts'
import { beginnings } from './offsets.ts'
import type { Coordinator } from './offsets.ts'
import { grantHint, kafkaProblem } from './problems.ts'
import { Reader } from './reader.ts'
import { isForbidden, partitionCounts, readingProblem } from './topic-state.ts'
import { missingTopics, wantedTopics } from './topics.ts'

/** How often what is missing is looked for, as a hub does it. */
const MISSING_LOOK_MS = 2000

export class KafkaPeek implements Peek {
  readonly means: string
  readonly caution = undefined
  readonly #config: KafkaConfig
  readonly #context: ToolContext
  readonly #wanted: readonly Subscription[]
  readonly #signal: AbortSignal
  readonly #stop = new AbortController()
  readonly #cluster: Cluster
  readonly #coordinator: Coordinator
  readonly #reader: Reader
  #missing: ReadonlyMap<string, string> = new Map()
  /** Why looking for new partitions has ended. */
  #following: Promise<void> = Promise.resolve()

  private constructor(config: KafkaConfig, context: ToolContext, wanted: readonly Subscription[], signal: AbortSignal) {
    this.#config = config
    this.#context = context
    this.#wanted = wanted
    this.#signal = signal
    const { clock, log } = context
    const stop = AbortSignal.any([this.#stop.signal, signal])
    const cluster = new Cluster(config, clientIdOf(config, context), clock, stop)
    this.#cluster = cluster
    this.#coordinator = coordinatorOf(cluster, config.group)
    this.#reader = new Reader({ config, cluster, clock, log, stop })
    this.means = `fetched from where the group ${config.group} stands, without joining it: nothing is committed, so every event stays for the hub, and nothing is left at the brokers`
  }

  /** @throws HubError; HUB_SOURCE_FORBIDDEN when none of the topics may be read */
  static async open(
    config: KafkaConfig,
    context: ToolContext,
    wanted: readonly Subscription[],
    signal: AbortSignal,
  ): Promise<KafkaPeek> {
    const peek = new KafkaPeek(config, context, wanted, signal)
    try {
      await orAborted(peek.#follow(), signal)
    } catch (error) {
      await peek[Symbol.asyncDispose]()
      signal.throwIfAborted()
      throw kafkaProblem(error, peek.#cluster.addresses)
    }
    peek.#following = peek.#keepFollowing()
    return peek
  }

  async *events(): AsyncIterable<EventMessage> {
    const { instance } = this.#context
    const { order } = this.#config
    try {
      for (;;) {
        const read = await this.#reader.next()
        if (read === undefined) return
        const { partition, record, tries } = read
        yield toEvent(record, { instance, topic: partition.topic, partition: partition.index, order }, tries)
      }
    } catch (error) {
      if (this.#signal.aborted || this.#stop.signal.aborted) return
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#cluster.close()
    await this.#following
  }

  /** Partitions that came since the last look are read, too. */
  async #follow(): Promise<void> {
    const { topics, states } = await wantedTopics(this.#wanted, this.#config.topics, this.#cluster)
    if (topics.length > 0 && topics.every((topic) => isForbidden(states.get(topic), 'read'))) throw forbidden(topics, this.#cluster.addresses) // prettier-ignore
    const isFound = this.#report(missingTopics(topics, states))
    const readable = topics.filter((topic) => readingProblem(topic, states.get(topic)) === undefined)
    const partitions = [...partitionCounts(readable, states)].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => ({ topic, partition })),
    )
    const added = partitions.filter(({ topic, partition }) => !this.#reader.has(topic, partition))
    if (added.length > 0) {
      const { group, initialOffset } = this.#config
      await this.#reader.add(await beginnings(added, group, this.#coordinator, this.#cluster, initialOffset))
    } else if (isFound) await this.#reader.findLeaders()
  }

  /** @returns true when some of them were missing before */
  #report(missing: ReadonlyMap<string, string>): boolean {
    for (const [topic, problem] of missing)
      if (!this.#missing.has(topic)) this.#context.log.warn('kafka.topic-missing', `${problem}; it is looked at as soon as it can be`, { topic }) // prettier-ignore
    const isFound = [...this.#missing.keys()].some((topic) => !missing.has(topic))
    this.#missing = missing
    return isFound
  }

  /** Never rejects: what cannot be asked is asked again, and lost brokers end the events. */
  async #keepFollowing(): Promise<void> {
    const { clock, log } = this.#context
    const stop = AbortSignal.any([this.#stop.signal, this.#signal])
    const pauseMs = (): number => Math.min(this.#missing.size > 0 ? MISSING_LOOK_MS : Infinity, this.#config.topicRefresh) // prettier-ignore
    while (!stop.aborted) {
      await sleep(clock, pauseMs(), stop).catch(() => undefined)
      if (stop.aborted) return
      try {
        await this.#follow()
      } catch (error) {
        if (!stop.aborted) log.debug('kafka.look-failed', kafkaProblem(error, this.#cluster.addresses).message)
      }
    }
  }
}

function forbidden(topics: readonly string[], addresses: string): HubError {
  return new HubError('HUB_SOURCE_FORBIDDEN', `${addresses}: ${topics.join(', ')} may not be read by this user`, {
    hint: grantHint('Read', 'topic', topics[0] ?? ''),
  })
}

/** Beside the source's own, so that the brokers' logs and quotas tell them apart. */
export function clientIdOf({ clientId }: KafkaConfig, { instance }: Pick<ToolContext, 'instance'>): string {
  return `${clientId ?? `connector-hub-${instance}`}-tools`
}

/** Of a group that we are not in. */
export function coordinatorOf(cluster: Cluster, group: string): Coordinator {
  return { ask: (request) => cluster.askCoordinator(group, request) }
}
