// The Kafka source: the partitions that the group gives us, and who gets their records next. A session is what one connect
// set up; membership is in group.ts, reading in fetcher.ts, committing in committer.ts.

import { DeliveryBuffer, HubError, sleep } from '../../src/sdk/index.ts'
import type {
  Delivery,
  ProbeReport,
  Settlement,
  SettleResult,
  Source,
  SourceContext,
  SourceCounter,
  SourceReading,
  Subscription,
  TopicBacklog,
} from '../../src/sdk/index.ts'
import { partitionKey } from './assignor.ts'
import type { TopicPartition } from './assignor.ts'
import { Cluster } from './cluster.ts'
import type { TopicState } from './cluster.ts'
import { Committer } from './committer.ts'
import type { KafkaConfig } from './dial.ts'
import { toEvent } from './event.ts'
import type { EventOrigin } from './event.ts'
import { Fetcher } from './fetcher.ts'
import { Group } from './group.ts'
import { Letters } from './letters.ts'
import { beginnings, endsOf, leaderOf } from './offsets.ts'
import { Partition } from './partition.ts'
import type { Fetched, Handed } from './partition.ts'
import { kafkaProblem } from './problems.ts'
import { missingTopics, wantedTopics } from './topics.ts'

/** What belongs to one connect and ends with it. */
interface Session {
  readonly stop: AbortController
  readonly cluster: Cluster
  readonly group: Group
  readonly committer: Committer
  readonly buffer: DeliveryBuffer<Delivery>
  /** By topic and index. */
  readonly partitions: Map<string, Partition>
  readonly fetchers: Map<number, Fetcher>
  /** By topic, as of the last look. */
  states: ReadonlyMap<string, TopicState>
  /** What is subscribed to, before patterns are looked up. */
  wanted: readonly Subscription[]
  topics: readonly string[]
  /** Ends when the last change of topics has been agreed with the group. */
  following: Promise<void>
  /** Topics that are not there and were said to be so. */
  missing: ReadonlySet<string>
}

const MISSING_LOOK_MS = 2000
const CLOSE_MS = 3000

export class KafkaSource implements Source {
  readonly #config: KafkaConfig
  readonly #context: SourceContext
  readonly #clientId: string
  readonly #letters: Letters
  readonly #expired: SourceCounter
  #session: Session | undefined
  /** Handed out by this session and not settled. */
  #outstanding = 0
  /** Whose turn it is to hand out a record. */
  #turn = 0
  #closed = false

