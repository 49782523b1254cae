// What the connector's own tests share: a plain broker and sources that settle as the test says.

import type { Kafka } from 'kafkajs'

import type { Emitter, Tools } from '../../src/sdk/index.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import { toolsOf } from '../../test/tools-rig.ts'
import type { ToolsOptions } from '../../test/tools-rig.ts'
import { startKafka } from '../../test/servers/kafka.ts'
import type { KafkaOptions, KafkaServer } from '../../test/servers/kafka.ts'
import { clientOf, createTopic, withAdmin, withProducer } from './broker.ts'
import connector from './connector.ts'

let topics = 0

/** Quick to notice, for tests on one machine. */
export const QUICK = {
  sessionTimeout: '2s',
  rebalanceTimeout: '3s',
  revokeTimeout: '1s',
  commitInterval: '5ms',
  fetchWait: '20ms',
  topicRefresh: '100ms',
} as const

export interface Sent {
  readonly key?: string | Buffer | null
  readonly value?: string | Buffer | null
  readonly headers?: Readonly<Record<string, string | Buffer | (string | Buffer)[]>>
  readonly partition?: number
}

export class KafkaRig implements AsyncDisposable {
  readonly server: KafkaServer
  readonly client: Kafka
  readonly #sources: SourceRig[] = []

  private constructor(server: KafkaServer) {
    this.server = server
    this.client = clientOf(`127.0.0.1:${server.plainPort}`)
  }

  static async start(options: KafkaOptions = {}): Promise<KafkaRig> {
    return new KafkaRig(await startKafka(options))
  }

  /** @param entries configuration of the topic, such as `compression.type` */
  async topic(partitions = 1, entries: Readonly<Record<string, string>> = {}): Promise<string> {
    const topic = `topic-${(topics += 1)}`
    await this.create(topic, partitions, entries)
    return topic
  }

  async create(
    topic: string,
    partitions: number,
    entries: Readonly<Record<string, string>> = {},
    replicationFactor = 1,
  ): Promise<void> {
    const configEntries = Object.entries(entries).map(([name, value]) => ({ name, value }))
    await createTopic(this.client, { topic, numPartitions: partitions, configEntries, replicationFactor })
  }

  async send(topic: string, ...messages: readonly Sent[]): Promise<void> {
    await withProducer(this.client, (producer) => producer.send({ topic, acks: -1, messages: messages.map(({ value = 'event', ...more }) => ({ value, ...more }) as { value: Buffer }) })) // prettier-ignore
  }

  /** Committed offset of partition 0; -1 without one. */
  async committed(group: string, topic: string): Promise<number> {
    const [found] = await withAdmin(this.client, (admin) => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    return Number(found?.partitions.find(({ partition }) => partition === 0)?.offset ?? -1)
  }

  /** Not connected. */
  source(group: string, config: Readonly<Record<string, unknown>> = {}, options: RigOptions = {}): SourceRig {
    const rig = new SourceRig(connector, { brokers: [this.server.bootstrap], group, ...QUICK, ...config }, options)
    this.#sources.push(rig)
    return rig
  }

  tools(group: string, config: Readonly<Record<string, unknown>> = {}, options: ToolsOptions = {}): Promise<Tools> {
    return toolsOf(connector, { brokers: [this.server.bootstrap], group, ...QUICK, ...config }, options)
  }

  async emitter(group: string, config: Readonly<Record<string, unknown>> = {}): Promise<Emitter> {
    const emitter = await (await this.tools(group, config)).emitter?.(new AbortController().signal)
    if (emitter === undefined) throw new Error('Kafka takes events')
    return emitter
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#sources) await source[Symbol.asyncDispose]()
    await this.server[Symbol.asyncDispose]()
  }
}
