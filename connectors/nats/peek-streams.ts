// What waits in streams for the hub's durable consumers, and then what comes, read beside them. Called by tools.ts.

import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { HubError, asHubError, errorText, orAborted, sleep } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, Subscription, ToolContext } from '../../src/sdk/index.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { storedEvent } from './event.ts'
import { durableOf } from './manifest.ts'
import { openManager } from './manager.ts'
import { addressesOf, forbiddenProblem, lostProblem, reportRefusals } from './problems.ts'
import { cautionOf, standingOf } from './stands.ts'
import type { Standing } from './stands.ts'
import { StreamReader } from './stream-reader.ts'
import type { StreamAccess } from './stream-reader.ts'
import { Streams } from './streams.ts'
import { consumerName, wantedSubjects } from './subjects.ts'

/** How often what is new is asked for. */
const LOOK_MS = 200

export class StreamsPeek implements Peek {
  readonly means =
    'read from the streams by sequence, from where the durable consumers of the hub stand: no consumer is made, nothing is acknowledged or counted as delivered'
  readonly caution: string | undefined
  readonly #config: NatsConfig
  readonly #context: ToolContext
  readonly #nats: NatsConnection
  readonly #readers: ReadonlyMap<string, StreamReader>
  readonly #end = new AbortController()
  readonly #stop: AbortSignal

  private constructor(
    config: NatsConfig,
    context: ToolContext,
    { nats, manager }: { readonly nats: NatsConnection; readonly manager: JetStreamManager },
    standings: ReadonlyMap<string, readonly Standing[]>,
    signal: AbortSignal,
  ) {
    this.#config = config
    this.#context = context
    this.#nats = nats
    this.#stop = AbortSignal.any([this.#end.signal, signal])
    this.#readers = new Map([...standings].map(([stream, stands]) => [stream, new StreamReader(accessTo(manager, stream), stands)])) // prettier-ignore
    this.caution = cautionOf([...standings.values()].flat())
  }

  /** @throws HubError HUB_SOURCE_*; HUB_SOURCE_FORBIDDEN when nothing of what is wanted can be looked at */
  static async open(
    config: NatsConfig,
    context: ToolContext,
    wanted: readonly Subscription[],
    signal: AbortSignal,
  ): Promise<StreamsPeek> {
    const durable = durableOf(config, context.instance)
    const nats = await dial(config, `${durable}-peek`, signal)
    try {
      const manager = await orAborted(openManager(nats, config), signal)
      const subjects = wantedSubjects(wanted, config.topics)
      const look = { manager, streams: new Streams(config, context, durable), durable, config }
      const standings = await orAborted(standingsOf(subjects, look, context), signal)
      return new StreamsPeek(config, context, { nats, manager }, standings, signal)
    } catch (error) {
      await nats.close()
      signal.throwIfAborted()
      throw error
    }
  }

  async *events(): AsyncIterable<EventMessage> {
    const { instance, clock } = this.#context
    try {
      while (!this.#stop.aborted) {
        for (const [stream, reader] of this.#readers)
          for await (const { message, again } of reader.upToNow()) {
            if (this.#stop.aborted) return
            yield storedEvent(message, { instance, stream, attempt: again ? 2 : 1 }, this.#config.orderingToken)
          }
        await sleep(clock, LOOK_MS, this.#stop)
      }
    } catch (error) {
      if (this.#stop.aborted) return
      const addresses = addressesOf(this.#config.servers)
      throw forbiddenProblem(error, addresses) ?? lostProblem(addresses, errorText(error), error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort()
    await this.#nats.close()
  }
}

interface Look {
  readonly manager: JetStreamManager
  readonly streams: Streams
  readonly durable: string
  readonly config: NatsConfig
}

/** By stream. What cannot be looked at is said, and the rest is. */
async function standingsOf(
  subjects: readonly string[],
  look: Look,
  { log }: ToolContext,
): Promise<ReadonlyMap<string, readonly Standing[]>> {
  const addresses = addressesOf(look.config.servers)
  const standings = new Map<string, Standing[]>()
  const problems: HubError[] = []
  for (const subject of subjects) {
    try {
      for (const standing of await standingsOfOne(subject, look)) {
        const known = standings.get(standing.stream)
        if (known === undefined) standings.set(standing.stream, [standing])
        else known.push(standing)
      }
    } catch (error) {
      problems.push(forbiddenProblem(error, addresses) ?? asHubError(error, 'HUB_SOURCE_FORBIDDEN'))
    }
  }
  reportRefusals(problems, subjects.length, log)
  return standings
}

async function standingsOfOne(
  subject: string,
  { manager, streams, durable, config }: Look,
): Promise<readonly Standing[]> {
  const found = await streams.of(manager, subject)
  if (found.length === 0)
    throw (
      (await streams.problem(manager, subject)) ??
      new HubError('HUB_TOPIC_MISSING', `${addressesOf(config.servers)}: no stream has the subject ${subject} yet`, { hint: 'Start the hub, which makes it (createStream).' }) // prettier-ignore
    )
  return await Promise.all(
    found.map(async (stream) => {
      const standing = await standingOf(manager, { stream, consumer: consumerName(durable, subject) }, subject, config)
      // Now, and not in the middle: whether messages may be read.
      await accessTo(manager, stream).next(Math.max(1, standing.next), subject)
      return standing
    }),
  )
}

function accessTo(manager: JetStreamManager, stream: string): StreamAccess {
  return {
    last: async () => (await manager.streams.info(stream)).state.last_seq,
    next: (seq, filter) => {
      // The client's type lacks what the server reads since 2.9.
      const query = { seq, next_by_subj: filter }
      return manager.streams.getMessage(stream, query)
    },
  }
}
