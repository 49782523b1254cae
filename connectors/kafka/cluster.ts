// What is known of a Kafka cluster and the connections to its brokers: one for each broker and purpose, since a broker
// answers the requests of a connection one after the other. Lives as long as one connect of the source.

import { findCoordinatorV3, metadataV9 } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'

import { HubError, backoffMs, sleep } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import { dial, failureOf, hangUp } from './dial.ts'
import type { KafkaConfig } from './dial.ts'
import { answerOf, errorIds, kafkaProblem } from './problems.ts'

type MetadataResponse = Awaited<ReturnType<typeof metadataV9.api.async>>

export interface Address {
  readonly host: string
  readonly port: number
}

/** The leaders of its partitions, -1 where there is none at the moment; or Kafka's name of why it cannot be read. */
export type TopicState = { readonly leaders: readonly number[] } | { readonly problem: string }

/** Joining waits for other members, so nothing else can use its connection. */
export type Purpose = 'fetch' | 'group' | 'join'

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
    const response = await this.#ask((connection) => metadataV9.api.async(connection, names === null ? null : [...names], create, false, false)) // prettier-ignore
    this.#id = response.clusterId ?? ''
    for (const { nodeId, host, port } of response.brokers) this.#brokers.set(nodeId, { host, port })
    return new Map(response.topics.map((topic) => [topic.name, stateOf(topic)]))
  }

  /** The broker that leads the group. @throws HubError HUB_SOURCE_* */
  async coordinator(group: string): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#ask((connection) => findCoordinatorV3.api.async(connection, GROUP_COORDINATOR, [group])) // prettier-ignore
        const [found] = response.coordinators
        if (found === undefined) throw new HubError('HUB_SOURCE_PROTOCOL', `${this.addresses}: no coordinator in the answer`) // prettier-ignore
        this.#brokers.set(found.nodeId, { host: found.host, port: found.port })
        return found.nodeId
      } catch (error) {
        if (attempt === COORDINATOR_TRIES || !passes(error)) throw kafkaProblem(error, this.addresses)
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
  async #ask<T>(request: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#anyBroker()
    try {
      const { answer, error } = await answerOf(request(connection))
      if (errorIds(error).every((id) => !PASSES.has(id) || id === 'LEADER_NOT_AVAILABLE')) return answer
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
        this.#control = await this.#dial(address, this.#config.requestTimeout)
        return this.#control
      } catch (error) {
        this.#stop.throwIfAborted()
        problem = error
        // Another broker would say the same, and a second attempt may lock the account.
        if (error instanceof HubError && error.code === 'HUB_SOURCE_AUTH') break
      }
    }
    throw kafkaProblem(problem, this.addresses)
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

function stateOf({ errorCode, name, partitions }: MetadataResponse['topics'][number]): TopicState {
  // LEADER_NOT_AVAILABLE: it was made this moment.
  if (errorCode !== 0 && errorCode !== LEADER_NOT_AVAILABLE) return { problem: protocolErrorName(errorCode, name) }
  const leaders: number[] = []
  for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId
  return { leaders }
}

const LEADER_NOT_AVAILABLE = 5

function protocolErrorName(code: number, topic: string): string {
  const names: Readonly<Record<number, string>> = { 3: 'does not exist', 17: 'is no name of a topic', 29: 'may not be described by this user' } // prettier-ignore
  return `${topic} ${names[code] ?? `cannot be read (Kafka error ${code})`}`
}

/** Number of partitions of each topic; 0 of one that cannot be read. */
export function partitionCounts(
  topics: Iterable<string>,
  states: ReadonlyMap<string, TopicState>,
): ReadonlyMap<string, number> {
  return new Map([...topics].map((topic) => {
    const state = states.get(topic)
    return [topic, state !== undefined && 'leaders' in state ? state.leaders.length : 0]
  })) // prettier-ignore
}

function passes(error: unknown): boolean {
  return errorIds(error).some((id) => PASSES.has(id))
}
