// What the broker has sent and we have not acknowledged, over all connections of one persistent session: the bound, the
// redeliveries, the acknowledgements. Knows packets, not sockets; owned by mqtt-source.ts.

import type { IPublishPacket, QoS } from 'mqtt-packet'

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Delivery, EventMessage, HubError, SettleResult } from '../../src/sdk/index.ts'

/** The connection, as far as the inbox uses it. */
export interface Line {
  acknowledge(messageId: number, qos: QoS): void
  /** Stop or go on reading. */
  pause(paused: boolean): void
}

export interface InboxOptions {
  readonly unsettledMax: number
  /** Acknowledge in the order of arrival (MQTT 5.0 §4.6). */
  readonly inOrder: boolean
  digestOf(packet: IPublishPacket): string
  /** One more copy of an event that came by another subscription: acknowledged and not handed out. */
  isCopy(packet: IPublishPacket, digest: string): boolean
  toEvent(packet: IPublishPacket, digest: string): EventMessage
  /** A QoS 0 message found no room. */
  dropped(): void
}

/** A QoS 1 or 2 message that the broker waits for us to acknowledge. */
interface Entry {
  readonly messageId: number
  readonly qos: QoS
  readonly digest: string
  /** Settled; with `inOrder` perhaps not yet acknowledged. */
  settled: boolean
  /** Its acknowledgement went out on a connection, and may or may not have arrived. */
  sent: boolean
  /** Told the settlement's result, when its acknowledgement waits for earlier ones. */
  told: ((result: SettleResult) => void) | undefined
}

interface HeldDelivery extends Delivery {
  /** Undefined with QoS 0. */
  readonly entry: Entry | undefined
}

/** Acknowledgements that a lost connection may have swallowed, at least; more where more may be unsettled. */
const REMEMBERED_MIN = 1024
/** QoS 0 messages kept while nothing may be handed out; a broker that waits for an answer to a request cannot be stopped. */
const WAITING_MAX = 1024

export class Inbox {
  readonly #options: InboxOptions
  #line: Line | undefined
  #buffer: DeliveryBuffer<HeldDelivery>
  /** Handed to the buffer, or settled and waiting for their turn; by packet identifier, in the order of arrival. */
  readonly #entries = new Map<number, Entry>()
  /** Acknowledged; the broker may not have heard it. */
  readonly #done = new Map<number, Entry>()
  /** Read, and no room for them. */
  #waiting: IPublishPacket[] = []
  #unsettled = 0
  #closed = false

  constructor(options: InboxOptions) {
    this.#options = options
    this.#buffer = new DeliveryBuffer(options.unsettledMax)
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** A new connection. Without `present` the broker has forgotten the session, and nothing of before can be settled. */
  begin(line: Line, present: boolean): void {
    this.#drop()
    this.#line = line
    this.#buffer = new DeliveryBuffer(this.#options.unsettledMax)
    if (present) this.#forgetSent()
    else this.#forget()
  }

  /** The connection is gone; what is out stays, for the broker to send again. */
  lost(error: HubError): void {
    this.#drop()
    this.#buffer.fail(error)
  }

  close(): void {
    this.#closed = true
    this.#drop()
    this.#buffer.end()
    this.#forget()
  }

  take(packet: IPublishPacket): void {
    if (this.#closed || this.#line === undefined) return
    if (packet.qos > 0 && this.#recognise(packet)) return
    if (this.#unsettled < this.#options.unsettledMax) {
      this.#accept(packet)
      return
    }
    // More than the bound comes from brokers without a receive maximum (MQTT 3.1.1), and with QoS 0.
    if (packet.qos === 0 && this.#waiting.length >= WAITING_MAX) this.#options.dropped()
    else this.#waiting.push(packet)
    this.#line.pause(true)
  }

  /** PUBREL: the broker will use the identifier for something else. */
  released(messageId: number): void {
    this.#done.delete(messageId)
  }

  /** True for a message that is in flight here, or settled. */
  #recognise(packet: IPublishPacket): boolean {
    const messageId = packet.messageId as number
    const done = this.#done.get(messageId)
    if (done !== undefined) {
      // QoS 2: MQTT 5.0 §4.3.3, until PUBREL. A broker that was restored from an old copy may use the identifier for
      // another message before that, so the content is looked at as well.
      if (this.#isAgain(done, packet)) {
        this.#line?.acknowledge(messageId, done.qos)
        done.sent = true
        return true
      }
      this.#done.delete(messageId)
    }
    const entry = this.#entries.get(messageId)
    if (entry === undefined) return false
    if (this.#isAgain(entry, packet)) {
      if (entry.settled) this.#acknowledge()
      return true
    }
    // In use for another message: the broker has let go of the one that we hold.
    this.#entries.delete(messageId)
    entry.told?.('stale')
    return false
  }

  #isAgain(entry: Entry, packet: IPublishPacket): boolean {
    return packet.dup && entry.qos === packet.qos && entry.digest === this.#options.digestOf(packet)
  }

  #accept(packet: IPublishPacket): void {
    const digest = this.#options.digestOf(packet)
    const copy = this.#options.isCopy(packet, digest)
    const entry = packet.qos === 0 ? undefined : this.#enter(packet, digest)
    if (copy) {
      if (entry !== undefined) void this.#confirm(entry)
      return
    }
    this.#unsettled += 1
    let settled: Promise<SettleResult> | undefined
    this.#buffer.push({
      entry,
      message: this.#options.toEvent(packet, digest),
      settle: () => (settled ??= this.#settle(entry)),
    })
  }

