// Copies of what is published from now on, over a session of its own that ends with the connection, outside of every shared
// group. Called by tools.ts.

import type { IPublishPacket } from 'mqtt-packet'

import { TopicIndex, matchPattern, redactUrl } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, Subscription, ToolContext } from '../../src/sdk/index.ts'
import { CopyFilter } from './copies.ts'
import { clientIdOf, dial, ownClientId } from './dial.ts'
import type { MqttConfig } from './dial.ts'
import { contentDigest, sessionTag, toEvent } from './event.ts'
import { covers, isShared, wantedFilters } from './filters.ts'
import { Inbox } from './inbox.ts'
import { REFUSED_FROM, subackText, subscribeProblem } from './problems.ts'
import type { MqttSession } from './session.ts'

/** Received and not shown yet; beyond that the broker keeps them (MQTT 5), or is not read. */
const WINDOW = 256

export class MqttPeek implements Peek {
  readonly means: string
  readonly caution: string
  readonly #config: MqttConfig
  readonly #context: ToolContext
  readonly #clientId = ownClientId('peek')
  readonly #inbox: Inbox
  readonly #copies = new CopyFilter()
  /** Brings stored messages: only what is not shared does. */
  readonly #unshared = new TopicIndex<true>('mqtt')
  /** What a hub would ask for, and of that what is asked for here. */
  readonly #wanted: readonly string[]
  readonly #filters: readonly string[]
  readonly #signal: AbortSignal
  #session: MqttSession | undefined
  #sequence = 0
  readonly #onAbort = (): void => this.#inbox.deliveries.end()

  private constructor(config: MqttConfig, context: ToolContext, wanted: readonly Subscription[], signal: AbortSignal) {
    this.#config = config
    this.#context = context
    this.#signal = signal
    this.#wanted = wantedFilters(wanted, config)
    const plain = this.#wanted.map((filter) => matchPattern('mqtt', filter))
    this.#filters = wantedFilters([], { topics: plain, sharedGroup: undefined })
    for (const filter of this.#wanted) if (!isShared(filter)) this.#unshared.add(filter, true)
    this.#copies.use(this.#filters, true)
    this.#inbox = new Inbox({
      unsettledMax: WINDOW,
      inOrder: false,
      digestOf: contentDigest,
      isCopy: ({ topic, properties }, digest) => this.#copies.isCopy(topic, digest, [properties?.subscriptionIdentifier ?? []].flat()), // prettier-ignore
      toEvent: (packet, digest) => this.#toEvent(packet, digest),
      dropped: () => context.log.warn('mqtt.dropped', 'a message of QoS 0 is not shown: they come faster than they can be'), // prettier-ignore
    })
    this.means = `copies, by subscriptions of its own as client ${this.#clientId}, whose session ends with the connection: sessions and shared groups of the hub get every message all the same`
    this.caution = cautionOf(config, context.instance, this.#wanted)
  }

  /** @throws HubError HUB_SOURCE_*; HUB_SOURCE_FORBIDDEN when the broker refuses all of it */
  static async open(
    config: MqttConfig,
    context: ToolContext,
    wanted: readonly Subscription[],
    signal: AbortSignal,
  ): Promise<MqttPeek> {
    const peek = new MqttPeek(config, context, wanted, signal)
    try {
      await peek.#connect()
      signal.throwIfAborted()
      signal.addEventListener('abort', peek.#onAbort, { once: true })
      return peek
    } catch (error) {
      await peek[Symbol.asyncDispose]()
      throw error
    }
  }

  async *events(): AsyncIterable<EventMessage> {
    for await (const delivery of this.#inbox.deliveries) {
      // Acknowledges the copy of a session of our own.
      await delivery.settle({ kind: 'ack' })
      yield delivery.message
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#inbox.close()
    await this.#session?.end()
  }

  async #connect(): Promise<void> {
    const { clock } = this.#context
    const options = { config: this.#config, clock, clientId: this.#clientId, clean: true, receiveMaximum: WINDOW }
    const session = await dial(
      options,
      (opened) => ({
        connected: () => this.#inbox.begin(opened, false),
        publish: (packet) => this.#take(opened, packet),
        released: (messageId) => this.#inbox.released(messageId),
        lost: (error) => this.#inbox.lost(error),
      }),
      this.#signal,
    )
    this.#session = session
    await this.#subscribe(session)
  }

  async #subscribe(session: MqttSession): Promise<void> {
    const requests = this.#filters.map((filter, index) => ({
      filter,
      qos: this.#config.qos,
      identifier: session.identifiersAvailable ? index + 1 : undefined,
      // Stored messages are not for shared subscriptions (MQTT 5.0 §4.8.2).
      retainHandling: this.#wanted.some((one) => !isShared(one) && covers(filter, one)) ? (1 as const) : (2 as const),
    }))
    const codes = await session.subscribe(requests)
    const refused = this.#filters.flatMap((filter, index) => {
      const code = codes[index] ?? REFUSED_FROM
      return code < REFUSED_FROM ? [] : [`${filter} (${subackText(code)})`]
    })
    if (refused.length === 0) return
    const problem = subscribeProblem(redactUrl(this.#config.url), refused)
    if (refused.length === this.#filters.length) throw problem
    this.#context.log.error('mqtt.refused', `${problem.message}. ${problem.hint}`, { code: problem.code })
  }

  #take(session: MqttSession, packet: IPublishPacket): void {
    if (!packet.retain || this.#unshared.find(packet.topic).length > 0) this.#inbox.take(packet)
    else if (packet.qos > 0) session.acknowledge(packet.messageId as number, packet.qos)
  }

  #toEvent(packet: IPublishPacket, digest: string): EventMessage {
    return toEvent(packet, digest, {
      instance: this.#context.instance,
      session: sessionTag(this.#clientId),
      trimChannelKey: this.#config.trimChannelKey,
      nowMs: this.#context.clock.now(),
      sequence: (this.#sequence += 1),
    })
  }
}

function cautionOf(config: MqttConfig, instance: string, wanted: readonly string[]): string {
  const stored = wanted.every(isShared) ? '' : ', and what is stored (retained), as a new subscriber gets it'
  const isKept = !config.clean && config.qos > 0
  const kept = isKept ? ` What the broker keeps for the session ${clientIdOf(config, instance)} cannot be looked at.` : '' // prettier-ignore
  return `Only what is published from now on is seen${stored}.${kept} Packet identifiers, and ids with them, are those of this look.` // prettier-ignore
}
