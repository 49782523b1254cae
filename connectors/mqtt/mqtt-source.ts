// The MQTT source: turns publishes into deliveries and settlements into acknowledgements, over as many connections as it
// takes. What outlives a connection (unsettled packets of a persistent session) lives here.

import { createHash } from 'node:crypto'

import type { IPublishPacket, QoS } from 'mqtt-packet'

import {
  DeliveryBuffer,
  HeaderWriter,
  HubError,
  asHubError,
  diffSubscriptions,
  redactUrl,
} from '../../src/sdk/index.ts'
import type {
  ClockTimer,
  ConfigOf,
  Delivery,
  EventMessage,
  ProbeReport,
  SettleResult,
  Source,
  SourceContext,
  Subscription,
} from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { MqttSession } from './session.ts'
import { openTransport } from './transport.ts'

type MqttConfig = ConfigOf<typeof manifest.fields>

/** A QoS 1 or 2 packet that the broker still holds for us. */
interface Held {
  readonly messageId: number
  readonly qos: QoS
  readonly topic: string
  readonly payload: Uint8Array
  /** The connection on which the broker last sent it. */
  session: MqttSession
}

const FILTERS_KEY = 'filters'
const REFUSED = 0x80

export class MqttSource implements Source {
  readonly #config: MqttConfig
  readonly #context: SourceContext
  readonly #address: string
  readonly #clientId: string
  #session: MqttSession | undefined
  #buffer: DeliveryBuffer<Delivery>
  /** By packet identifier; those of the session that the broker keeps. */
  readonly #held = new Map<number, Held>()
  /** QoS 2 identifiers that got their PUBREC and wait for PUBREL. */
  readonly #unreleased = new Set<number>()
  readonly #subscribed = new Map<string, Subscription>()
  /** Parsed before reading could stop. */
  #overflow: IPublishPacket[] = []
  #unsettled = 0
  #closed = false

  constructor(config: MqttConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#address = redactUrl(config.url)
    this.#clientId = config.clientId ?? `connector-hub-${context.instance}`
    this.#buffer = new DeliveryBuffer(context.unsettledMax)
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw new HubError('HUB_SOURCE_LOST', 'the source is closed')
    this.#session?.destroy()
    this.#dropBuffered()
    this.#buffer = new DeliveryBuffer(this.#context.unsettledMax)
    const session = await this.#open(this.#clientId, this.#config.clean, signal)
    this.#session = session
    if (session.sessionPresent) await this.#recallFilters()
    else this.#forgetSession()
    if (this.#closed) {
      await session.end()
      throw new HubError('HUB_SOURCE_LOST', 'the source was closed while it connected')
    }
  }

  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const session = this.#session
    if (session === undefined)
      throw new HubError('HUB_SOURCE_LOST', `${this.#address}: not connected`, { canRetry: true })
    const { added, removed } = diffSubscriptions(this.#subscribed, this.#filters(wanted))
    const filterOf = (subscription: Subscription): string => (subscription.kind === 'topic' ? subscription.topic : '')
    if (removed.length > 0) {
      await session.unsubscribe(removed.map(filterOf))
      for (const gone of removed) this.#subscribed.delete(filterOf(gone))
    }
    const codes = added.length === 0 ? [] : await session.subscribe(added.map(filterOf), this.#config.qos)
    signal.throwIfAborted()
    const refused: string[] = []
    for (const [index, subscription] of added.entries()) {
      if ((codes[index] ?? REFUSED) >= REFUSED) refused.push(filterOf(subscription))
      else this.#subscribed.set(filterOf(subscription), subscription)
    }
    if (added.length + removed.length > 0)
      await this.#context.state.set(FILTERS_KEY, JSON.stringify([...this.#subscribed.keys()]))
    // The other topics work; the refused ones are asked for again with every new wiring and every connect.
    if (refused.length > 0)
      this.#context.log.error(
        'mqtt.refused',
        `${this.#address} refused to subscribe to ${refused.join(', ')}. Grant the user read access to it`,
        { code: 'HUB_SOURCE_FORBIDDEN' },
      )
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const buffer = this.#buffer
    if (signal.aborted) buffer.end()
    else signal.addEventListener('abort', () => buffer.end(), { once: true })
    return buffer
  }

