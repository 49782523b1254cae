// One queue as a work-queue stream of JetStream with a durable consumer, both as OpenFaaS names them (OpenFaaS contract,
// queue-worker settings): pulls, shows signs of life for what it holds, settles. Owned by nats-calls.ts.

import type { Consumer, ConsumerMessages, JsMsg } from '@nats-io/jetstream'

import { RepeatGuard, errorText, keepNewest, sleep, within } from '../../sdk/index.ts'
import type { Clock, ClockTimer, SettleResult, Settlement } from '../../sdk/index.ts'
import { eventOf } from './call.ts'
import type { DueCall, QueuedCall } from './call.ts'
import type { NatsAttempts } from './nats-attempts.ts'
import type { NatsLine } from './nats-connection.ts'
import { DURABLE, NANOS, deleteMessage, ensureQueue, findMessage, streamOf } from './nats-stream.ts'

export interface NatsQueueOptions {
  readonly name: string
  readonly line: NatsLine
  /** Of all queues. */
  readonly attempts: NatsAttempts
  readonly clock: Clock
  readonly ackWaitMs: number
  readonly decode: (data: Uint8Array) => QueuedCall | string
  /** Resolves once what is no call is kept elsewhere. */
  readonly bury: (queue: string, message: JsMsg, problem: string) => Promise<void>
  readonly log: (line: string) => void
}

interface Entry {
  readonly key: string
  readonly sequence: number
  readonly callId: string
  readonly call: QueuedCall
  /** From 1. */
  attempt: number
  /** The latest delivery of it. */
  message: JsMsg
  readonly withdrawn: AbortController
}

/** Signs of life within one ackWait. */
const TOUCHES = 3
const BATCH = 32
const EXPIRES_MS = 30_000
const PAUSE_MS = 1000
/** Settled, and may come again because the server was not told in time; or deleted while they came. */
const REMEMBERED_MAX = 10_000
/** Places in the stream by call id, to cancel without searching. */
const PLACES_MAX = 100_000

export class NatsQueue {
  readonly #options: NatsQueueOptions
  readonly #consumer: Consumer
  readonly #ackWaitMs: number
  /** What the server waits for us to settle, by `keyOf`. */
  readonly #entries = new Map<string, Entry>()
  /** Of these, not handed out yet. */
  readonly #ready: Entry[] = []
  readonly #settled = new Set<string>()
  readonly #places = new Map<string, number>()
  /** Ids by place: deleted at the server, and perhaps on their way to us. */
  readonly #deleted = new Map<number, string>()
  readonly #problems: RepeatGuard
  #search: Promise<number | undefined> = Promise.resolve(undefined)
  #touch: ClockTimer | undefined
  /** Of the reader, and of who pulls for it. */
  #wake: (() => void) | undefined
  #wakePull: (() => void) | undefined
  #messages: ConsumerMessages | undefined
  #isClosed = false

  private constructor(options: NatsQueueOptions, consumer: Consumer, ackWaitMs: number) {
    this.#options = options
    this.#consumer = consumer
    this.#ackWaitMs = ackWaitMs
    this.#problems = new RepeatGuard(options.clock)
    this.#touchLater()
  }

  /** Rejects with the client's error. */
  static async open(options: NatsQueueOptions): Promise<NatsQueue> {
    const { line, name, ackWaitMs } = options
    const ackWait = await ensureQueue(line.manager, name, ackWaitMs)
    const consumer = await line.manager.jetstream().consumers.get(streamOf(name), DURABLE)
    return new NatsQueue(options, consumer, ackWait)
  }

  /** Held by us: handed out, or about to be. */
  get held(): number {
    return this.#entries.size
  }

