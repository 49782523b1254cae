// Membership of one consumer group by the classic protocol with cooperative rebalancing (KIP-429, static members KIP-345):
// joins, beats, gives up what it is asked to give up, and leaves. What the partitions hold is kafka-source.ts's business.

import {
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
  heartbeatV4,
  joinGroupV6,
  leaveGroupV4,
  syncGroupV4,
} from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'

import { HubError, sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { assign, byTopic, eachPartition, partitionKey } from './assignor.ts'
import type { Member, TopicPartition } from './assignor.ts'
import type { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { answerOf, errorIds, kafkaProblem } from './problems.ts'
import { partitionCounts } from './topic-state.ts'

export interface GroupEvents {
  /** Given to us; the group waits for nothing. */
  assigned(partitions: readonly TopicPartition[]): Promise<void>
  /** To be given up: nobody else gets it before this resolves. */
  revoke(partitions: readonly TopicPartition[]): Promise<void>
  /** The group has gone on without us: all of it is somebody else's. */
  lost(): void
  /** Membership cannot go on. */
  failed(error: HubError): void
}

type JoinResponse = Awaited<ReturnType<typeof joinGroupV6.api.async>>

const PROTOCOL_TYPE = 'consumer'
const PROTOCOL = 'cooperative-sticky'
/** ConsumerProtocolSubscription with generation, KIP-792. */
const SUBSCRIPTION_VERSION = 2
const NO_GENERATION = -1
/** Beats within one session timeout, as Kafka's own clients have it. */
const BEATS = 3
const BEAT_MAX_MS = 3000
const AGAIN_MS = 100
/** We are not in the group any more. */
const EXPELLED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION'])
const REJOIN = new Set(['REBALANCE_IN_PROGRESS'])

export class Group {
  readonly #config: KafkaConfig
  readonly #cluster: Cluster
  readonly #clock: Clock
  readonly #events: GroupEvents
  readonly #stop: AbortSignal
  readonly #instance: string | null
  #memberId = ''
  #generation = NO_GENERATION
  #topics: readonly string[] = []
  #owned = new Map<string, TopicPartition>()
  #coordinator: number | undefined
  #leads = false
  /** Number of partitions by topic, as of the last assignment that we made. */
  #assignedBy: ReadonlyMap<string, number> = new Map()
  #running: Promise<void> | undefined
  #wanted = Promise.withResolvers<void>()
  #mustJoin = false
  #joining = false
  /** The last part of joining: we are a member again, and take and give up what the group says. */
  #applying = false
  #stable = Promise.withResolvers<void>()

  constructor(config: KafkaConfig, cluster: Cluster, clock: Clock, events: GroupEvents, stop: AbortSignal) {
    this.#config = config
    this.#cluster = cluster
    this.#clock = clock
    this.#events = events
    this.#stop = stop
    this.#instance = config.instanceId ?? null
    this.#stable.promise.catch(() => undefined)
    stop.addEventListener('abort', () => {
      this.#stable.reject(stop.reason)
      this.#wanted.resolve()
    }) // prettier-ignore
  }

  /** Identity for what else is asked of the coordinator. */
  get member(): { readonly memberId: string; readonly generation: number; readonly instance: string | null } {
    return { memberId: this.#memberId, generation: this.#generation, instance: this.#instance }
  }

  /** Our topics are these. Resolves once the group knows and we know what is ours. @throws HubError */
  async read(topics: readonly string[]): Promise<void> {
    this.#topics = topics
    this.rejoin()
    this.#running ??= this.#run()
    await this.#stable.promise
  }

  /** Joins again: topics or partitions have changed. */
  rejoin(): void {
    this.#mustJoin = true
    if (!this.#joining) {
      this.#stable = Promise.withResolvers()
      this.#stable.promise.catch(() => undefined)
    }
    this.#wanted.resolve()
  }

  /** Do the partitions of the group's topics differ from those that we distributed? For the member that leads. */
  isOutdated(partitions: ReadonlyMap<string, number>): boolean {
    return this.#leads && [...this.#assignedBy].some(([topic, count]) => (partitions.get(topic) ?? 0) !== count)
  }

  /** Topics of all members, where we lead. */
  get groupTopics(): readonly string[] {
    return this.#leads ? [...this.#assignedBy.keys()] : []
  }

  /** An open connection to the coordinator. @throws HubError */
  async connection(purpose: 'group' | 'join' = 'group'): Promise<Connection> {
    this.#coordinator ??= await this.#cluster.coordinator(this.#config.group)
    return await this.#cluster.connection(this.#coordinator, purpose)
  }

  /** One request to the coordinator. @throws HubError, or what `request` throws */
  async ask<T>(request: (connection: Connection) => Promise<T>): Promise<T> {
    return await request(await this.connection())
  }

  /** Resolves when nothing of it runs any more; after `stop`. */
  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve()
  }

  /** Goes at once, so that the others need not wait for our session to end. Static members stay for their return. */
  async leave(): Promise<void> {
    if (this.#memberId === '' || this.#instance !== null) return
    const connection = await this.connection()
    await leaveGroupV4.api.async(connection, this.#config.group, [{ memberId: this.#memberId }])
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const beating = this.#beat()
    while (!this.#stop.aborted) {
      if (!this.#mustJoin) {
        await this.#wanted.promise
        this.#wanted = Promise.withResolvers()
        continue
      }
      this.#mustJoin = false
      this.#joining = true
      try {
        await this.#join()
      } catch (error) {
        if (this.#stop.aborted) break
        this.#mustJoin = true
        if (!(await this.#survives(error))) break
        await sleep(this.#clock, AGAIN_MS, this.#stop).catch(() => undefined)
      } finally {
        this.#joining = false
      }
      if (!this.#mustJoin) this.#stable.resolve()
    }
    await beating
  }

  async #join(): Promise<void> {
    const isNew = this.#memberId === ''
    const joined = await this.#joinGroup()
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    this.#leads = joined.leader === joined.memberId && joined.members.length > 0
    const assignments = this.#leads ? await this.#assignments(joined) : []
    const connection = await this.connection('join')
    const synced = await syncGroupV4.api.async(connection, this.#config.group, this.#generation, this.#memberId, this.#instance, PROTOCOL_TYPE, PROTOCOL, assignments) // prettier-ignore
    const assigned = eachPartition(decodeConsumerProtocolAssignment(synced.assignment).assignedPartitions)
    this.#applying = true
    try {
      await this.#apply(new Map(assigned.map((one) => [partitionKey(one.topic, one.partition), one])))
    } finally {
      this.#applying = false
    }
    // A static member that comes back is given what it had: its topics may be others by now, and the one that leads is not
    // told that it does, so that nobody would see new partitions. Joining once more, it is a member like any other.
    if (isNew && this.#instance !== null && !this.#leads) this.#mustJoin = true
  }

  async #joinGroup(): Promise<JoinResponse> {
    const { group, sessionTimeout, rebalanceTimeout } = this.#config
    const metadata = encodeConsumerProtocolSubscription({
      version: SUBSCRIPTION_VERSION,
      topics: [...this.#topics],
      ownedPartitions: byTopic(this.#owned.values()),
      generationId: this.#generation,
    })
    const ask = async (): Promise<JoinResponse> =>
      joinGroupV6.api.async(await this.connection('join'), group, sessionTimeout, rebalanceTimeout, this.#memberId, this.#instance, PROTOCOL_TYPE, [{ name: PROTOCOL, metadata }]) // prettier-ignore
    const { answer, error } = await answerOf(ask())
    if (error === undefined) return answer
    // KIP-394: a new member is told its name first.
    if (!errorIds(error).includes('MEMBER_ID_REQUIRED')) throw error
    this.#memberId = answer.memberId
    return await ask()
  }

  async #assignments({ members }: JoinResponse): Promise<{ memberId: string; assignment: Buffer }[]> {
    const group = members.map(({ memberId, metadata }): Member => {
      const { topics, ownedPartitions, generationId } = decodeConsumerProtocolSubscription(metadata)
      return { id: memberId, topics: new Set(topics), owned: eachPartition(ownedPartitions), generation: generationId }
    })
    const topics = [...new Set(group.flatMap((member) => [...member.topics]))]
    const partitions = partitionCounts(topics, await this.#cluster.topics(topics))
    this.#assignedBy = partitions
    return [...assign(group, partitions)].map(([memberId, own]) => ({
      memberId,
      assignment: encodeConsumerProtocolAssignment({ version: 1, assignedPartitions: byTopic(own) }),
    }))
  }

  async #apply(assigned: ReadonlyMap<string, TopicPartition>): Promise<void> {
    const generation = this.#generation
    const revoked = [...this.#owned].filter(([key]) => !assigned.has(key))
    const added = [...assigned].filter(([key]) => !this.#owned.has(key))
    if (added.length > 0) {
      await this.#events.assigned(added.map(([, one]) => one))
      if (generation !== this.#generation) {
        // Expelled meanwhile.
        this.#events.lost()
        return
      }
      for (const [key, one] of added) this.#owned.set(key, one)
    }
    if (revoked.length === 0) return
    await this.#events.revoke(revoked.map(([, one]) => one))
    for (const [key] of revoked) this.#owned.delete(key)
    // So that whoever is to have them gets them.
    this.#mustJoin = true
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    const { group, sessionTimeout } = this.#config
    const pauseMs = Math.min(BEAT_MAX_MS, sessionTimeout / BEATS)
    while (!this.#stop.aborted) {
      await sleep(this.#clock, pauseMs, this.#stop).catch(() => undefined)
      if (this.#stop.aborted) return
      if (this.#generation === NO_GENERATION || this.#mustJoin) continue
      const generation = this.#generation
      try {
        const connection = await this.connection()
        await heartbeatV4.api.async(connection, group, generation, this.#memberId, this.#instance)
      } catch (error) {
        if (!(await this.refused(error, generation))) return
      }
    }
  }

  /**
   * The coordinator refused, or did not answer, what was asked as a member of `generation`. What is said of an earlier
   * generation says nothing about this one: requests overtake each other on their connections.
   * @returns false when membership is over, and that was reported
   */
  async refused(error: unknown, generation: number): Promise<boolean> {
    if (this.#stop.aborted) return false
    // While we join, the answer to that counts. Giving up waits for its commit, which would else never find another
    // coordinator, nor learn that there is nothing to commit any more.
    if ((this.#joining && !this.#applying) || generation !== this.#generation) return true
    if (!(await this.#survives(error))) return false
    const ids = errorIds(error)
    if (ids.some((id) => EXPELLED.has(id)) || (!this.#joining && ids.some((id) => REJOIN.has(id)))) this.rejoin()
    return true
  }

  /** Takes note of what an error says about our membership. False: it is over, and that was reported. */
  async #survives(error: unknown): Promise<boolean> {
    const ids = errorIds(error)
    if (ids.some((id) => EXPELLED.has(id))) {
      this.#expelled(ids)
      return true
    }
    if (ids.some((id) => REJOIN.has(id))) return true
    const problem = ids.includes('FENCED_INSTANCE_ID')
      ? new HubError('HUB_SOURCE_LOST', `group ${this.#config.group}: another process joined as instanceId ${this.#instance}`, { hint: 'Give each replica an instanceId of its own, such as its pod name.' }) // prettier-ignore
      : kafkaProblem(error, `group ${this.#config.group}`)
    if (problem.canRetry && (await this.#elsewhere())) return true
    this.#stable.reject(problem)
    this.#events.failed(problem)
    return false
  }

  /** The coordinator is gone or has moved: we stay members while any broker can be reached. */
  async #elsewhere(): Promise<boolean> {
    this.#coordinator = undefined
    try {
      await this.#cluster.topics([])
      return true
    } catch {
      return false
    }
  }

  #expelled(ids: readonly string[]): void {
    if (ids.includes('UNKNOWN_MEMBER_ID')) this.#memberId = ''
    this.#generation = NO_GENERATION
    if (this.#owned.size === 0) return
    this.#owned = new Map()
    this.#events.lost()
  }
}
