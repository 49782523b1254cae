// What the server waits for us to settle, over all consumers and connections: the bound, redeliveries, copies, and signs of
// life for what takes long. A connection that breaks takes nothing from it: settled over the next one, an event does not come
// again. Owned by jetstream-source.ts.

import type { JsMsg } from '@nats-io/jetstream'
import type { NatsConnection, Payload } from '@nats-io/transport-node'

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { Clock, Delivery, EventMessage, HubError, Settlement, SettleResult } from '../../src/sdk/index.ts'
import { Flushes } from './flushes.ts'
import { understandsReasons } from './version.ts'

export interface HeldOptions {
  readonly unsettledMax: number
  readonly ackWaitMs: number
  readonly clock: Clock
  /** The order of the stream matters, also of what comes again. */
  readonly isOrdered: boolean
  toEvent(message: JsMsg): EventMessage
}

interface Entry {
  readonly key: string
  /** The latest delivery of it. */
  message: JsMsg
  /** Who gathers it; undefined once it may be handed out. */
  gatherer: object | undefined
}

interface HeldDelivery extends Delivery {
  readonly entry: Entry
}

/** Settled events that may come again: by an overlapping consumer, or because the server lost what it was told. */
const REMEMBERED_MAX = 10_000
const ACK = Buffer.from('+ACK')
const IN_PROGRESS = Buffer.from('+WPI')
const NANOS = 1_000_000

export class Held {
  readonly #options: HeldOptions
  #buffer: DeliveryBuffer<HeldDelivery>
  /** All that the server waits for, by `keyOf`. */
  readonly #entries = new Map<string, Entry>()
  /** Of these, in order, what is not handed out yet: beyond the bound, or there is no reader. */
  #ahead: Entry[] = []
  readonly #settled = new Set<string>()
  /** Settled, and the server could not be told: the subject to tell it on, and what. */
  readonly #untold = new Map<string, { readonly reply: string; readonly payload: Payload }>()
  #waiting: (() => void)[] = []
  #flushes: Flushes | undefined
  #touchedAtMs: number
  /** `between` two connections, what still comes of the last one is kept. */
  #state: 'reading' | 'between' | 'ended' = 'between'