  /** Where a call was stored. */
  stored(callId: string, sequence: number): void {
    this.#places.delete(callId)
    this.#places.set(callId, sequence)
    keepNewest(this.#places, PLACES_MAX)
  }

  async *calls(signal: AbortSignal): AsyncGenerator<DueCall, void> {
    const wakeUp = (): void => this.#wake?.()
    signal.addEventListener('abort', wakeUp, { once: true })
    // The reader may go without being told to.
    const ended = new AbortController()
    const pulling = this.#pull(AbortSignal.any([signal, ended.signal]))
    try {
      while (!signal.aborted) {
        const entry = this.#ready.shift()
        if (this.#ready.length < BATCH) this.#wakePull?.()
        if (entry !== undefined) yield this.#dueCall(entry)
        else await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      signal.removeEventListener('abort', wakeUp)
      ended.abort()
      await pulling
    }
  }

  /** How many there were; of several with one id those that are held, or else the first. Rejects with the client's error. */
  async cancel(callId: string): Promise<number> {
    const held = [...this.#entries.values()].filter((entry) => entry.callId === callId)
    for (const entry of held) {
      this.#forget(entry)
      const ready = this.#ready.indexOf(entry)
      if (ready !== -1) this.#ready.splice(ready, 1)
      entry.withdrawn.abort()
    }
    await Promise.all(held.map((entry) => this.#finish(entry)))
    if (held.length > 0) return held.length
    const { line, name, decode } = this.#options
    const known = this.#places.get(callId)
    if (known !== undefined && (await this.#delete(callId, known))) return 1
    const search = (): Promise<number | undefined> =>
      findMessage(line.manager, name, (data) => {
        const call = decode(data)
        return typeof call === 'object' && call.callId === callId
      })
    // One after the other: anybody may ask for ids that are not there.
    const found = await (this.#search = this.#search.then(search, search))
    return found !== undefined && (await this.#delete(callId, found)) ? 1 : 0
  }

  async #delete(callId: string, sequence: number): Promise<boolean> {
    const { line, name } = this.#options
    this.#deleted.set(sequence, callId)
    keepNewest(this.#deleted, REMEMBERED_MAX)
    if (await deleteMessage(line.manager, name, sequence)) return true
    this.#deleted.delete(sequence)
    return false
  }

  /** At the server and not running here. Rejects with the client's error */
  async pending(): Promise<number> {
    const { num_pending, num_ack_pending } = await this.#options.line.manager.consumers.info(streamOf(this.#options.name), DURABLE) // prettier-ignore
    return num_pending + Math.max(0, num_ack_pending - this.#entries.size) + this.#ready.length
  }

  /** Gives back what is held, for other workers or the next start. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#touch?.cancel()
    this.#messages?.stop()
    for (const { message } of this.#entries.values()) message.nak()
    this.#entries.clear()
    this.#wake?.()
  }

  // ── pulling ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Until aborted; never rejects. No more than a batch is ahead of the reader. */
  async #pull(signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      this.#wakePull?.()
      const { line, clock } = this.#options
      // What the server has sent already is still taken, and given back at once; a server that is away is not waited for.
      const flushed = line.isUp() ? within(clock, PAUSE_MS, line.nats.flush()) : Promise.resolve()
      const end = (): void => this.#messages?.stop()
      flushed.then(end, end)
    }
    signal.addEventListener('abort', stop, { once: true })
    while (!signal.aborted && !this.#isClosed) {
      try {
        if (this.#ready.length >= BATCH) await new Promise<void>((resolve) => (this.#wakePull = resolve))
        else await this.#fetch(signal)
      } catch (error) {
        if (!signal.aborted && !this.#isClosed) await this.#recover(signal, error)
      }
    }
    signal.removeEventListener('abort', stop)
    for (const entry of this.#ready.splice(0)) {
      this.#entries.delete(entry.key)
      entry.message.nak()
    }
  }

  async #fetch(signal: AbortSignal): Promise<void> {
    this.#messages = await this.#consumer.fetch({ max_messages: BATCH, expires: EXPIRES_MS })
    if (signal.aborted) this.#messages.stop()
    for await (const message of this.#messages) {
      if (signal.aborted) message.nak()
      else await this.#take(message)
    }
  }

  async #take(message: JsMsg): Promise<void> {
    const key = keyOf(message)
    const known = this.#entries.get(key)
    // The server has lost patience, or the connection: still one call.
    if (known !== undefined) known.message = message
    else if (this.#settled.has(key)) message.ack()
    else await this.#takeNew(key, message)
  }

  async #takeNew(key: string, message: JsMsg): Promise<void> {
    const { name, decode, bury, attempts } = this.#options
    const { streamSequence: sequence, deliveryCount } = message.info
    const call = decode(message.data)
    if (typeof call === 'string') {
      await bury(name, message, call)
      message.ack()
      return
    }
    const callId = call.callId === '' ? `${name}@${sequence}` : call.callId
    if (this.#deleted.get(sequence) === callId) {
      message.ack()
      return
    }
    const entry: Entry = { key, sequence, callId, call, attempt: 1, message, withdrawn: new AbortController() }
    this.#entries.set(key, entry)
    this.#places.delete(callId)
    entry.attempt = await attempts.attempt(name, key, deliveryCount)
    // Cancelled or given back meanwhile.
    if (this.#entries.get(key) !== entry) return
    this.#ready.push(entry)
    this.#wake?.()
  }

  /** A stream or consumer that is gone is made again; everything else passes. */
  async #recover(signal: AbortSignal, error: unknown): Promise<void> {
    const { name, line, ackWaitMs, log, clock } = this.#options
    const text = `The queue ${name} cannot be read from NATS: ${errorText(error)}`
    if (this.#problems.pass(text) !== undefined) log(text)
    await sleep(clock, PAUSE_MS, signal).catch(() => undefined)
    if (!signal.aborted) await ensureQueue(line.manager, name, ackWaitMs).catch(() => undefined)
  }

  // ── settling ───────────────────────────────────────────────────────────────────────────────────────────────────

  #dueCall(entry: Entry): DueCall {
    const { call, callId, attempt, message, withdrawn } = entry
    const { name } = this.#options
    const storedAtMs = Number(message.timestampNanos / BigInt(NANOS))
    let settled: Promise<SettleResult> | undefined
    return {
      message: eventOf(name, { ...call, callId }, attempt, storedAtMs),
      callbackUrl: call.callbackUrl,
      signal: withdrawn.signal,
      settle: (settlement) => (settled ??= this.#settle(entry, settlement)),
    }
  }

  async #settle(entry: Entry, settlement: Settlement): Promise<SettleResult> {
    if (this.#isClosed || this.#entries.get(entry.key) !== entry) return 'stale'
    if (settlement.kind === 'retry') {
      const { name, attempts } = this.#options
      await attempts.failed(name, entry.key, entry.attempt)
      if (this.#isClosed || this.#entries.get(entry.key) !== entry) return 'stale'
      this.#entries.delete(entry.key)
      this.stored(entry.callId, entry.sequence)
      entry.message.nak(Math.round(settlement.delayMs))
      return 'settled'
    }
    this.#forget(entry)
    await this.#finish(entry)
    return 'settled'
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.key)
    this.#remember(entry.key)
  }

  /** Never rejects: a call that the server could not be told of comes again, and is known then. */
  async #finish({ key, attempt, message }: Entry): Promise<void> {
    await message.ackAck().catch(() => false)
    const { name, attempts } = this.#options
    if (attempt > 1) await attempts.forget(name, key)
  }

  #remember(key: string): void {
    this.#settled.add(key)
    keepNewest(this.#settled, REMEMBERED_MAX)
  }

  #touchLater(): void {
    this.#touch = this.#options.clock.after(this.#ackWaitMs / TOUCHES, () => {
      if (this.#options.line.isUp()) for (const { message } of this.#entries.values()) message.working()
      this.#touchLater()
    })
  }
}

/** The time, because a stream that is made anew counts from 1 again. */
function keyOf({ info, timestampNanos }: JsMsg): string {
  return `${info.streamSequence}:${timestampNanos}`
}
