// What a server says of the subjects that functions want, and whether this user may read them. Makes nothing and takes nothing.
// Called by the sources.

import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { HubError, asHubError, refusedTopic } from '../../src/sdk/index.ts'
import type { Clock, ProbeReport, TopicReport } from '../../src/sdk/index.ts'
import { confirmed } from './confirmed.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { openManager } from './manager.ts'
import { queueGroupOf } from './manifest.ts'
import { addressesOf, forbiddenProblem } from './problems.ts'
import { Refusals } from './refusals.ts'
import { isMissing } from './streams.ts'
import type { Place, Streams } from './streams.ts'
import { consumerName } from './subjects.ts'

export interface StreamsProbe {
  readonly config: NatsConfig
  readonly streams: Streams
  /** Begins the names of consumers. */
  readonly durable: string
  readonly topics: readonly string[]
}

/** Not JSON: where it is a request, the server refuses it and does nothing. */
const NONSENSE = '{'
/** A sign of life for no message: none has the sequence 0. */
const IN_PROGRESS = '+WPI'

export async function probeStreams(options: StreamsProbe, signal: AbortSignal): Promise<ProbeReport> {
  const { config, durable, topics } = options
  const nats = await dial(config, `${durable}-probe`, signal)
  try {
    const manager = await openManager(nats, config)
    const refusals = new Refusals(nats)
    const reports: TopicReport[] = []
    for (const topic of config.topics ?? topics) {
      signal.throwIfAborted()
      reports.push(await probeSubject(options, { nats, manager, refusals }, topic))
    }
    return { server: `${serverOf(nats)} with JetStream`, topics: reports }
  } finally {
    await nats.close()
  }
}

interface Asking {
  readonly nats: NatsConnection
  readonly manager: JetStreamManager
  readonly refusals: Refusals
}

async function probeSubject(
  { config, streams, durable }: StreamsProbe,
  asking: Asking,
  topic: string,
): Promise<TopicReport> {
  try {
    const found = await streams.of(asking.manager, topic)
    if (found.length === 0) {
      const problem = await streams.problem(asking.manager, topic)
      if (problem === undefined) return { topic, ok: true, detail: 'in no stream yet; the connector makes one' }
      return { topic, ok: false, detail: problem.message, fix: problem.hint }
    }
    const consumer = consumerName(durable, topic)
    for (const stream of found) await mayConsume(asking, { stream, consumer }, topic)
    return { topic, ok: true, detail: `in ${found.join(', ')}` }
  } catch (error) {
    const problem = forbiddenProblem(error, addressesOf(config.servers)) ?? asHubError(error, 'HUB_SOURCE_PROTOCOL')
    return refusedTopic(topic, problem)
  }
}

/** Asks for nothing that the server would do: that it refuses nothing is the answer. */
async function mayConsume(
  { nats, manager, refusals }: Asking,
  { stream, consumer }: Place,
  subject: string,
): Promise<void> {
  // prettier-ignore
  const isThere = await manager.consumers.info(stream, consumer).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false
      throw error
    },
  )
  const create = `$JS.API.CONSUMER.CREATE.${stream}.${consumer}.${subject}`
  const tried: readonly (readonly [subject: string, payload: string])[] = [
    ...(isThere ? [] : [[create, NONSENSE] as const]),
    [`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, NONSENSE],
    [`$JS.ACK.${stream}.${consumer}.1.0.0.0.0`, IN_PROGRESS],
  ]
  const answers = tried.map(([api, payload]) => {
    nats.publish(api, payload)
    return refusals.guardUnanswered(api, nats.flush())
  })
  const [refused] = (await Promise.allSettled(answers)).filter((answer) => answer.status === 'rejected')
  if (refused !== undefined) throw refused.reason
}

export interface CoreProbe {
  readonly config: NatsConfig
  /** What the servers list the connection as. */
  readonly name: string
  readonly clock: Clock
  readonly topics: readonly string[]
}

/** With subscriptions outside of the group, which take nothing from its members. */
export async function probeCore({ config, name, clock, topics }: CoreProbe, signal: AbortSignal): Promise<ProbeReport> {
  const nats = await dial(config, name, signal)
  try {
    const refused = new Map<string, Error>()
    const asked = config.topics ?? topics
    for (const topic of asked)
      nats.subscribe(topic, { callback: (error) => void (error !== null && refused.set(topic, error)) })
    await confirmed(nats, config, clock)
    const reports = asked.map((topic): TopicReport => {
      const why = refused.get(topic)
      return why === undefined ? { topic, ok: true, detail: 'may be subscribed to' } : refusedTopic(topic, refusal(config, topic, why)) // prettier-ignore
    })
    return { server: serverOf(nats), topics: reports }
  } finally {
    await nats.close()
  }
}

function refusal(config: NatsConfig, topic: string, cause: Error): HubError {
  const group = queueGroupOf(config)
  const hint = group === undefined ? '' : ` A permission for the queue group ${group} alone is enough for the connector, but cannot be tested without taking messages from the group.` // prettier-ignore
  return new HubError('HUB_SOURCE_FORBIDDEN', `${addressesOf(config.servers)}: the user may not subscribe to ${topic}`, { cause, hint: `Allow the user to subscribe to ${topic}.${hint}` }) // prettier-ignore
}

/** E.g. `127.0.0.1:4222, NATS 2.15.0`. */
function serverOf(nats: NatsConnection): string {
  return `${nats.getServer()}, NATS ${nats.info?.version ?? ''}`
}
