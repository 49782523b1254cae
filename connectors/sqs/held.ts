// All messages that are received and not settled, over all queues and connections: hands their events out within the bound,
// keeps them hidden from others, settles them, gives them back. A connection that breaks takes nothing from it. Owned by
// sqs-source.ts.

import type { Message } from '@aws-sdk/client-sqs'

import { DeliveryBuffer } from '../../src/sdk/index.ts'
import type { DeadLetter, Delivery, HubError, Settlement, SettleResult, SourceCounter, SourceLog } from '../../src/sdk/index.ts' // prettier-ignore
import { wholeSeconds } from './clients.ts'
import { Entry } from './entry.ts'
import type { Part, PartState } from './entry.ts'
import type { Opened } from './event.ts'
import { count, nextOf } from './groups.ts'
import { Heartbeat } from './heartbeat.ts'
import { Lane } from './lane.ts'
import type { LaneOptions } from './lane.ts'
import type { Queue } from './queues.ts'

export interface HeldOptions extends Omit<LaneOptions, 'queue' | 'stop'> {
  readonly unsettledMax: number
  readonly visibilityTimeoutMs: number
  readonly log: SourceLog
  /** Messages that SQS took back while they were held. */
  readonly lapsed: SourceCounter
  readonly open: (message: Message, queue: Queue) => Opened
  /** Resolves once the letter is in the dead-letter queue of the queue. */
  readonly bury: (letter: DeadLetter, message: Message, queue: Queue) => Promise<void>
}

interface HeldDelivery extends Delivery {
  readonly part: Part
}

/** Before an event whose dead letter could not be written is handed out again. */
const LETTER_RETRY_MS = 5000
/** Of what many queues may share, one gets at least so much: a busy one among many idle ones is not slow. */
const SHARE_MIN = 32
/**
 * SQS fills a receive from one group, and gives out nothing else of it meanwhile: the groups at work at the same time are as
 * many as the receives that fit, so these are made smaller. Nothing is received ahead: it would keep groups from replicas.
 */
const FIFO_GROUPS = 20

export class Held {
  readonly #options: HeldOptions
  readonly #stop = new AbortController()
  #buffer: DeliveryBuffer<HeldDelivery>
  /** By `Entry.key`, in the order in which they were received. */
  readonly #entries = new Map<string, Entry>()
  /** By URL. */
  readonly #lanes = new Map<string, Lane<Part>>()
  /** Those with something to hand out, in turn. */
  readonly #ready = new Set<Lane<Part>>()
  readonly #returning = new Set<Promise<unknown>>()
  readonly #heartbeat: Heartbeat
  #out = 0
  /** `between` two connections, what still comes of the last one is kept. */
  #state: 'reading' | 'between' | 'released' = 'between'

