// What is known of a Kafka cluster and the connections to its brokers: one for each broker and purpose, since a broker
// answers the requests of a connection one after the other. Lives as long as one connect of the source.

import { apiVersionsV0, findCoordinatorV3, metadataV9 } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'

import { HubError, backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { dial, failureOf, hangUp } from './dial.ts'
import type { KafkaConfig } from './dial.ts'
import { answerOf, errorIds, kafkaProblem } from './problems.ts'
import { topicState } from './topic-state.ts'
import type { TopicState } from './topic-state.ts'
import { versionProblem } from './versions.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Joining waits for other members, so nothing else can use its connection. */
export type Purpose = 'fetch' | 'group' | 'join' | 'produce'

const GROUP_COORDINATOR = 0
const TRANSIENT = { minWaitMs: 50, maxWaitMs: 1000, jitter: 'equal' } as const
const COORDINATOR_TRIES = 20
/** While a group or a topic moves from one broker to another. */
const PASSES = new Set(['COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS', 'NOT_COORDINATOR', 'LEADER_NOT_AVAILABLE']) // prettier-ignore

export class Cluster {
  readonly #config: KafkaConfig
  readonly #clientId: string
  readonly #clock: Clock
  readonly #stop: AbortSignal
  readonly #brokers = new Map<number, Address>()
  readonly #connections = new Map<string, Promise<Connection>>()
  #control: Connection | undefined
  #isNewEnough = false
  #id = ''

  /** @param stop ends every wait and every attempt to connect */
  constructor(config: KafkaConfig, clientId: string, clock: Clock, stop: AbortSignal) {
    this.#config = config
    this.#clientId = clientId
    this.#clock = clock
    this.#stop = stop
  }

  /** For people: the brokers as configured. */
  get addresses(): string {
    return this.#config.brokers.join(', ')
  }

  /** Identifier of the cluster; empty before the first answer. */
  get id(): string {
    return this.#id
  }

  /**
   * The state of topics, of all of them without a list, and with it the addresses of the brokers.
   * @param create lets the brokers make missing ones, where `auto.create.topics.enable` allows it
   */
  async topics(names: readonly string[] | null, create = false): Promise<ReadonlyMap<string, TopicState>> {
    const { answer: response } = await this.#ask((connection) => metadataV9.api.async(connection, names === null ? null : [...names], create, true, false)) // prettier-ignore
    this.#id = response.clusterId ?? ''
    for (const { nodeId, host, port } of response.brokers) this.#brokers.set(nodeId, { host, port })
    return new Map(response.topics.map((topic) => [topic.name, topicState(topic)]))
  }

  /** To any broker, for what each of them answers. @throws HubError HUB_SOURCE_* */
  anyConnection(): Promise<Connection> {
    return this.#anyBroker()
  }

  /** The broker that leads the group. @throws HubError HUB_SOURCE_* */
  async coordinator(group: string): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { answer, error } = await this.#ask((connection) => findCoordinatorV3.api.async(connection, GROUP_COORDINATOR, [group])) // prettier-ignore
        if (error !== undefined) throw error
        const [found] = answer.coordinators
        if (found === undefined) throw new HubError('HUB_SOURCE_PROTOCOL', `${this.addresses}: no coordinator in the answer`) // prettier-ignore
        this.#brokers.set(found.nodeId, { host: found.host, port: found.port })
        return found.nodeId
      } catch (error) {
        if (attempt === COORDINATOR_TRIES || !passes(error))
          throw kafkaProblem(error, `${this.addresses}: group ${group}`)
        await sleep(this.#clock, backoffMs(attempt, TRANSIENT), this.#stop)
      }
    }
  }

  /** Asks the broker that leads the group; again while it moves. @throws HubError HUB_SOURCE_*, or what `request` throws */
  async askCoordinator<T>(group: string, request: (connection: Connection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await request(await this.connection(await this.coordinator(group), 'group'))
      } catch (error) {
        if (attempt === COORDINATOR_TRIES || !passes(error)) throw error
        await sleep(this.#clock, backoffMs(attempt, TRANSIENT), this.#stop)
      }
    }
  }

  /** An open connection to a broker, kept for the next call. @throws HubError HUB_SOURCE_* */
  async connection(broker: number, purpose: Purpose): Promise<Connection> {
    const key = `${broker} ${purpose}`
    const kept = this.#connections.get(key)
    if (kept !== undefined) {
      const connection = await kept
      if (connection.isConnected()) return connection
    }
    const latest = this.#connections.get(key)
    if (latest !== undefined && latest !== kept) return latest
    const opening = this.#open(broker, purpose)
    this.#connections.set(key, opening)
    opening.catch(() => this.#connections.delete(key))
    return opening
  }

  /** Every wait for an answer ends with an error. */
  close(): void {
    if (this.#control !== undefined) hangUp(this.#control)
    for (const opening of this.#connections.values()) opening.then(hangUp, () => undefined)
    this.#connections.clear()
  }

  async #open(broker: number, purpose: Purpose): Promise<Connection> {
    if (!this.#brokers.has(broker)) await this.topics([])
    const address = this.#brokers.get(broker)
    if (address === undefined) throw new HubError('HUB_SOURCE_UNREACHABLE', `${this.addresses}: broker ${broker} is not known`, { canRetry: true }) // prettier-ignore
    const { rebalanceTimeout, requestTimeout, fetchWait } = this.#config
    const answerMs = purpose === 'join' ? rebalanceTimeout + requestTimeout : purpose === 'fetch' ? fetchWait + requestTimeout : requestTimeout // prettier-ignore
    return await this.#dial(address, answerMs)
  }

  async #dial(address: Address, answerMs: number): Promise<Connection> {
    const connection = await dial(this.#config, this.#clientId, address, this.#stop, answerMs)
    if (!this.#stop.aborted) return connection
    hangUp(connection)
    throw this.#stop.reason as Error
  }

  /** Of any broker. What was answered with an error for some of its parts is an answer. */
  async #ask<T>(
    request: (connection: Connection) => Promise<T>,
  ): Promise<{ readonly answer: T; readonly error: unknown }> {
    const connection = await this.#anyBroker()
    try {
      const { answer, error } = await answerOf(request(connection))
      if (errorIds(error).every((id) => !PASSES.has(id) || id === 'LEADER_NOT_AVAILABLE')) return { answer, error }
      throw error
    } catch (error) {
      throw broken(connection, error)
    }
  }

  /** The one that answered last, else the first that lets us in. @throws HubError of the last one */
  async #anyBroker(): Promise<Connection> {
    if (this.#control?.isConnected() === true) return this.#control
    let problem: unknown
    for (const address of this.#candidates()) {
      try {
        const connection = await this.#dial(address, this.#config.requestTimeout)
        await this.#checkVersions(connection, address)
        this.#control = connection
        return connection
      } catch (error) {
        this.#stop.throwIfAborted()
        problem = error
        // Another broker would say the same, and a second attempt may lock the account.
        if (error instanceof HubError && (error.code === 'HUB_SOURCE_AUTH' || error.code === 'HUB_SOURCE_PROTOCOL'))
          break
      }
    }
    throw kafkaProblem(problem, this.addresses)
  }

  /** Once: an older broker closes the connection at the first request that it does not know, without a word. */
  async #checkVersions(connection: Connection, { host, port }: Address): Promise<void> {
    if (this.#isNewEnough) return
    try {
      const { apiKeys } = await apiVersionsV0.api.async(connection, '', '')
      const problem = versionProblem(apiKeys, `${host}:${port}`)
      if (problem !== undefined) throw problem
      this.#isNewEnough = true
    } catch (error) {
      hangUp(connection)
      throw broken(connection, error)
    }
  }

  #candidates(): readonly Address[] {
    const configured = this.#config.brokers.map((broker) => {
      const [, host = broker, port = '9092'] = /^(.+?)(?::(\d+))?$/.exec(broker) ?? []
      return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
    })
    return [...configured, ...this.#brokers.values()]
  }
}

/** With what the socket said. */
function broken(connection: Connection, error: unknown): unknown {
  const failure = failureOf(connection)
  return failure === undefined ? error : new AggregateError([failure, error], failure.message)
}

function passes(error: unknown): boolean {
  return errorIds(error).some((id) => PASSES.has(id))
}