  constructor(options: HeldOptions) {
    this.#options = options
    this.#touchedAtMs = options.clock.monotonic()
    this.#buffer = new DeliveryBuffer(options.unsettledMax)
    this.#buffer.end()
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** Nothing is handed out now. */
  get over(): boolean {
    return this.#state !== 'reading'
  }

  /** A new connection, and soon a new reader. Tells the server what it could not be told before. */
  begin(nats: NatsConnection): void {
    const { clock, ackWaitMs, unsettledMax } = this.#options
    this.#unread()
    this.#buffer = new DeliveryBuffer(unsettledMax)
    this.#flushes = new Flushes(nats)
    this.#state = 'reading'
    // Incomplete, and nobody has seen it: it comes again after its wait, with the rest.
    for (const { key, gatherer } of this.#entries.values()) if (gatherer !== undefined) this.#entries.delete(key)
    // Somebody else may have them by now.
    if (clock.monotonic() - this.#touchedAtMs > ackWaitMs)
      for (const { key } of this.#ahead.splice(0)) this.#entries.delete(key)
    for (const [key, { reply, payload }] of this.#untold) void this.#confirm(key, reply, payload)
    this.touch()
    this.#handOut()
  }

  /** Resolves when more may be pulled, or nothing will be any more. */
  async room(): Promise<void> {
    while (!this.over && this.#entries.size >= this.#options.unsettledMax)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  take(message: JsMsg): void {
    const entry = this.#keep(message)
    if (entry === undefined) return
    this.#ahead.push(entry)
    this.#handOut()
  }

  /** Takes it, and hands it out after `inOrder` only. Forgotten where the connection breaks before that. */
  gather(message: JsMsg, gatherer: object): void {
    const entry = this.#keep(message)
    if (entry !== undefined) entry.gatherer = gatherer
  }

  /** How many it has gathered, up to this place in the stream. */
  gathered(gatherer: object, sequenceMax: number): number {
    return this.#gatheredBy(gatherer).filter((entry) => sequenceOf(entry) <= sequenceMax).length
  }

  /** Hands out what it has gathered, in the order of the stream. */
  inOrder(gatherer: object): void {
    const entries = this.#gatheredBy(gatherer)
    for (const entry of entries) entry.gatherer = undefined
    this.#ahead.push(...entries)
    this.#handOut()
  }

  /** Gives back what it has gathered. */
  refuse(gatherer: object): void {
    this.#refuse(this.#gatheredBy(gatherer))
  }

  #gatheredBy(gatherer: object): readonly Entry[] {
    return inOrder([...this.#entries.values()].filter((entry) => entry.gatherer === gatherer))
  }

  /** Undefined where the event is known, or is not wanted any more. */
  #keep(message: JsMsg): Entry | undefined {
    const key = keyOf(message)
    const known = this.#entries.get(key)
    if (known !== undefined) {
      // The server has lost patience, or the acknowledgement of the hub is on its way: still one event.
      if (known.message.info.consumer === message.info.consumer) known.message = message
      else this.#say(replyOf(message), ACK)
      return undefined
    }
    if (this.#settled.has(key)) {
      this.#say(replyOf(message), ACK)
      return undefined
    }
    if (this.#state === 'ended') {
      this.#say(replyOf(message), '-NAK')
      return undefined
    }
    const entry: Entry = { key, message, gatherer: undefined }
    this.#entries.set(key, entry)
    return entry
  }

  /** Tells the server that all of it is being worked on, so that it does not deliver it again. */
  touch(): void {
    if (!this.#isConnected) return
    this.#touchedAtMs = this.#options.clock.monotonic()
    for (const { message } of this.#entries.values()) this.#say(replyOf(message), IN_PROGRESS)
  }

  /** How many are held of one consumer, and when the oldest of them was stored: Unix milliseconds. */
  of(consumer: string): { readonly count: number; readonly oldestMs: number | undefined } {
    let count = 0
    let oldestMs: number | undefined
    for (const { message } of this.#entries.values()) {
      if (message.info.consumer !== consumer) continue
      count += 1
      oldestMs = Math.min(oldestMs ?? Infinity, storedAtMs(message))
    }
    return { count, oldestMs }
  }

  /** The reader is told; what it has not pulled, and what it has not settled, waits for the next connection. */
  lost(error: HubError): void {
    this.#unread()
    if (this.#state === 'reading') this.#state = 'between'
    this.#buffer.fail(error)
    this.#wake()
  }

  /**
   * Nobody pulls any more: what was not handed out goes back at once, the rest can still be settled. Where it is ordered all
   * of it waits for `giveBack`: the server delivers again in the order in which it is given back.
   */
  release(): void {
    this.#unread()
    this.#state = this.#options.isOrdered ? 'between' : 'ended'
    if (!this.#options.isOrdered) this.#refuse(this.#ahead.splice(0))
    this.#buffer.end()
    this.#wake()
  }

  /** Gives everything back at once, for other replicas or the next start. */
  giveBack(): void {
    this.release()
    this.#state = 'ended'
    this.#ahead = []
    this.#refuse([...this.#entries.values()])
  }

  #refuse(entries: readonly Entry[]): void {
    for (const entry of inOrder(entries)) {
      this.#entries.delete(entry.key)
      this.#say(replyOf(entry.message), '-NAK')
    }
  }

  #handOut(): void {
    while (!this.over && this.#ahead.length > 0) {
      if (this.#entries.size - this.#ahead.length >= this.#options.unsettledMax) return
      const entry = this.#ahead.shift() as Entry
      let settled: Promise<SettleResult> | undefined
      this.#buffer.push({
        entry,
        message: this.#options.toEvent(entry.message),
        settle: (settlement) => (settled ??= this.#settle(entry, settlement)),
      })
    }
  }

  /** What is buffered goes back to where it came from. */
  #unread(): void {
    this.#ahead = [...this.#buffer.clear().map(({ entry }) => entry), ...this.#ahead]
  }

  async #settle(entry: Entry, settlement: Settlement): Promise<SettleResult> {
    const { key } = entry
    if (this.#entries.get(key) !== entry) return 'stale'
    try {
      return await this.#tell(entry, settlement)
    } finally {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      this.#handOut()
      this.#wake()
    }
  }

  async #tell({ key, message }: Entry, settlement: Settlement): Promise<SettleResult> {
    const reply = replyOf(message)
    if (settlement.kind === 'retry') {
      const delay = settlement.delayMs > 0 ? ` ${JSON.stringify({ delay: Math.round(settlement.delayMs * NANOS) })}` : '' // prettier-ignore
      // Not confirmed by the server: lost with the connection, it comes again after the wait.
      return this.#say(reply, `-NAK${delay}`) ? 'settled' : 'stale'
    }
    this.#remember(key)
    if (settlement.kind === 'ack') await this.#confirm(key, reply, ACK)
    else await this.#confirm(key, reply, understandsReasons(this.#flushes?.nats.info?.version) ? `+TERM ${settlement.reason}` : '+TERM') // prettier-ignore
    return 'settled'
  }

  /** Never rejects: what the server is not sure to have read is told again over the next connection. */
  async #confirm(key: string, reply: string, payload: Payload): Promise<void> {
    const flushes = this.#flushes
    try {
      if (flushes === undefined || !this.#say(reply, payload)) throw new Error('not connected')
      await flushes.done()
      this.#untold.delete(key)
    } catch {
      this.#untold.set(key, { reply, payload })
    }
  }

  /** False without a connection. */
  #say(reply: string, payload: Payload): boolean {
    if (!this.#isConnected) return false
    this.#flushes?.nats.publish(reply, payload)
    return true
  }

  get #isConnected(): boolean {
    const nats = this.#flushes?.nats
    return nats !== undefined && !nats.isClosed() && !nats.isDraining()
  }

  #remember(key: string): void {
    this.#settled.add(key)
    if (this.#settled.size <= REMEMBERED_MAX) return
    const [oldest] = this.#settled
    if (oldest === undefined) return
    this.#settled.delete(oldest)
    this.#untold.delete(oldest)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }
}

/** The time, because a stream that is made anew counts from 1 again. */
function keyOf({ info, timestampNanos }: JsMsg): string {
  return `${info.stream}:${info.streamSequence}:${timestampNanos}`
}

function sequenceOf({ message }: Entry): number {
  return message.info.streamSequence
}

function inOrder(entries: readonly Entry[]): readonly Entry[] {
  return entries.toSorted((left, right) => sequenceOf(left) - sequenceOf(right))
}

/** Where to settle it. The client's message has it, and its interface does not. */
function replyOf(message: JsMsg): string {
  if ('reply' in message && typeof message.reply === 'string') return message.reply
  throw new TypeError('a message of a stream without a subject to settle it on')
}

function storedAtMs({ timestampNanos }: JsMsg): number {
  return Number(timestampNanos / BigInt(NANOS))
}