  constructor(options: HeldOptions) {
    this.#options = options
    this.#buffer = new DeliveryBuffer(options.unsettledMax)
    this.#buffer.end()
    const { clock, visibilityTimeoutMs } = options
    this.#heartbeat = new Heartbeat({
      clock,
      visibilityTimeoutMs,
      entries: () => this.#entries.values(),
      lapsed: (entry, reason) => this.#lapse(entry, reason),
    })
  }

  get deliveries(): DeliveryBuffer<Delivery> {
    return this.#buffer
  }

  /** That of a queue; the same one for as long as there is something in it. */
  lane(queue: Queue): Lane<Part> {
    const known = this.#lanes.get(queue.url)
    if (known !== undefined && known.queue.topic === queue.topic && (known.load > 0 || known.reserved > 0)) {
      // Its redrive policy may be another one by now.
      known.queue = queue
      return known
    }
    const { clock, at, client, failed } = this.#options
    const lane = new Lane<Part>({ queue, clock, at, client, failed, stop: this.#stop.signal })
    this.#lanes.set(queue.url, lane)
    return lane
  }

  /** How many more events a queue may bring; what is asked for counts already. */
  room(lane: Lane<Part>, queues: number): number {
    const { unsettledMax } = this.#options
    const share = Math.max(Math.min(SHARE_MIN, unsettledMax), Math.floor(unsettledMax / queues))
    return share - lane.load - lane.reserved
  }

  /** How many messages one receive may bring. */
  batchMax({ queue }: Lane<Part>, maxMessages: number): number {
    if (!queue.isFifo) return maxMessages
    return Math.min(maxMessages, Math.max(1, Math.floor(this.#options.unsettledMax / FIFO_GROUPS)))
  }

  /** A new connection, and soon a new reader. */
  begin(): void {
    this.#unread()
    this.#buffer = new DeliveryBuffer(this.#options.unsettledMax)
    this.#state = 'reading'
    this.#heartbeat.start()
    this.#pump()
  }

  /** What a receive brought, hidden from others as of `askedAt` of the monotonic clock. */
  take(lane: Lane<Part>, messages: readonly Message[], askedAt: number, isWanted: boolean): void {
    const { visibilityTimeoutMs, log, open } = this.#options
    for (const message of messages) {
      const key = `${lane.queue.url} ${message.MessageId}`
      const known = this.#entries.get(key)
      if (known?.settling === 'retry') {
        // The retry that was asked for overtakes the answer to it.
        this.#forget(known)
      } else if (known !== undefined) {
        this.#adopt(known, message, askedAt)
        continue
      }
      const opened = open(message, lane.queue)
      const entry = new Entry(key, lane, message, opened.kind === 'test' ? [] : opened.events)
      entry.receivedAt = askedAt
      entry.hiddenUntil = askedAt + visibilityTimeoutMs
      if (entry.parts.length === 0) {
        log.info('sqs.no-event', `queue ${lane.queue.name}: ${opened.kind === 'test' ? 'a test event of S3, sent when a notification is set up' : 'a notification without records'}; deleted`) // prettier-ignore
        void this.#track(lane.remove(() => entry.handle, () => entry.hiddenUntil)) // prettier-ignore
        continue
      }
      this.#entries.set(key, entry)
      lane.load += entry.parts.length
      if (!isWanted || this.#state === 'released') this.#giveBack([entry])
      else lane.ahead.push(...entry.parts)
    }
    if (lane.ahead.length > 0) this.#ready.add(lane)
    this.#pump()
  }

  /** The reader is told; what it has not pulled, and what it has not settled, waits for the next connection. */
  lost(error: HubError): void {
    this.#unread()
    if (this.#state === 'reading') this.#state = 'between'
    this.#buffer.fail(error)
  }

  /** Nobody pulls any more: what the hub does not have goes back at once, the rest can still be settled. */
  release(): void {
    this.#unread()
    this.#state = 'released'
    this.#buffer.end()
    this.#giveBack([...this.#entries.values()].filter(({ isOut }) => !isOut))
  }

  /** The queue is not wanted any more: the same for what is of it. */
  withdraw(lane: Lane<Part>): void {
    this.#unread()
    this.#giveBack([...this.#entries.values()].filter((entry) => entry.lane === lane && !entry.isOut))
    this.#pump()
  }

  /** Gives everything back, and waits until SQS knows, or `limit` has ended. */
  async close(limit: Promise<void>): Promise<void> {
    this.release()
    this.#giveBack([...this.#entries.values()])
    await Promise.race([Promise.allSettled(this.#returning), limit])
    this.#stop.abort()
    this.#heartbeat.stop()
  }

  /** Of one queue: what waits here, what the hub has, and when the oldest of that was sent. */
  of(lane: Lane<Part>): {
    readonly waiting: number
    readonly unsettled: number
    readonly oldestMs: number | undefined
  } {
    let unsettled = 0
    let oldestMs: number | undefined
    for (const entry of this.#entries.values()) {
      if (entry.lane !== lane) continue
      for (const { state, event } of entry.parts) {
        if (state === 'ahead' || state === 'done') continue
        unsettled += 1
        oldestMs = Math.min(oldestMs ?? Infinity, event.timestampMs)
      }
    }
    return { waiting: lane.ahead.length, unsettled, oldestMs }
  }

  // ── handing out ────────────────────────────────────────────────────────────────────────────────────────────────

  #pump(): void {
    while (this.#state === 'reading' && this.#out < this.#options.unsettledMax) {
      const [lane] = this.#ready
      if (lane === undefined) return
      this.#ready.delete(lane)
      const part = nextOf(lane)
      // To the end of the row.
      if (lane.ahead.length > 0) this.#ready.add(lane)
      if (part === undefined) continue
      if (this.#isExpired(part.entry)) {
        part.state = 'dropped'
        this.#forgetUnlessOut(part.entry)
        continue
      }
      this.#out += 1
      part.state = 'out'
      count(part, 1)
      this.#buffer.push(this.#deliveryOf(part))
    }
  }

  #deliveryOf(part: Part): HeldDelivery {
    const { event, retries, abort, entry } = part
    let settled: Promise<SettleResult> | undefined
    return {
      part,
      message: retries === 0 ? event : { ...event, attempt: event.attempt + retries },
      reject: entry.lane.queue.letters === undefined ? 'hub' : 'broker',
      signal: abort.signal,
      settle: (settlement) => (settled ??= this.#settle(part, settlement)),
    }
  }

  /** What is buffered goes back to where it came from. */
  #unread(): void {
    for (const { part } of this.#buffer.clear().toReversed()) {
      this.#leave(part, 'ahead')
      this.#again(part, true)
    }
  }

  #again(part: Part, isFirst: boolean): void {
    const { lane } = part.entry
    part.state = 'ahead'
    if (isFirst) lane.ahead.unshift(part)
    else lane.ahead.push(part)
    this.#ready.add(lane)
  }

  // ── settling ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #settle(part: Part, settlement: Settlement): Promise<SettleResult> {
    if (part.state !== 'out') return 'stale'
    try {
      if (settlement.kind === 'retry') return await this.#track(this.#retry(part, settlement.delayMs))
      if (settlement.kind === 'reject') await this.#bury(part, settlement.letters)
      return await this.#track(this.#done(part))
    } finally {
      if (part.state === 'out') this.#leave(part, 'done')
      this.#pump()
    }
  }

  /** A message of several events is deleted with the last of them. */
  async #done(part: Part): Promise<SettleResult> {
    const { entry } = part
    const { lane } = entry
    // While the dead letter was written it may have been given back.
    if (part.state !== 'out') return 'stale'
    if (entry.open > 1) {
      this.#leave(part, 'done')
      lane.load -= 1
      lane.wake()
      if (entry.isLapsed) this.#forgetUnlessOut(entry)
      return 'settled'
    }
    entry.settling = 'delete'
    const fate = await lane.remove(() => entry.handle, () => entry.hiddenUntil) // prettier-ignore
    this.#forget(entry)
    if (fate === 'done') return 'settled'
    this.#countLapsed(entry, fate === 'gone' ? 'it was given to somebody else' : 'SQS could not be told in time')
    return 'stale'
  }

  async #bury(part: Part, letters: readonly DeadLetter[]): Promise<void> {
    const { message, lane } = part.entry
    try {
      for (const letter of letters) await this.#options.bury(letter, message, lane.queue)
    } catch (error) {
      if (part.state === 'out') await this.#retry(part, LETTER_RETRY_MS)
      throw error
    }
  }

  async #retry(part: Part, delayMs: number): Promise<SettleResult> {
    const { entry } = part
    if (this.#mustStay(part)) {
      this.#leave(part, 'waiting')
      part.timer = this.#options.clock.after(delayMs, () => this.#due(part))
      return 'settled'
    }
    entry.settling = 'retry'
    const seconds = Math.min(wholeSeconds(delayMs), this.#heartbeat.secondsLeft(entry))
    const hidden = entry.lane.hide(() => entry.handle, seconds, () => entry.hiddenUntil) // prettier-ignore
    // They come again after it.
    if (entry.group !== undefined) this.#giveBack(this.#behind(entry))
    const fate = await hidden
    const isAgain = this.#entries.get(entry.key) !== entry
    this.#forget(entry)
    // Untold, it comes again as well, at the end of its visibility timeout.
    return fate === 'gone' && !isAgain ? 'stale' : 'settled'
  }

  /**
   * Given back, the settled events of its message would come again with it; or SQS, which counts, would move the message
   * away before the hub has given it up.
   */
  #mustStay({ entry, event }: Part): boolean {
    if (entry.lane.queue.isFifo) return false
    const { receivesMax } = entry.lane.queue
    return entry.parts.length > 1 || (receivesMax !== undefined && event.attempt >= receivesMax)
  }

  #due(part: Part): void {
    part.timer = undefined
    part.retries += 1
    this.#again(part, false)
    this.#pump()
  }

  /** Later messages of the same group. */
  #behind(entry: Entry): readonly Entry[] {
    const all = [...this.#entries.values()]
    return all.slice(all.indexOf(entry) + 1).filter(({ lane, group }) => lane === entry.lane && group === entry.group)
  }

  // ── what SQS takes back ────────────────────────────────────────────────────────────────────────────────────────

  #isExpired({ isLapsed, hiddenUntil }: Entry): boolean {
    return isLapsed || hiddenUntil <= this.#options.clock.monotonic()
  }

  /** SQS delivers again what is still worked on here: the same event, with a new receipt. */
  #adopt(entry: Entry, message: Message, askedAt: number): void {
    entry.handle = message.ReceiptHandle ?? entry.handle
    entry.receivedAt = askedAt
    entry.hiddenUntil = askedAt + this.#options.visibilityTimeoutMs
    entry.isLapsed = false
    for (const part of entry.parts) if (part.state === 'dropped') this.#again(part, false)
  }

  #lapse(entry: Entry, reason: string): void {
    if (this.#entries.get(entry.key) !== entry) return
    entry.isLapsed = true
    this.#countLapsed(entry, reason)
    this.#forgetUnlessOut(entry)
  }

  #countLapsed({ lane, message }: Entry, reason: string): void {
    this.#options.lapsed.add(1, { queue: lane.queue.name })
    this.#options.log.warn('sqs.lapsed', `queue ${lane.queue.name}: a message will come again: ${reason}`, { messageId: message.MessageId }) // prettier-ignore
  }

  // ── letting go ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** At once visible for others. What is being settled goes on. */
  #giveBack(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.settling !== undefined) continue
      for (const part of entry.parts) if (part.state === 'out') this.#leave(part, 'dropped')
      this.#forget(entry)
      for (const { abort } of entry.parts) abort.abort()
      if (!entry.isLapsed) void this.#track(entry.lane.hide(() => entry.handle, 0, () => entry.hiddenUntil)) // prettier-ignore
    }
  }

  #forgetUnlessOut(entry: Entry): void {
    if (entry.isOut) {
      for (const part of entry.parts) if (part.state === 'waiting' || part.state === 'ahead') this.#drop(part)
      return
    }
    this.#forget(entry)
  }

  /** The hub has it no more. */
  #leave(part: Part, state: PartState): void {
    part.state = state
    this.#out -= 1
    count(part, -1)
  }

  #drop(part: Part): void {
    part.timer?.cancel()
    part.timer = undefined
    part.state = 'dropped'
    const { ahead } = part.entry.lane
    const index = ahead.indexOf(part)
    if (index >= 0) ahead.splice(index, 1)
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.key) !== entry) return
    this.#entries.delete(entry.key)
    const { lane } = entry
    lane.load -= entry.open
    for (const part of entry.parts) if (part.state !== 'out' && part.state !== 'done') this.#drop(part)
    lane.wake()
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#returning.add(work)
    const ended = (): void => void this.#returning.delete(work)
    work.then(ended, ended)
    return work
  }
}
