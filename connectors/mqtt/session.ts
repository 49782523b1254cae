// One MQTT connection: handshake, subscriptions, keep-alive, and acknowledgements exactly when it is told to. Knows nothing of
// deliveries, and of what is published only how to send it; made anew for every connect by dial.ts.

import type { Duplex } from 'node:stream'

import { generate, parser } from 'mqtt-packet'
import type {
  IConnackPacket,
  IConnectPacket,
  IPubackPacket,
  IPubcompPacket,
  IPublishPacket,
  IPubrecPacket,
  IPubrelPacket,
  ISubackPacket,
  IUnsubackPacket,
  Packet,
  QoS,
} from 'mqtt-packet'

import { HubError, errorText } from '../../src/sdk/index.ts'
import type { Clock, ClockTimer } from '../../src/sdk/index.ts'
import { connackProblem, disconnectProblem, hungUpProblem, lostProblem, unansweredProblem } from './problems.ts'
import type { Peer } from './problems.ts'

export interface SessionOptions {
  readonly connect: IConnectPacket
  readonly clock: Clock
  /** How long the broker may take for SUBACK and UNSUBACK. Milliseconds. */
  readonly answerMs: number
  /** For error messages; without credentials. */
  readonly address: string
}

export interface SessionHandlers {
  /** Accepted. Called before anything else, which may stand in the same piece as CONNACK. */
  connected(): void
  publish(packet: IPublishPacket): void
  /** The broker gives up its copy of a QoS 2 message (PUBREL). */
  released(messageId: number): void
  /** The broker's answer to what was published. Absent: nothing is published. */
  answered?(packet: PublishAnswer): void
  /** Once, when an accepted connection is over by no wish of ours. */
  lost(error: HubError): void
}

export interface FilterRequest {
  readonly filter: string
  readonly qos: QoS
  /** MQTT 5 only: comes back with every message that this subscription brings. */
  readonly identifier: number | undefined
  /** MQTT 5 only: 0 stored messages with every SUBSCRIBE, 1 only for a new subscription, 2 never. */
  readonly retainHandling: 0 | 1 | 2
}

export type PublishAnswer = IPubackPacket | IPubrecPacket | IPubcompPacket
type Answer = ISubackPacket | IUnsubackPacket

const EMPTY = Buffer.alloc(0)
/** First bytes: packet type and flags. */
const PUBACK = 0x40
const PUBREC = 0x50
const NO_LIMITS = { unconfirmedMax: 65_535, qosMax: 2, bytesMax: 268_435_460 } as const
/** Requests on their way at once. */
const PIPELINE_MAX = 500
const FILTERS_A_PACKET_MAX = 100
/** Between two writes while nothing is read. */
const PROBE_MS = 1000
/** For the broker to close after DISCONNECT. */
const END_MS = 1000

export class MqttSession {
  readonly #options: SessionOptions
  readonly #stream: Duplex
  readonly version: 4 | 5
  readonly #peer: Peer
  readonly #parser
  #handlers: SessionHandlers | undefined
  #connack: { resolve(): void; reject(error: HubError): void } | undefined
  readonly #requests = new Map<number, { resolve(packet: Answer): void; reject(error: HubError): void }>()
  #nextId = 1
  #keepAlive: ClockTimer | undefined
  #probe: ClockTimer | undefined
  #answerDue: ClockTimer | undefined
  #lastHeardAt: number
  #over = false
  readonly #acknowledged: number[] = []
  #flush: NodeJS.Immediate | undefined
  #pauseWished = false
  #paused = false
  /** Set by the handshake. */
  sessionPresent = false
  identifiersAvailable = false
  /** What the broker takes from us (MQTT 5.0 §3.2.2.3): messages that it has not confirmed, QoS, bytes of a packet. */
  limits: { readonly unconfirmedMax: number; readonly qosMax: QoS; readonly bytesMax: number } = NO_LIMITS