  /** With a session of its own, so that nothing of ours is consumed: subscribes, reads the broker's verdict, leaves. */
  async probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const session = await this.#open(`${this.#clientId}-probe-${process.pid}`, true, signal)
    try {
      const codes = topics.length === 0 ? [] : await session.subscribe(topics, 0)
      return {
        server: `${this.#address}, MQTT ${this.#config.protocolVersion === 5 ? '5.0' : '3.1.1'}`,
        topics: topics.map((topic, index) => {
          const code = codes[index] ?? REFUSED
          return {
            topic,
            ok: code < REFUSED,
            detail: code < REFUSED ? 'may be subscribed to' : `refused with code 0x${code.toString(16)}`,
          }
        }),
      }
    } finally {
      await session.end()
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const session = this.#session
    this.#session = undefined
    this.#dropBuffered()
    this.#buffer.end()
    this.#held.clear()
    await session?.end()
  }

  // ── connecting ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #open(clientId: string, clean: boolean, signal: AbortSignal): Promise<MqttSession> {
    const { connectTimeout, keepAlive, protocolVersion, sessionExpiry } = this.#config
    const deadline = new AbortController()
    const secure = /^(mqtts|ssl|tls|wss):/.test(this.#config.url)
    let session: MqttSession | undefined
    const late = (): HubError => {
      const what = session === undefined ? (secure ? 'no TLS connection' : 'no connection') : 'no answer to CONNECT'
      return new HubError(
        session === undefined && secure ? 'HUB_SOURCE_TLS' : 'HUB_SOURCE_UNREACHABLE',
        `${this.#address}: ${what} within ${connectTimeout} ms`,
        { canRetry: true },
      )
    }
    const timer: ClockTimer = this.#context.clock.after(connectTimeout, () => deadline.abort(late()))
    const both = AbortSignal.any([signal, deadline.signal])
    const onAbort = (): void => session?.destroy()
    both.addEventListener('abort', onAbort, { once: true })
    try {
      const stream = await openTransport({ url: this.#config.url, tls: this.#config.tls }, both)
      const keepAliveS = Math.ceil(keepAlive / 1000)
      session = new MqttSession(stream, {
        clock: this.#context.clock,
        keepAliveMs: keepAliveS * 1000,
        address: this.#address,
        connect: {
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: protocolVersion,
          clientId,
          clean,
          keepalive: keepAliveS,
          ...this.#credentials(),
          ...(protocolVersion === 5
            ? {
                properties: {
                  receiveMaximum: Math.min(65_535, this.#context.unsettledMax),
                  ...(clean ? {} : { sessionExpiryInterval: Math.ceil(sessionExpiry / 1000) }),
                },
              }
            : {}),
        },
      })
      const opened = session
      await opened.handshake({
        publish: (packet) => this.#published(opened, packet),
        released: (messageId) => this.#unreleased.delete(messageId),
        lost: (error) => this.#lost(opened, error),
      })
      return opened
    } catch (error) {
      session?.destroy()
      if (deadline.signal.aborted) throw deadline.signal.reason
      signal.throwIfAborted()
      throw asHubError(error, 'HUB_SOURCE_UNREACHABLE', true)
    } finally {
      timer.cancel()
      both.removeEventListener('abort', onAbort)
    }
  }

  /** Those of the address where the fields are not set. */
  #credentials(): { readonly username?: string; readonly password?: Buffer } {
    const url = new URL(this.#config.url)
    const username = this.#config.username ?? decodeURIComponent(url.username)
    const password = this.#config.password?.reveal() ?? decodeURIComponent(url.password)
    return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password: Buffer.from(password) }) }
  }