  constructor(config: KafkaConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#clientId = config.clientId ?? `connector-hub-${context.instance}`
    this.#letters = new Letters(config, this.#clientId, context.clock, context.log)
    this.#expired = context.counter('kafka_expired_total', 'Records that the topic lost to retention before they were read.', ['topic']) // prettier-ignore
    context.gauge('kafka_partitions_paused', 'Partitions that wait for their oldest unsettled record.', ['topic'], () => this.#countByTopic(({ paused }) => paused)) // prettier-ignore
    context.gauge('kafka_partitions_assigned', 'Partitions that this member of the group has.', ['topic'], () => this.#countByTopic(() => true)) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    await this.#end(this.#session)
    signal.throwIfAborted()
    const stop = new AbortController()
    const { clock, log } = this.#context
    const cluster = new Cluster(this.#config, this.#clientId, clock, stop.signal)
    try {
      await orAborted(cluster.topics([]), signal)
    } catch (error) {
      stop.abort(this.#lostProblem('it could not be connected'))
      cluster.close()
      signal.throwIfAborted()
      throw kafkaProblem(error, cluster.addresses)
    }
    const failed = (error: HubError): void => this.#lose(session, error)
    const group = new Group(this.#config, cluster, clock, {
      assigned: (partitions) => this.#assigned(session, partitions),
      revoke: (partitions) => this.#revoke(session, partitions),
      lost: () => this.#takeAway(session, [...session.partitions.keys()]),
      failed,
    }, stop.signal) // prettier-ignore
    const committer = new Committer({ groupName: this.#config.group, group, clock, log, intervalMs: this.#config.commitInterval, stop: stop.signal, failed }) // prettier-ignore
    const session: Session = {
      stop,
      cluster,
      group,
      committer,
      buffer: new DeliveryBuffer(this.#context.unsettledMax),
      partitions: new Map(),
      fetchers: new Map(),
      states: new Map(),
      wanted: [],
      topics: [],
      following: Promise.resolve(),
      missing: new Set(),
    }
    if (this.#closed) {
      await this.#end(session)
      throw this.#lostProblem('the source was closed while it connected')
    }
    this.#outstanding = 0
    this.#session = session
    void this.#look(session)
  }

  /** Topics that do not exist yet are said to be missing, and read as soon as they are there. */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const session = this.#live()
    session.wanted = wanted
    await orAborted(this.#follow(session), signal)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { buffer } = this.#live()
    if (signal.aborted) buffer.end()
    else signal.addEventListener('abort', () => buffer.end(), { once: true })
    return buffer
  }

  /** Reads metadata; joins no group and takes nothing. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const cluster = new Cluster(this.#config, `${this.#clientId}-probe`, this.#context.clock, signal)
    try {
      const states = await cluster.topics(topics)
      return {
        server: `Kafka ${cluster.id} at ${cluster.addresses}`,
        topics: topics.map((topic) => {
          const state = states.get(topic)
          if (state === undefined || 'problem' in state) return { topic, ok: false, detail: state?.problem ?? 'is not known' } // prettier-ignore
          return { topic, ok: true, detail: `${state.leaders.length} partitions` }
        }),
      }
    } catch (error) {
      signal.throwIfAborted()
      throw kafkaProblem(error, cluster.addresses)
    } finally {
      cluster.close()
    }
  }

  backlog(): readonly TopicBacklog[] {
    const topics = new Map<string, { waiting: number; unsettled: number; oldestWaitingMs: number | undefined; oldestUnsettledMs: number | undefined }>() // prettier-ignore
    for (const partition of this.#session?.partitions.values() ?? []) {
      const { topic, position, end, waiting, outstanding, oldestWaitingMs, oldestUnsettledMs } = partition
      const sum = topics.get(topic) ?? { waiting: 0, unsettled: 0, oldestWaitingMs: undefined, oldestUnsettledMs: undefined } // prettier-ignore
      sum.waiting += waiting + Math.max(0, Number(end - position))
      sum.unsettled += outstanding
      sum.oldestWaitingMs = earlier(sum.oldestWaitingMs, oldestWaitingMs)
      sum.oldestUnsettledMs = earlier(sum.oldestUnsettledMs, oldestUnsettledMs)
      topics.set(topic, sum)
    }
    return [...topics].map(([topic, sum]) => ({ topic, ...sum }))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const session = this.#session
    if (session !== undefined) await this.#goodbye(session)
    await this.#end(session)
    await this.#letters.close()
  }

  // ── what is read ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads what is wanted now, one call after the other. Waits until the group has agreed. */
  #follow(session: Session): Promise<void> {
    const following = session.following.then(() => this.#followNow(session))
    session.following = following.catch(() => undefined)
    return following
  }

  async #followNow(session: Session): Promise<void> {
    const { cluster, group } = session
    const before = session.topics
    try {
      const { topics, states } = await wantedTopics(session.wanted, this.#config.topics, cluster)
      session.states = states
      session.topics = topics
      this.#reportMissing(session)
      for (const partition of session.partitions.values()) if (!topics.includes(partition.topic)) partition.leaving = true // prettier-ignore
      if (topics.length === before.length && topics.every((topic) => before.includes(topic))) return
      await group.read(topics)
    } catch (error) {
      session.stop.signal.throwIfAborted()
      throw kafkaProblem(error, cluster.addresses)
    }
  }

  #reportMissing(session: Session): void {
    const missing = missingTopics(session.topics, session.states)
    for (const [topic, problem] of missing)
      if (!session.missing.has(topic))
        this.#context.log.warn('kafka.topic-missing', `${problem}; it is read as soon as it can be. Create it with kafka-topics --create --topic ${topic}, or grant Describe and Read.`, { topic }) // prettier-ignore
    for (const topic of session.missing)
      if (!missing.has(topic)) this.#context.log.info('kafka.topic-found', `${topic} is there now`, { topic })
    session.missing = new Set(missing.keys())
  }

  /** Looks for new topics and partitions, as long as the session lives. Never rejects. */
  async #look(session: Session): Promise<void> {
    const { clock } = this.#context
    const { signal } = session.stop
    while (!signal.aborted) {
      const pauseMs = session.missing.size > 0 ? Math.min(MISSING_LOOK_MS, this.#config.topicRefresh) : this.#config.topicRefresh // prettier-ignore
      await sleep(clock, pauseMs, signal).catch(() => undefined)
      if (signal.aborted || session.topics.length === 0) continue
      try {
        await this.#follow(session)
        const led = session.group.groupTopics
        const states = led.length === 0 ? session.states : await session.cluster.topics(led)
        const counts = new Map([...states].map(([topic, state]) => [topic, 'leaders' in state ? state.leaders.length : 0]))
        if (session.group.isOutdated(counts)) session.group.rejoin()
      } catch (error) {
        if (!signal.aborted) this.#lose(session, kafkaProblem(error, session.cluster.addresses))
      }
    }
  } // prettier-ignore

  async #assigned(session: Session, partitions: readonly TopicPartition[]): Promise<void> {
    const { cluster, group, committer } = session
    const { group: name, initialOffset, uncommittedMax } = this.#config
    const begun = await beginnings(partitions, name, group, cluster, initialOffset)
    session.states = new Map([...session.states, ...(await cluster.topics([...new Set(partitions.map(({ topic }) => topic))]))]) // prettier-ignore
    for (const { topic, partition: index, offset, metadata, isNew } of begun) {
      const partition = new Partition(topic, index, offset, metadata, uncommittedMax)
      session.partitions.set(partitionKey(topic, index), partition)
      // Else a crash before the first record is settled would begin anew, behind what came meanwhile.
      if (isNew) committer.mark(partition)
    }
    this.#context.log.info('kafka.assigned', `assigned ${namesOf(partitions)}`, { partitions: partitions.length })
    this.#fetchAll(session)
  }

  /** Waits for what is out, within a bound, commits it, and lets go. */
  async #revoke(session: Session, revoked: readonly TopicPartition[]): Promise<void> {
    const { clock, log } = this.#context
    const leaving = revoked.flatMap(({ topic, partition }) => session.partitions.get(partitionKey(topic, partition)) ?? []) // prettier-ignore
    for (const partition of leaving) partition.leaving = true
    const out = leaving.reduce((sum, { outstanding }) => sum + outstanding, 0)
    if (out > 0) log.info('kafka.revoking', `${namesOf(revoked)} go to another member; waiting for ${out} records that are out`, { unsettled: out }) // prettier-ignore
    const late = new AbortController()
    const bound = sleep(clock, this.#config.revokeTimeout, late.signal).catch(() => undefined)
    await Promise.race([Promise.all(leaving.map((partition) => partition.quiet())), bound])
    late.abort()
    const open = leaving.reduce((sum, { outstanding }) => sum + outstanding, 0)
    for (const partition of leaving) session.committer.mark(partition)
    await session.committer.flush()
    this.#takeAway(session, leaving.map(({ topic, index }) => partitionKey(topic, index))) // prettier-ignore
    const rest = open === 0 ? '' : `; ${open} records were not settled in time and go to the next member`
    log.info('kafka.revoked', `gave up ${namesOf(revoked)}${rest}`, { partitions: revoked.length, unsettled: open })
  }

  #takeAway(session: Session, keys: readonly string[]): void {
    for (const key of keys) {
      session.partitions.get(key)?.takeAway()
      session.partitions.delete(key)
    }
  }

  // ── fetching ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** A fetcher for every broker that leads something of ours; those that wait look again. */
  #fetchAll(session: Session): void {
    for (const partition of session.partitions.values()) {
      const leader = this.#leaderOf(session, partition)
      if (leader !== undefined && !session.fetchers.has(leader)) session.fetchers.set(leader, this.#fetcher(session, leader)) // prettier-ignore
    }
    for (const fetcher of session.fetchers.values()) fetcher.wake()
  }

  #fetcher(session: Session, broker: number): Fetcher {
    const { cluster } = session
    return new Fetcher({
      config: this.#config,
      cluster,
      clock: this.#context.clock,
      broker,
      stop: session.stop.signal,
      partitions: () => [...session.partitions.values()].filter((partition) => !partition.leaving && !partition.lost && partition.waiting < this.#context.unsettledMax && this.#leaderOf(session, partition) === broker), // prettier-ignore
      arrived: () => this.#handOut(session),
      moved: () => this.#moved(session),
      outOfRange: (partition) => void this.#outOfRange(session, partition),
      failed: (error) => void this.#brokerFailed(session, error),
    })
  }

  #leaderOf(session: Session, { topic, index }: Partition): number | undefined {
    return leaderOf(session.states.get(topic), index)
  }

  async #moved(session: Session): Promise<void> {
    const topics = [...new Set([...session.partitions.values()].map(({ topic }) => topic))]
    session.states = new Map([...session.states, ...(await session.cluster.topics(topics))])
    this.#fetchAll(session)
  }

  /** One broker is away. Its partitions may have other leaders by now; without any broker the session is over. */
  async #brokerFailed(session: Session, error: unknown): Promise<void> {
    const problem = kafkaProblem(error, session.cluster.addresses)
    try {
      if (!problem.canRetry) throw problem
      await this.#moved(session)
    } catch (cause) {
      this.#lose(session, kafkaProblem(cause, session.cluster.addresses))
    }
  }

