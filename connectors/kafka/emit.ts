// Publishes test events: each confirmed by all in-sync replicas, in the order in which they were given, and none twice. What
// is given while a request is out goes together with the next. Called by tools.ts.

import { Buffer } from 'node:buffer'

import { murmur2 } from '@platformatic/kafka'

import { HubError, orAborted } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent, ToolContext } from '../../src/sdk/index.ts'
import { Cluster } from './cluster.ts'
import type { KafkaConfig } from './dial.ts'
import { clientIdOf } from './peek.ts'
import { createHint, grantHint, kafkaProblem } from './problems.ts'
import { Producing, emitProblem } from './producing.ts'
import { INVALID_TOPIC, UNKNOWN_TOPIC } from './topic-state.ts'
import type { OpenTopic, TopicState } from './topic-state.ts'

const CONTENT_TYPE = 'content-type'

export class KafkaEmitter implements Emitter {
  readonly inFlightMax = 1000
  readonly #cluster: Cluster
  readonly #producing: Producing
  readonly #stop = new AbortController()
  readonly #topics = new Map<string, Promise<OpenTopic>>()
  /** Where the next event without a key goes; anywhere at first, so that single ones are spread, too. */
  #turn = Math.floor(Math.random() * 1000)

  private constructor(config: KafkaConfig, context: ToolContext) {
    const stop = this.#stop.signal
    this.#cluster = new Cluster(config, clientIdOf(config, context), context.clock, stop)
    this.#producing = new Producing({ config, cluster: this.#cluster, clock: context.clock, stop })
  }

  /** @throws HubError */
  static async open(config: KafkaConfig, context: ToolContext, signal: AbortSignal): Promise<KafkaEmitter> {
    const emitter = new KafkaEmitter(config, context)
    try {
      await orAborted(emitter.#cluster.topics([]), signal)
      await orAborted(emitter.#producing.begin(), signal)
      return emitter
    } catch (error) {
      await emitter[Symbol.asyncDispose]()
      signal.throwIfAborted()
      throw kafkaProblem(error, emitter.#cluster.addresses)
    }
  }

  get place(): string {
    return `Kafka ${this.#cluster.id} at ${this.#cluster.addresses}`
  }

  async emit(event: OutgoingEvent): Promise<string> {
    const { topic, body, key } = event
    const { leaders } = await this.#topic(topic)
    const bytes = key === undefined ? null : Buffer.from(key)
    const partition = bytes === null ? (this.#turn += 1) % leaders.length : partitionOfKey(bytes, leaders.length)
    const offset = await this.#producing.send(topic, partition, {
      key: bytes,
      value: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
      headers: headersOf(event),
    })
    return `${topic}/${partition}@${offset}`
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new HubError('HUB_EMIT_FAILED', `${this.#cluster.addresses}: it was closed before it was confirmed`)) // prettier-ignore
    this.#cluster.close()
    return Promise.resolve()
  }

  /** Asked for once: emitting never makes a topic. */
  #topic(topic: string): Promise<OpenTopic> {
    let known = this.#topics.get(topic)
    if (known === undefined) {
      known = this.#cluster.topics([topic]).then((states) => openTopic(topic, states.get(topic)), (error: unknown) => {
        throw emitProblem(error, topic)
      }) // prettier-ignore
      known.catch(() => this.#topics.delete(topic))
      this.#topics.set(topic, known)
    }
    return known
  }
}

/** As Kafka's own clients do it, so that a key is where other producers put it. */
export function partitionOfKey(key: Buffer, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions
}

function headersOf({ headers, contentType }: OutgoingEvent): ReadonlyMap<Buffer, Buffer> {
  const given = Object.entries(headers)
  const all = contentType === undefined ? given : [[CONTENT_TYPE, contentType] as const, ...given.filter(([name]) => name.toLowerCase() !== CONTENT_TYPE)] // prettier-ignore
  return new Map(all.map(([name, value]) => [Buffer.from(name), Buffer.from(value)]))
}

function openTopic(topic: string, state: TopicState | undefined): OpenTopic {
  if (state !== undefined && !('problem' in state)) {
    if (state.allowed.has('write')) return state
    throw new HubError('HUB_EMIT_FAILED', `${topic} may not be written by this user`, {
      hint: grantHint('Write', 'topic', topic),
    })
  }
  const problem = state?.problem ?? `${topic} does not exist`
  const code = state?.code ?? UNKNOWN_TOPIC
  if (code === INVALID_TOPIC)
    throw new HubError('HUB_USAGE', problem, { hint: 'Letters, digits, dots, - and _, at most 249 of them; no wildcards.' }) // prettier-ignore
  throw new HubError('HUB_EMIT_FAILED', problem, {
    hint: code === UNKNOWN_TOPIC ? createHint(topic) : grantHint('Write', 'topic', topic),
  })
}
