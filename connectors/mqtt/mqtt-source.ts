// The MQTT source: keeps one connection's subscriptions at what is wanted and hands out what arrives. What outlives a
// connection is in the inbox; what a connection is made of in dial.ts and session.ts.

import { redactUrl } from '../../src/sdk/index.ts'
import type {
  Delivery,
  HubError,
  ProbeReport,
  Source,
  SourceContext,
  SourceCounter,
  Subscription,
} from '../../src/sdk/index.ts'
import { CopyFilter } from './copies.ts'
import { clientIdOf, dial } from './dial.ts'
import type { MqttConfig } from './dial.ts'
import { contentDigest, sessionTag, toEvent } from './event.ts'
import { wantedFilters } from './filters.ts'
import { Inbox } from './inbox.ts'
import { REFUSED_FROM, lostProblem, subackText, subscribeProblem, takenOverProblem } from './problems.ts'
import type { Peer } from './problems.ts'
import { probe } from './probe.ts'
import type { MqttSession, SessionHandlers } from './session.ts'

const FILTERS_KEY = 'filters'
const RECEIVE_MAXIMUM_MAX = 65_535
/** A connection that the broker closes without a word so soon after it accepted it, so often in a row. */
const SHORT_LIFE_MS = 5000
const SHORT_LIVES_MAX = 3

export class MqttSource implements Source {
  readonly #config: MqttConfig
  readonly #context: SourceContext
  readonly #peer: Peer
  readonly #inbox: Inbox
  readonly #copies = new CopyFilter()
  readonly #copyCounter: SourceCounter
  readonly #dropCounter: SourceCounter
  #session: MqttSession | undefined
  #connectedAtMs = 0
  #shortLives = 0
  /** What the broker may hold for our session, from earlier connections too. */
  readonly #known = new Set<string>()
  /** What this connection has asked for and been granted. */
  readonly #granted = new Set<string>()
  /** By filter, for the life of the source. */
  readonly #identifiers = new Map<string, number>()
  #reported = ''
  /** Filters that the broker grants less of than was asked for; said once. */
  readonly #less = new Set<string>()
  #sequence = 0
  #closed = false