  /** The log does not reach to our position any more: retention was faster than we, or the log was cut. */
  async #outOfRange(session: Session, partition: Partition): Promise<void> {
    const { topic, index, position } = partition
    const key = partitionKey(topic, index)
    partition.lost = true
    try {
      const [first, last] = [await this.#endOf(session, partition, 'oldest'), await this.#endOf(session, partition, 'newest')] // prettier-ignore
      const to = position < first ? first : last
      if (to > position) this.#expired.add(Number(to - position), { topic })
      const what = to > position ? `${to - position} records were deleted by the topic's retention before they were read` : 'the log was cut behind our position' // prettier-ignore
      this.#context.log.error('kafka.out-of-range', `${key}: ${what}; going on at ${to} instead of ${position}`, { topic, from: position.toString(), to: to.toString() }) // prettier-ignore
      partition.moveTo(to)
      session.committer.mark(partition)
      this.#fetchAll(session)
    } catch (error) {
      this.#lose(session, kafkaProblem(error, key))
    }
  }

  async #endOf(session: Session, { topic, index }: Partition, end: 'oldest' | 'newest'): Promise<bigint> {
    const ends = await endsOf([{ topic, partition: index }], session.cluster, end)
    return ends.get(partitionKey(topic, index)) ?? 0n
  }

  // ── handing out ────────────────────────────────────────────────────────────────────────────────────────────────

  /** As many records as there is room for, one of each partition in turn. */
  #handOut(session: Session): void {
    if (session !== this.#session || session.partitions.size === 0) return
    const partitions = [...session.partitions.values()]
    for (let empty = 0; empty < partitions.length && this.#outstanding < this.#context.unsettledMax;) {
      const partition = partitions[this.#turn % partitions.length] as Partition
      this.#turn += 1
      const next = partition.handOut()
      if (next === undefined) empty += 1
      else {
        empty = 0
        this.#outstanding += 1
        session.buffer.push(this.#delivery(session, partition, next.record, next.handed))
      }
    }
    for (const fetcher of session.fetchers.values()) fetcher.wake()
  }

  #delivery(session: Session, partition: Partition, record: Fetched, handed: Handed): Delivery {
    const origin: EventOrigin = { instance: this.#context.instance, topic: partition.topic, partition: partition.index, order: this.#config.order } // prettier-ignore
    const withdrawn = new AbortController()
    handed.withdraw = () => withdrawn.abort()
    let settled: Promise<SettleResult> | undefined
    return {
      message: toEvent(record, origin, handed.tries),
      signal: withdrawn.signal,
      tried: (attempts) => {
        handed.tries = attempts
        session.committer.mark(partition)
      },
      settle: (settlement) => (settled ??= this.#settle(session, partition, record, handed, settlement, withdrawn.signal)), // prettier-ignore
    }
  }

  async #settle(
    session: Session,
    partition: Partition,
    record: Fetched,
    handed: Handed,
    settlement: Settlement,
    withdrawn: AbortSignal,
  ): Promise<SettleResult> {
    try {
      if (settlement.kind === 'reject') await this.#letters.put(settlement.letters, record, partition.index, withdrawn)
      const confirmed = partition.settle(handed)
      session.committer.mark(partition)
      return await confirmed
    } catch (error) {
      if (withdrawn.aborted) return 'stale'
      throw error
    } finally {
      if (session === this.#session) {
        this.#outstanding -= 1
        this.#handOut(session)
      }
    }
  }

  // ── the end of a session ───────────────────────────────────────────────────────────────────────────────────────

  #lose(session: Session, error: HubError): void {
    if (session !== this.#session) return
    this.#session = undefined
    session.buffer.fail(error)
    void this.#end(session, error)
  }

  /** What is settled is committed, and the group need not wait for our session to end. Bounded. */
  async #goodbye({ committer, group, partitions, stop }: Session): Promise<void> {
    const { clock, log } = this.#context
    for (const partition of partitions.values()) {
      partition.leaving = true
      committer.mark(partition)
    }
    const late = new AbortController()
    const bound = sleep(clock, CLOSE_MS, AbortSignal.any([late.signal, stop.signal])).catch(() => undefined)
    const leave = async (): Promise<void> => {
      await committer.flush()
      await group.leave()
    }
    const left = leave().catch((error: unknown) => log.debug('kafka.leave-failed', kafkaProblem(error, `group ${this.#config.group}`).message)) // prettier-ignore
    await Promise.race([left, bound])
    late.abort()
  }

  async #end(session: Session | undefined, reason = this.#lostProblem('the connection is closed')): Promise<void> {
    if (session === undefined) return
    if (session === this.#session) this.#session = undefined
    session.stop.abort(reason)
    this.#takeAway(session, [...session.partitions.keys()])
    session.cluster.close()
    session.buffer.clear()
    session.buffer.end()
    await session.group.ended
  }

  #live(): Session {
    if (this.#session === undefined) throw this.#lostProblem('not connected')
    return this.#session
  }

  #countByTopic(which: (partition: Partition) => boolean): readonly SourceReading[] {
    const counts = new Map<string, number>()
    for (const partition of this.#session?.partitions.values() ?? [])
      counts.set(partition.topic, (counts.get(partition.topic) ?? 0) + (which(partition) ? 1 : 0))
    return [...counts].map(([topic, value]) => ({ labels: [topic], value }))
  }

  #lostProblem(text: string): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#config.brokers.join(', ')}: ${text}`, { canRetry: true })
  }
}

/** The outcome of the work, or the signal's reason when that comes first; the work goes on. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason as Error)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => undefined)
    aborted.promise.catch(() => undefined)
  }
}

function earlier(left: number | undefined, right: number | undefined): number | undefined {
  return left === undefined || right === undefined ? (left ?? right) : Math.min(left, right)
}

/** `orders/0, orders/1 and 7 more` */
function namesOf(partitions: readonly TopicPartition[]): string {
  const shown = partitions.slice(0, 5).map(({ topic, partition }) => partitionKey(topic, partition))
  return partitions.length > shown.length ? `${shown.join(', ')} and ${partitions.length - shown.length} more` : shown.join(', ') // prettier-ignore
}