  #lost(session: MqttSession, error: HubError): void {
    if (session !== this.#session) return
    this.#session = undefined
    this.#dropBuffered()
    this.#buffer.fail(error)
  }

  /** Never handed out: the broker sends it again, or the session is gone. */
  #dropBuffered(): void {
    this.#overflow = []
    for (const { message } of this.#buffer.clear()) {
      this.#unsettled -= 1
      const id = Number(message.headers['X-Mqtt-Packet-Id'])
      if (message.headers['X-Mqtt-Qos'] !== '0') this.#held.delete(id)
    }
  }

  /** The broker began anew: nothing of before can be acknowledged any more. */
  #forgetSession(): void {
    this.#held.clear()
    this.#unreleased.clear()
    this.#subscribed.clear()
  }

  /** The broker kept our session: what an earlier process subscribed to still holds, wanted or not. */
  async #recallFilters(): Promise<void> {
    if (this.#subscribed.size > 0) return
    const text = await this.#context.state.get(FILTERS_KEY)
    if (text === undefined) return
    for (const topic of JSON.parse(text) as string[]) this.#subscribed.set(topic, { kind: 'topic', topic })
  }

  /** What is asked of the broker: the configured filters or the wanted ones, without those that another one covers. */
  #filters(wanted: readonly Subscription[]): readonly Subscription[] {
    const { topics, sharedGroup } = this.#config
    const plain =
      topics ?? wanted.flatMap((subscription) => (subscription.kind === 'topic' ? [subscription.topic] : []))
    // Brokers may send a message once per matching filter: a filter whose every topic another one matches is left out.
    const needed = plain.filter(
      (filter) =>
        filter.startsWith('$share/') ||
        !plain.some((other) => other !== filter && !other.startsWith('$share/') && covers(other, filter)),
    )
    return [...new Set(needed)].map((filter) => ({
      kind: 'topic',
      topic: sharedGroup === undefined || filter.startsWith('$share/') ? filter : `$share/${sharedGroup}/${filter}`,
    }))
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #published(session: MqttSession, packet: IPublishPacket): void {
    if (this.#closed) return
    if (packet.qos > 0 && this.#recognise(session, packet)) return
    if (this.#unsettled >= this.#context.unsettledMax) {
      this.#overflow.push(packet)
      session.pause(true)
      return
    }
    this.#accept(session, packet)
  }

  /** True when this packet is one that we already have, or have already passed on. */
  #recognise(session: MqttSession, packet: IPublishPacket): boolean {
    const messageId = packet.messageId as number
    if (packet.qos === 2 && this.#unreleased.has(messageId)) {
      session.acknowledge(messageId, 2)
      return true
    }
    const held = this.#held.get(messageId)
    if (held === undefined) return false
    if (!packet.dup || held.topic !== packet.topic || !bytes(packet.payload).equals(held.payload)) {
      // The identifier is in use for something else: the broker has let go of the earlier packet.
      this.#held.delete(messageId)
      return false
    }
    held.session = session
    return true
  }

  #accept(session: MqttSession, packet: IPublishPacket): void {
    this.#unsettled += 1
    const delivery =
      packet.qos === 0 ? this.#delivery(packet, undefined) : this.#delivery(packet, this.#hold(session, packet))
    this.#buffer.push(delivery)
    if (this.#unsettled >= this.#context.unsettledMax) session.pause(true)
  }

  #hold(session: MqttSession, packet: IPublishPacket): Held {
    const held: Held = {
      messageId: packet.messageId as number,
      qos: packet.qos,
      topic: packet.topic,
      payload: bytes(packet.payload),
      session,
    }
    this.#held.set(held.messageId, held)
    return held
  }

  #delivery(packet: IPublishPacket, held: Held | undefined): Delivery {
    let settled: Promise<SettleResult> | undefined
    return {
      message: this.#message(packet),
      settle: () => (settled ??= this.#settle(held)),
    }
  }

  #settle(held: Held | undefined): Promise<SettleResult> {
    this.#unsettled -= 1
    const result = held === undefined ? Promise.resolve<SettleResult>('settled') : this.#tell(held)
    this.#goOn()
    return result
  }

  #tell(held: Held): Promise<SettleResult> {
    if (this.#held.get(held.messageId) !== held) return Promise.resolve('stale')
    if (!held.session.over) {
      this.#acknowledge(held)
      return Promise.resolve('settled')
    }
    // Nobody is there to be told. The broker delivers it again with the session, or has forgotten it without.
    this.#held.delete(held.messageId)
    return Promise.resolve('stale')
  }

  #acknowledge(held: Held): void {
    this.#held.delete(held.messageId)
    if (held.qos === 2) this.#unreleased.add(held.messageId)
    held.session.acknowledge(held.messageId, held.qos)
  }

  /** There is room again: first what was read too much, then the socket. */
  #goOn(): void {
    const session = this.#session
    if (session === undefined) return
    while (this.#unsettled < this.#context.unsettledMax) {
      const packet = this.#overflow.shift()
      if (packet === undefined) {
        session.pause(false)
        return
      }
      this.#published(session, packet)
    }
  }

  #message(packet: IPublishPacket): EventMessage {
    const { properties, qos, messageId } = packet
    const body = bytes(packet.payload)
    const topic = this.#config.trimChannelKey ? packet.topic.slice(packet.topic.indexOf('/') + 1) : packet.topic
    const headers = new HeaderWriter('X-Mqtt-')
      .own('X-Mqtt-Qos', qos)
      .own('X-Mqtt-Retain', packet.retain ? 'true' : undefined)
      .own('X-Mqtt-Dup', packet.dup ? 'true' : undefined)
    if (qos > 0) headers.own('X-Mqtt-Packet-Id', messageId)
    if (properties !== undefined) {
      headers
        .own('X-Mqtt-Response-Topic', properties.responseTopic)
        .own('X-Mqtt-Correlation-Data', properties.correlationData)
      for (const [name, value] of Object.entries(properties.userProperties ?? {}))
        for (const one of Array.isArray(value) ? value : [value]) headers.broker(name, one)
    }
    const contentType = properties?.contentType
    return {
      id: this.#id(packet, body),
      source: this.#context.instance,
      topic,
      body,
      headers: headers.build(),
      orderingKey: topic,
      attempt: packet.dup ? 2 : 1,
      timestampMs: this.#context.clock.now(),
      ...(contentType === undefined || !/^[\x20-\x7e]+$/.test(contentType) ? {} : { contentType }),
    }
  }

  /**
   * MQTT names no message. Within a session a redelivery has the same packet identifier, topic and payload (MQTT 5.0 §4.4),
   * also after a restart of the hub; so these make the id. QoS 0 is never redelivered: a number will do.
   */
  #id({ qos, topic, messageId }: IPublishPacket, body: Uint8Array): string {
    if (qos === 0) return `${this.#context.instance}:${topic}@${this.#context.clock.now()}-${(this.#sequence += 1)}`
    const digest = createHash('sha1').update(this.#clientId).update(topic).update(body).digest('hex').slice(0, 16)
    return `${this.#context.instance}:${topic}#${messageId}-${digest}`
  }

  #sequence = 0
}

function bytes(payload: string | Buffer): Buffer {
  return typeof payload === 'string' ? Buffer.from(payload) : payload
}

/** Does every topic of filter `inner` match filter `outer` too? (MQTT 5.0 §4.7) */
export function covers(outer: string, inner: string): boolean {
  if (inner.startsWith('$') && /^[+#]/.test(outer)) return false
  const outerLevels = outer.split('/')
  const innerLevels = inner.split('/')
  for (const [index, level] of outerLevels.entries()) {
    if (level === '#') return true
    const other = innerLevels[index]
    if (other === undefined || other === '#' || (level !== '+' && level !== other)) return false
  }
  return outerLevels.length === innerLevels.length
}