  constructor(config: MqttConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#peer = {
      address: redactUrl(config.url),
      version: config.protocolVersion === 4 ? 4 : 5,
      clientId: clientIdOf(config, context.instance),
    }
    this.#copyCounter = context.counter(
      'mqtt_copies_total',
      'Messages that arrived again by an overlapping subscription and were not handed out.',
    )
    this.#dropCounter = context.counter(
      'mqtt_dropped_total',
      'QoS 0 messages dropped because too many were unsettled while the broker was asked for subscriptions.',
    )
    const session = sessionTag(this.#peer.clientId)
    this.#inbox = new Inbox({
      unsettledMax: context.unsettledMax,
      inOrder: config.ackOrder === 'received',
      digestOf: contentDigest,
      isCopy: ({ topic, properties }, digest) => {
        const isCopy = this.#copies.isCopy(topic, digest, [properties?.subscriptionIdentifier ?? []].flat())
        if (isCopy) this.#copyCounter.add(1)
        return isCopy
      },
      toEvent: (packet, digest) =>
        toEvent(packet, digest, {
          instance: context.instance,
          session,
          trimChannelKey: config.trimChannelKey,
          nowMs: context.clock.now(),
          sequence: (this.#sequence += 1),
        }),
      dropped: () => this.#dropCounter.add(1),
    })
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw lostProblem('the source is closed', this.#peer)
    this.#session?.destroy()
    this.#granted.clear()
    const { clean } = this.#config
    const { clientId } = this.#peer
    const known = await this.#recall()
    const session = await this.#dial(clientId, clean, signal, (opened) => ({
      connected: () => this.#begin(opened, known),
      publish: (packet) => this.#inbox.take(packet),
      released: (messageId) => this.#inbox.released(messageId),
      lost: (error) => this.#lost(opened, error),
    }))
    if (this.#closed) {
      await session.end()
      throw lostProblem('the source was closed while it connected', this.#peer)
    }
  }

  /**
   * Asks for everything anew after each connect: a broker that was restored from an old copy has the session but perhaps not
   * its latest subscriptions. What a refused filter would bring is reported and missing, the others work.
   * @throws HubError HUB_SOURCE_FORBIDDEN when the broker refuses every filter
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const session = this.#session
    if (session === undefined) throw lostProblem('not connected', this.#peer)
    const filters = wantedFilters(wanted, this.#config)
    const added = filters.filter((filter) => !this.#granted.has(filter))
    // Added before others are removed: a topic that both bring is never without a subscription.
    const refused = added.length === 0 ? [] : await this.#add(session, added)
    signal.throwIfAborted()
    const removed = [...this.#known].filter((filter) => !filters.includes(filter))
    if (removed.length > 0) await this.#remove(session, removed)
    this.#report(refused, filters.length)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const { deliveries } = this.#inbox
    if (signal.aborted) deliveries.end()
    else signal.addEventListener('abort', () => deliveries.end(), { once: true })
    return deliveries
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    return probe({ config: this.#config, clock: this.#context.clock, peer: this.#peer, topics }, signal)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#inbox.close()
    const session = this.#session
    this.#session = undefined
    await session?.end()
  }

  #dial(
    clientId: string,
    clean: boolean,
    signal: AbortSignal,
    handlers: (session: MqttSession) => SessionHandlers,
  ): Promise<MqttSession> {
    const { clock, unsettledMax } = this.#context
    const receiveMaximum = Math.min(RECEIVE_MAXIMUM_MAX, unsettledMax)
    return dial({ config: this.#config, clock, clientId, clean, receiveMaximum }, handlers, signal)
  }

  #begin(session: MqttSession, known: readonly string[]): void {
    this.#session = session
    this.#connectedAtMs = this.#context.clock.monotonic()
    this.#inbox.begin(session, session.sessionPresent)
    this.#known.clear()
    if (session.sessionPresent) for (const filter of known) this.#known.add(filter)
    else if (known.length > 0) this.#sayLost()
    this.#copies.use(this.#known, true)
  }

  #sayLost(): void {
    const { clean, qos } = this.#config
    if (clean || qos === 0) return
    const { address, clientId } = this.#peer
    this.#context.log.warn('mqtt.session-lost', `${address} has the session ${clientId} no more: what it kept for us since the last connection is lost. Let the broker store its sessions on a disk, and set sessionExpiry to longer than the hub is ever away`) // prettier-ignore
  }

  #lost(session: MqttSession, error: HubError): void {
    if (session !== this.#session) return
    this.#session = undefined
    this.#inbox.lost(this.#explained(error))
  }

  /** MQTT 3.1.1 cannot say that another client took over, and Mosquitto 2.0.11 does not; it looks like this. */
  #explained(error: HubError): HubError {
    const isShort = this.#context.clock.monotonic() - this.#connectedAtMs < SHORT_LIFE_MS
    this.#shortLives = isShort && error.details['hungUp'] === true ? this.#shortLives + 1 : 0
    return this.#shortLives >= SHORT_LIVES_MAX
      ? takenOverProblem(`closed soon after each of ${this.#shortLives} connects; probably `, this.#peer)
      : error
  }

  /** What an earlier connection, perhaps of an earlier process, subscribed to. */
  async #recall(): Promise<readonly string[]> {
    if (this.#known.size > 0) return [...this.#known]
    const text = await this.#context.state.get(FILTERS_KEY)
    const parsed: unknown = text === undefined ? [] : JSON.parse(text)
    return Array.isArray(parsed) ? parsed.filter((filter) => typeof filter === 'string') : []
  }

  /** Written before the broker is asked, so that no subscription is ever forgotten; one too many does no harm. */
  async #remember(): Promise<void> {
    await this.#context.state.set(FILTERS_KEY, JSON.stringify([...this.#known]))
  }

  /** @returns the refused filters, each with the broker's reason. */
  async #add(session: MqttSession, filters: readonly string[]): Promise<string[]> {
    const isNew = filters.some((filter) => !this.#known.has(filter))
    for (const filter of filters) this.#known.add(filter)
    if (isNew) await this.#remember()
    this.#copies.use(this.#known, false)
    const codes = await session.subscribe(
      filters.map((filter) => ({
        filter,
        qos: this.#config.qos,
        identifier: session.identifiersAvailable ? this.#identifierOf(filter) : undefined,
        retainHandling: 1,
      })),
    )
    const refused: string[] = []
    for (const [index, filter] of filters.entries()) {
      const code = codes[index] ?? REFUSED_FROM
      if (code < REFUSED_FROM) this.#granted.add(filter)
      else refused.push(`${filter} (${subackText(code)})`)
      if (code < this.#config.qos) this.#sayLess(filter, code)
    }
    return refused
  }

  #sayLess(filter: string, code: number): void {
    if (this.#less.has(filter)) return
    this.#less.add(filter)
    this.#context.log.warn('mqtt.less-qos', `${this.#peer.address} brings ${filter} with QoS ${code} only, where ${this.#config.qos} was asked for: the guarantee is that of QoS ${code}. Allow more at the broker, or set qos: ${code}`) // prettier-ignore
  }

  async #remove(session: MqttSession, filters: readonly string[]): Promise<void> {
    await session.unsubscribe(filters)
    for (const filter of filters) {
      this.#known.delete(filter)
      this.#granted.delete(filter)
    }
    this.#copies.use(this.#known, true)
    await this.#remember()
  }

  #identifierOf(filter: string): number {
    let identifier = this.#identifiers.get(filter)
    if (identifier === undefined) this.#identifiers.set(filter, (identifier = this.#identifiers.size + 1))
    return identifier
  }

  /** Refused filters are asked for again with every new wiring and every connect; reported when they change. */
  #report(refused: readonly string[], filters: number): void {
    const text = refused.join(', ')
    const isNews = text !== this.#reported
    this.#reported = text
    if (text === '') return
    const problem = subscribeProblem(this.#peer.address, refused)
    if (refused.length === filters) throw problem
    if (isNews) this.#context.log.error('mqtt.refused', `${problem.message}. ${problem.hint}`, { code: problem.code })
  }
}
