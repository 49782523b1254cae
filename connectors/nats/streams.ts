// Streams and durable consumers at the server: which there are for a subject, and what is made. Used by jetstream-source.ts;
// probe.ts and peek.ts only ask.

import { AckPolicy, DeliverPolicy, JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream'
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream'

import { HubError } from '../../src/sdk/index.ts'
import type { SourceContext } from '../../src/sdk/index.ts'
import type { NatsConfig } from './dial.ts'
import { addressesOf } from './problems.ts'
import { consumerName } from './subjects.ts'

const NANOS = 1_000_000
/** The description of our own streams. */
const CREATED = 'created by connector-hub'

/** A consumer by the names that its server knows it by. */
export interface Place {
  readonly stream: string
  readonly consumer: string
}

export type StreamsContext = Pick<SourceContext, 'instance' | 'log'>

export class Streams {
  readonly #config: NatsConfig
  readonly #context: StreamsContext
  readonly #durable: string

  /** @param durable begins the names of consumers */
  constructor(config: NatsConfig, context: StreamsContext, durable: string) {
    this.#config = config
    this.#context = context
    this.#durable = durable
  }

  /** The names of those that have the subject, of the configured one only where there is one. */
  async of(manager: JetStreamManager, subject: string): Promise<string[]> {
    const { stream } = this.#config
    const found: string[] = []
    for await (const name of manager.streams.names(subject)) if (stream === undefined || name === stream) found.push(name) // prettier-ignore
    return found
  }

  /**
   * A consumer in every stream that has the subject; made where it is missing.
   * @param known streams that are left out
   * @throws HubError HUB_SOURCE_FORBIDDEN where there is no stream and none may be made
   */
  async places(
    manager: JetStreamManager,
    subject: string,
    known: ReadonlySet<string> = new Set(),
  ): Promise<readonly Place[]> {
    const all = await this.of(manager, subject)
    if (all.length === 0) all.push(await this.#create(manager, subject))
    const streams = all.filter((stream) => !known.has(stream))
    const consumer = consumerName(this.#durable, subject)
    for (const stream of streams) await this.#ensure(manager, { stream, consumer }, subject)
    return streams.map((stream) => ({ stream, consumer }))
  }

  /** Why a subject that no stream has will not get one, and how to make it; undefined where `places` makes one. */
  async problem(manager: JetStreamManager, subject: string): Promise<HubError | undefined> {
    const { createStream, stream } = this.#config
    const existing =
      createStream || stream !== undefined ? await this.#find(manager, this.#nameFor(subject)) : undefined
    // The stream of somebody else is not changed, not even where we may create.
    if (createStream && (existing === undefined || existing.description === CREATED)) return undefined
    return this.#missing(subject, stream === undefined ? undefined : existing)
  }

  /** Says how to make it. */
  #missing(subject: string, existing: StreamConfig | undefined): HubError {
    const { stream, servers } = this.#config
    const where = stream === undefined ? 'no stream has' : `the stream ${stream} ${existing === undefined ? 'is not there, which should have' : 'does not have'}` // prettier-ignore
    const command =
      existing === undefined
        ? `nats stream add ${stream ?? 'EVENTS'} --subjects "${subject}" --defaults`
        : `nats stream edit ${stream} --subjects "${[...existing.subjects, subject].join(',')}"`
    return new HubError('HUB_SOURCE_FORBIDDEN', `${addressesOf(servers)}: ${where} the subject ${subject}`, {
      hint: existing === undefined ? `Create it: ${command}. Or set createStream: true.` : `Add it: ${command}.`,
    })
  }

  #nameFor(subject: string): string {
    return this.#config.stream ?? consumerName('hub', subject)
  }

  async #create(manager: JetStreamManager, subject: string): Promise<string> {
    const problem = await this.problem(manager, subject)
    if (problem !== undefined) throw problem
    const name = this.#nameFor(subject)
    const existing = await this.#find(manager, name)
    if (existing === undefined) await manager.streams.add({ name, subjects: [subject], description: CREATED })
    else await manager.streams.update(name, { subjects: [...existing.subjects, subject] })
    this.#context.log.info('nats.created', `${existing === undefined ? 'created the stream' : 'added to the stream'} ${name}: ${subject}`) // prettier-ignore
    return name
  }

  async #find(manager: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
    try {
      return (await manager.streams.info(name)).config
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  async #ensure(manager: JetStreamManager, { stream, consumer }: Place, subject: string): Promise<void> {
    const ackWait = this.#config.ackWait * NANOS
    try {
      const { config } = await manager.consumers.info(stream, consumer)
      if (config.ack_wait !== ackWait) await manager.consumers.update(stream, consumer, { ack_wait: ackWait })
    } catch (error) {
      if (!isMissing(error)) throw error
      await manager.consumers.add(stream, {
        durable_name: consumer,
        description: `connector-hub ${this.#context.instance}: ${subject}`,
        filter_subject: subject,
        ack_policy: AckPolicy.Explicit,
        ack_wait: ackWait,
        deliver_policy: this.#config.deliver === 'all' ? DeliverPolicy.All : DeliverPolicy.New,
        max_deliver: -1,
        // All replicas together; each bounds itself by what it pulls.
        max_ack_pending: -1,
      })
    }
  }
}

/** The server has no such consumer, or not even its stream. */
export function isMissing(error: unknown): boolean {
  const { ConsumerNotFound, StreamNotFound } = JetStreamApiCodes
  return error instanceof JetStreamApiError && (error.code === ConsumerNotFound || error.code === StreamNotFound)
}