  #enter({ messageId, qos }: IPublishPacket, digest: string): Entry {
    const entry: Entry = { messageId: messageId as number, qos, digest, settled: false, sent: false, told: undefined }
    this.#entries.set(entry.messageId, entry)
    return entry
  }

  #settle(entry: Entry | undefined): Promise<SettleResult> {
    this.#unsettled -= 1
    const result: Promise<SettleResult> = entry === undefined ? Promise.resolve('settled') : this.#confirm(entry)
    this.#goOn()
    return result
  }

  /**
   * `settled` also without a connection: the message is remembered, and acknowledged without a second delivery when the
   * broker sends it again.
   */
  #confirm(entry: Entry): Promise<SettleResult> {
    if (this.#entries.get(entry.messageId) !== entry) return Promise.resolve('stale')
    entry.settled = true
    if (!this.#options.inOrder) {
      this.#tell(entry)
      return Promise.resolve('settled')
    }
    const told = new Promise<SettleResult>((resolve) => (entry.told = resolve))
    this.#acknowledge()
    return told
  }

  /** Whatever is settled and has nothing unsettled before it. */
  #acknowledge(): void {
    for (const entry of this.#entries.values()) {
      if (!entry.settled) return
      this.#tell(entry)
      entry.told?.('settled')
    }
  }

  #tell(entry: Entry): void {
    this.#entries.delete(entry.messageId)
    this.#done.set(entry.messageId, entry)
    entry.sent = this.#line !== undefined
    this.#line?.acknowledge(entry.messageId, entry.qos)
    this.#prune()
  }

  /** A QoS 2 identifier is kept until PUBREL; brokers have at most 65,535 of them out. */
  #prune(): void {
    const keepMax = Math.max(REMEMBERED_MIN, this.#options.unsettledMax)
    if (this.#done.size <= keepMax) return
    for (const [messageId, { qos }] of this.#done) {
      if (qos === 1) this.#done.delete(messageId)
      if (this.#done.size <= keepMax) return
    }
  }

  /** There is room again: first what was read too much, then the socket. */
  #goOn(): void {
    while (this.#waiting.length > 0 && this.#unsettled < this.#options.unsettledMax)
      this.#accept(this.#waiting.shift() as IPublishPacket)
    if (this.#waiting.length === 0) this.#line?.pause(false)
  }

  /** What nobody has pulled: the broker sends it again. */
  #drop(): void {
    this.#line = undefined
    this.#waiting = []
    for (const { entry } of this.#buffer.clear()) {
      this.#unsettled -= 1
      if (entry !== undefined) this.#entries.delete(entry.messageId)
    }
  }

  /**
   * A PUBACK that went out may have arrived. Then the identifier was free again, and what now comes with it may be another
   * message with the same content, whose first copy was lost on the way (MQTT 5.0 §4.3.2). Rather twice than never.
   */
  #forgetSent(): void {
    for (const [messageId, { qos, sent }] of this.#done) if (qos === 1 && sent) this.#done.delete(messageId)
  }

  #forget(): void {
    for (const { told } of this.#entries.values()) told?.('stale')
    this.#entries.clear()
    this.#done.clear()
  }
}
