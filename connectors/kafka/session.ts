// What one connect sets up and what ends with it: cluster, group, partitions, fetchers, commits. Owned by kafka-source.ts.

import { HubError, sleep } from '../../src/sdk/index.ts'
import type { SourceContext, SourceCounter, Subscription } from '../../src/sdk/index.ts'
import { Cluster } from './cluster.ts'
import { Committer } from './committer.ts'
import type { KafkaConfig } from './dial.ts'
import { Fetchers } from './fetchers.ts'
import { Group } from './group.ts'
import { Holdings } from './holdings.ts'
import type { Letters } from './letters.ts'
import { Outbox } from './outbox.ts'
import type { Partition } from './partition.ts'
import { kafkaProblem } from './problems.ts'
import { isForbidden, partitionCounts } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'
import { missingTopics, wantedTopics } from './topics.ts'

export interface SessionOptions {
  readonly config: KafkaConfig
  readonly context: SourceContext
  readonly clientId: string
  readonly letters: Letters
  readonly expired: SourceCounter
  /** It is over by itself. Called once. */
  readonly lost: (session: Session, error: HubError) => void
}

const MISSING_LOOK_MS = 2000
const GOODBYE_MS = 3000

export class Session {
  readonly holdings: Holdings
  readonly outbox: Outbox
  readonly #options: SessionOptions
  readonly #stop = new AbortController()
  readonly #cluster: Cluster
  readonly #group: Group
  readonly #committer: Committer
  readonly #fetchers: Fetchers
  /** Before patterns are looked up. */
  #wanted: readonly Subscription[] = []
  #topics: readonly string[] = []
  /** Topics that were said not to be there. */
  #missing: ReadonlySet<string> = new Set()
  /** Ends when the last change of topics has been agreed with the group. */
  #following: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(options: SessionOptions) {
    this.#options = options
    const { config, context, clientId, letters, expired } = options
    const { clock, log } = context
    const stop = this.#stop.signal
    const failed = (error: HubError): void => this.#lose(error)
    this.#cluster = new Cluster(config, clientId, clock, stop)
    this.holdings = new Holdings({ config, context, cluster: this.#cluster, group: () => this.#group, committer: () => this.#committer, expired }) // prettier-ignore
    this.#group = new Group(config, this.#cluster, clock, {
      assigned: async (partitions) => {
        await this.holdings.take(partitions)
        await this.#fetchers.findLeaders()
      },
      revoke: (partitions) => this.holdings.giveUp(partitions),
      lost: () => this.holdings.loseAll(),
      failed,
    }, stop) // prettier-ignore
    this.#fetchers = new Fetchers({
      config,
      cluster: this.#cluster,
      clock,
      log,
      stop,
      partitions: () => this.holdings.all,
      wantsMore: (partition) => this.#wantsMore(partition),
      arrived: () => this.outbox.handOut(),
      outOfRange: (partition) => this.holdings.moveIntoRange(partition),
      returned: (partition) => this.holdings.returned(partition),
      lost: failed,
    })
    this.#committer = new Committer({ groupName: config.group, group: this.#group, clock, log, intervalMs: config.commitInterval, stop, failed, gone: () => this.#fetchers.lookAgain() }) // prettier-ignore
    this.outbox = new Outbox({
      config,
      context,
      letters,
      partitions: () => this.holdings.all,
      changed: (partition) => this.#committer.mark(partition),
      taken: () => this.#fetchers.wake(),
    })
  }

  /** One attempt to reach any broker. @throws HubError */
  async open(): Promise<void> {
    try {
      await this.#cluster.topics([])
    } catch (error) {
      throw kafkaProblem(error, this.#cluster.addresses)
    }
    void this.#look()
  }

  /** Reads what is wanted now, one call after the other. Resolves once the group has agreed. @throws HubError */
  read(wanted: readonly Subscription[]): Promise<void> {
    this.#wanted = wanted
    return this.#follow()
  }

  /** What is settled is committed, and the group need not wait for our session to end. Bounded. */
  async goodbye(): Promise<void> {
    const { clock, log } = this.#options.context
    for (const partition of this.holdings.all) {
      partition.leaving = true
      this.#committer.mark(partition)
    }
    const late = new AbortController()
    const bound = sleep(clock, GOODBYE_MS, AbortSignal.any([late.signal, this.#stop.signal])).catch(() => undefined)
    const leave = async (): Promise<void> => {
      await this.#committer.flush()
      await this.#group.leave()
    }
    const left = leave().catch((error: unknown) => log.debug('kafka.leave-failed', kafkaProblem(error, `group ${this.#options.config.group}`).message)) // prettier-ignore
    await Promise.race([left, bound])
    late.abort()
  }

  /** At once; what is out comes again. Idempotent. */
  async end(reason: HubError): Promise<void> {
    if (!this.#isOver) {
      this.#isOver = true
      this.#stop.abort(reason)
      this.holdings.loseAll()
      this.#cluster.close()
      this.outbox.buffer.clear()
      this.outbox.buffer.end()
    }
    await this.#group.ended
  }

  #lose(error: HubError): void {
    if (this.#isOver) return
    this.outbox.buffer.fail(error)
    void this.end(error)
    this.#options.lost(this, error)
  }

  // ── topics ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #follow(): Promise<void> {
    const following = this.#following.then(() => this.#followNow())
    this.#following = following.catch(() => undefined)
    return following
  }

  async #followNow(): Promise<void> {
    const before = this.#topics
    try {
      const { topics, states } = await wantedTopics(this.#wanted, this.#options.config.topics, this.#cluster)
      this.#reportMissing(topics, states)
      // Nothing of what may not be read can be committed.
      const joined = topics.filter((topic) => !isForbidden(states.get(topic), 'read'))
      this.#topics = joined
      this.holdings.keepOnly(joined)
      if (joined.length !== before.length || !joined.every((topic) => before.includes(topic)))
        await this.#group.read(joined)
    } catch (error) {
      this.#stop.signal.throwIfAborted()
      throw kafkaProblem(error, this.#cluster.addresses)
    }
  }

  #reportMissing(topics: readonly string[], states: ReadonlyMap<string, TopicState>): void {
    const { log } = this.#options.context
    const missing = missingTopics(topics, states)
    for (const [topic, problem] of missing)
      if (!this.#missing.has(topic))
        log.warn('kafka.topic-missing', `${problem}; it is read as soon as it can be. Create it with kafka-topics --create --topic ${topic}, or grant Describe and Read.`, { topic }) // prettier-ignore
    for (const topic of this.#missing)
      if (!missing.has(topic)) log.info('kafka.topic-found', `${topic} can be read now`, { topic })
    this.#missing = new Set(missing.keys())
  }

  /** Looks for new topics and partitions, as long as the session lives. Never rejects. */
  async #look(): Promise<void> {
    const { config, context } = this.#options
    const { clock } = context
    const stop = this.#stop.signal
    let lookedAt = clock.monotonic()
    while (!stop.aborted) {
      await sleep(clock, Math.min(MISSING_LOOK_MS, config.topicRefresh), stop).catch(() => undefined)
      const isDue = this.#missing.size > 0 || clock.monotonic() - lookedAt >= config.topicRefresh
      if (stop.aborted || !isDue) continue
      lookedAt = clock.monotonic()
      try {
        await this.#follow()
        const led = this.#group.groupTopics
        if (led.length > 0 && this.#group.isOutdated(partitionCounts(led, await this.#cluster.topics(led)))) this.#group.rejoin() // prettier-ignore
      } catch (error) {
        this.#lose(kafkaProblem(error, this.#cluster.addresses))
      }
    }
  }

  #wantsMore({ leaving, lost, waiting }: Partition): boolean {
    return !leaving && !lost && waiting < this.#options.context.unsettledMax
  }
}