  constructor(stream: Duplex, options: SessionOptions) {
    this.#stream = stream
    this.#options = options
    this.version = options.connect.protocolVersion === 5 ? 5 : 4
    this.#peer = { address: options.address, version: this.version, clientId: options.connect.clientId }
    this.#parser = parser({ protocolVersion: this.version })
    this.#lastHeardAt = options.clock.monotonic()
    this.#parser.on('packet', (packet) => this.#received(packet))
    this.#parser.on('error', (error: unknown) => this.#fail(this.#nonsense(errorText(error), error)))
    stream.on('data', (chunk: Buffer) => {
      this.#lastHeardAt = options.clock.monotonic()
      if (!this.#over) this.#parser.parse(chunk)
    })
    stream.on('error', (error) => this.#fail(this.#broken(errorText(error), error)))
    stream.on('end', () =>
      this.#fail(
        this.#connack === undefined ? hungUpProblem(this.#peer) : this.#broken('the broker closed the connection'),
      ),
    )
    stream.on('close', () => this.#fail(this.#broken('the connection was closed')))
  }

  /** Sends CONNECT and waits for CONNACK. @throws HubError HUB_SOURCE_AUTH, _TLS, _PROTOCOL, _UNREACHABLE */
  handshake(handlers: SessionHandlers): Promise<void> {
    this.#handlers = handlers
    const answer = new Promise<void>((resolve, reject) => (this.#connack = { resolve, reject }))
    this.#send(this.#options.connect)
    return answer
  }

  /** The broker's code per filter, in order: the granted QoS, or 0x80 and above for a refusal. */
  async subscribe(filters: readonly FilterRequest[]): Promise<number[]> {
    // An identifier is a property of the packet, so such filters go one by one (MQTT 5.0 §3.8.2.1.2).
    const one = filters.some(({ identifier }) => identifier !== undefined)
    const packets = groups(filters, one ? 1 : FILTERS_A_PACKET_MAX)
    const answers = await this.#requestAll(packets, (part, messageId) => ({
      cmd: 'subscribe',
      messageId,
      subscriptions: part.map(({ filter, qos, retainHandling }) =>
        this.version === 5 ? { topic: filter, qos, rh: retainHandling } : { topic: filter, qos },
      ),
      ...(part[0]?.identifier === undefined ? {} : { properties: { subscriptionIdentifier: part[0].identifier } }),
    }))
    return answers.flatMap(({ granted }) => (granted ?? []) as number[])
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    await this.#requestAll(groups(filters, FILTERS_A_PACKET_MAX), (part, messageId) => ({
      cmd: 'unsubscribe',
      messageId,
      unsubscriptions: [...part],
    }))
  }

  /**
   * QoS 1: PUBACK. QoS 2: PUBREC; the rest of that exchange follows by itself. Those of one turn of the event loop go out
   * in one piece: a write to the socket costs more than everything else that we do for a message.
   */
  acknowledge(messageId: number, qos: QoS): void {
    if (this.#over) return
    if (this.#acknowledged.length === 0) this.#flush = setImmediate(() => this.#sendAcknowledged())
    // Both versions: type, remaining length 2, packet identifier (MQTT 5.0 §3.4.2.1: no reason code means success).
    this.#acknowledged.push(qos === 2 ? PUBREC : PUBACK, 2, messageId >> 8, messageId & 0xff)
  }

  /**
   * Sends a packet of a publisher; `written` is called when it went out to the network.
   * @returns its size; beyond `limits.bytesMax` nothing is sent
   */
  send(packet: IPublishPacket | IPubrelPacket, written?: () => void): number {
    const bytes = generate(packet, { protocolVersion: this.version })
    if (this.#over || bytes.length > this.limits.bytesMax) return bytes.length
    this.#sendAcknowledged()
    this.#stream.write(bytes, (error) => {
      if (error === undefined || error === null) written?.()
    })
    return bytes.length
  }

  get over(): boolean {
    return this.#over
  }

  /** Stops or goes on reading. While we wait for an answer the socket is read in any case: it is behind the messages. */
  pause(paused: boolean): void {
    this.#pauseWished = paused
    this.#flow()
  }

  /**
   * DISCONNECT, then waits for the broker to close. What it still sends is read and dropped: closing a socket with unread
   * data resets it, and the broker might never see the acknowledgements before. Idempotent; `lost` is not called.
   */
  async end(): Promise<void> {
    if (this.#over) return
    this.#send({ cmd: 'disconnect', reasonCode: 0 })
    this.#close(lostProblem('closed', this.#peer))
    if (this.#stream.closed) return
    const closed = new Promise<void>((resolve) => this.#stream.once('close', () => resolve()))
    const timer = this.#options.clock.after(END_MS, () => this.#stream.destroy())
    this.#stream.resume()
    this.#stream.end()
    await closed
    timer.cancel()
  }

  /** Cuts the connection without a word, so that the broker keeps the session. */
  destroy(): void {
    this.#close(lostProblem('closed', this.#peer))
    this.#stream.destroy()
  }

  #received(packet: Packet): void {
    if (this.#over) return
    if (this.#connack !== undefined) {
      if (packet.cmd === 'connack') this.#accepted(packet)
      else this.#fail(this.#nonsense(`${packet.cmd.toUpperCase()} came before CONNACK`))
    } else if (packet.cmd === 'publish') this.#published(packet)
    else if (packet.cmd === 'pubrel') {
      const messageId = packet.messageId as number
      this.#send({ cmd: 'pubcomp', messageId, reasonCode: 0 })
      this.#handlers?.released(messageId)
    } else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') this.#answered(packet)
    else if (packet.cmd === 'disconnect') this.#fail(disconnectProblem(packet, this.#peer))
    else if (isPublishAnswer(packet) && this.#handlers?.answered !== undefined) this.#handlers.answered(packet)
    // PINGRESP has done its work by being heard.
    else if (packet.cmd !== 'pingresp') this.#fail(this.#nonsense(`${packet.cmd.toUpperCase()} is not for us`))
  }

  #published(packet: IPublishPacket): void {
    if (isIntact(packet)) this.#handlers?.publish(packet)
    else this.#fail(this.#nonsense('PUBLISH has a property that is cut off, or there twice'))
  }

  #accepted(connack: IConnackPacket): void {
    const problem = connackProblem(connack, this.#peer)
    if (problem !== undefined) {
      this.#fail(problem)
      return
    }
    const { properties } = connack
    this.sessionPresent = connack.sessionPresent
    this.identifiersAvailable = this.version === 5 && properties?.subscriptionIdentifiersAvailable !== false
    this.limits = {
      unconfirmedMax: properties?.receiveMaximum ?? NO_LIMITS.unconfirmedMax,
      qosMax: (properties?.maximumQoS ?? NO_LIMITS.qosMax) as QoS,
      bytesMax: properties?.maximumPacketSize ?? NO_LIMITS.bytesMax,
    }
    // MQTT 5.0 §3.2.2.3.14: the server's word wins.
    this.#keepAliveEvery((properties?.serverKeepAlive ?? this.#options.connect.keepalive ?? 0) * 1000)
    const waiting = this.#connack
    this.#connack = undefined
    this.#handlers?.connected()
    waiting?.resolve()
  }

  async #requestAll<T>(
    parts: readonly (readonly T[])[],
    packet: (part: readonly T[], messageId: number) => Packet,
  ): Promise<Answer[]> {
    const answers: Answer[] = []
    for (const batch of groups(parts, PIPELINE_MAX))
      answers.push(...(await Promise.all(batch.map((part) => this.#request((messageId) => packet(part, messageId))))))
    return answers
  }

  #request(packet: (messageId: number) => Packet): Promise<Answer> {
    if (this.#over) return Promise.reject(lostProblem('the connection is closed', this.#peer))
    const messageId = this.#nextId
    this.#nextId = messageId === 65_535 ? 1 : messageId + 1
    const answer = new Promise<Answer>((resolve, reject) => this.#requests.set(messageId, { resolve, reject }))
    if (this.#answerDue === undefined) this.#expectAnswer()
    this.#send(packet(messageId))
    this.#flow()
    return answer
  }

  #answered(packet: Answer): void {
    const messageId = packet.messageId as number
    this.#requests.get(messageId)?.resolve(packet)
    this.#requests.delete(messageId)
    this.#answerDue?.cancel()
    this.#answerDue = undefined
    if (this.#requests.size > 0) this.#expectAnswer()
    this.#flow()
  }

  #expectAnswer(): void {
    const { clock, answerMs } = this.#options
    this.#answerDue = clock.after(answerMs, () =>
      this.#fail(lostProblem(`SUBSCRIBE or UNSUBSCRIBE was not answered within ${answerMs} ms`, this.#peer)),
    )
  }

  #flow(): void {
    const pause = this.#pauseWished && this.#requests.size === 0
    if (pause === this.#paused || this.#over) return
    this.#paused = pause
    if (pause) {
      this.#stream.pause()
      this.#probeLater()
    } else {
      this.#probe?.cancel()
      this.#lastHeardAt = this.#options.clock.monotonic()
      this.#stream.resume()
    }
  }

  /** A socket that is not read does not tell that its peer has gone, until something is written to it. */
  #probeLater(): void {
    this.#probe = this.#options.clock.after(PROBE_MS, () => {
      this.#send({ cmd: 'pingreq' })
      this.#probeLater()
    })
  }

  #sendAcknowledged(): void {
    if (this.#acknowledged.length === 0) return
    clearImmediate(this.#flush)
    const bytes = Buffer.from(this.#acknowledged)
    this.#acknowledged.length = 0
    if (!this.#over && this.#stream.writable) this.#stream.write(bytes)
  }

  /** After what was acknowledged before. */
  #send(packet: Packet): void {
    this.#sendAcknowledged()
    if (!this.#over && this.#stream.writable) this.#stream.write(generate(packet, { protocolVersion: this.version }))
  }

  /**
   * MQTT 5.0 §3.1.2.10: the broker hears from us within the interval, whatever we read, and its silence for one and a half
   * of it is a dead peer. While reading is paused silence proves nothing; then the probes make TCP report it.
   */
  #keepAliveEvery(intervalMs: number): void {
    if (intervalMs === 0) return
    const tick = (): void => {
      const silentMs = this.#options.clock.monotonic() - this.#lastHeardAt
      if (silentMs > intervalMs * 1.5 && !this.#paused) {
        this.#fail(lostProblem(`nothing was heard for ${Math.round(silentMs)} ms`, this.#peer))
        return
      }
      this.#send({ cmd: 'pingreq' })
      this.#keepAlive = this.#options.clock.after(intervalMs / 2, tick)
    }
    this.#keepAlive = this.#options.clock.after(intervalMs / 2, tick)
  }

  #nonsense(text: string, cause?: unknown): HubError {
    const options = cause === undefined ? {} : { cause }
    return new HubError('HUB_SOURCE_PROTOCOL', `${this.#options.address} does not speak MQTT: ${text}`, options)
  }

  #broken(text: string, cause?: unknown): HubError {
    return this.#connack === undefined
      ? lostProblem(text, this.#peer, cause)
      : unansweredProblem(text, this.#peer, cause)
  }

  #fail(error: HubError): void {
    if (this.#over) return
    const accepted = this.#connack === undefined
    this.#close(error)
    this.#stream.destroy()
    if (accepted) this.#handlers?.lost(error)
  }

  #close(error: HubError): void {
    this.#over = true
    this.#keepAlive?.cancel()
    this.#probe?.cancel()
    this.#answerDue?.cancel()
    this.#connack?.reject(error)
    this.#connack = undefined
    for (const waiting of this.#requests.values()) waiting.reject(error)
    this.#requests.clear()
  }
}

/** The parser has null for what ends beyond its packet, and a list for what may be there once (MQTT 5.0 §2.2.2, §3.3.2.3). */
function isIntact({ properties }: IPublishPacket): boolean {
  if (properties === undefined) return true
  const { contentType = '', responseTopic = '', correlationData = EMPTY, userProperties = {} } = properties
  const texts: readonly unknown[] = [contentType, responseTopic, ...Object.values(userProperties).flat()]
  return Buffer.isBuffer(correlationData) && texts.every((text) => typeof text === 'string')
}

function isPublishAnswer(packet: Packet): packet is PublishAnswer {
  return packet.cmd === 'puback' || packet.cmd === 'pubrec' || packet.cmd === 'pubcomp'
}

function groups<T>(items: readonly T[], size: number): (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}
