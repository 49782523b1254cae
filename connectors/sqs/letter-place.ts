// The letters of one dead-letter queue while somebody goes through them: received one after the other, hidden until they are
// removed or the end, then given back. Bounded by what SQS lets be hidden, not by the queue. Owned by letter-box.ts.

import type { Message } from '@aws-sdk/client-sqs'

import { HubError } from '../../src/sdk/index.ts'
import type { DeadLetter, HeldLetter } from '../../src/sdk/index.ts'
import { laneOf } from './access.ts'
import type { Access } from './access.ts'
import { sentMs } from './event.ts'
import { Holding } from './holding.ts'
import type { Lane } from './lane.ts'
import { lettersOf } from './letter-message.ts'
import type { Lookable } from './looker.ts'
import { receiveSome } from './receiving.ts'
import { serverTime } from './server-time.ts'

/** After a crash the letters come back when it is over. */
export const HIDE_S = 300
/** Receipts kept at the same time; SQS itself hides 120,000 messages of a queue at most. */
const HELD_MAX = 20_000
/** In a row, of letters that came after the beginning: those before are through. */
const LATE_ROUNDS_MAX = 3
const REMOVE_MS = 30_000

export class LetterPlace {
  readonly queue: Lookable
  readonly #access: Access
  readonly #heldMax: number
  readonly #lane: Lane<never>
  readonly #holding: Holding
  readonly #stop = new AbortController()
  readonly #removals = new Set<Promise<void>>()
  #reading: Promise<unknown> = Promise.resolve()
  #problem: HubError | undefined

  /** @param heldMax receipts kept at the same time */
  constructor(queue: Lookable, access: Access, heldMax: number = HELD_MAX) {
    this.queue = queue
    this.#heldMax = heldMax
    this.#access = access
    this.#lane = laneOf(access, queue, this.#stop.signal, (problem) => (this.#problem ??= problem))
    this.#holding = new Holding({ lane: this.#lane, clock: access.context.clock, seconds: HIDE_S })
  }

  /** Those that are there when it begins. @throws HubError HUB_SOURCE_* */
  async *letters(signal: AbortSignal): AsyncGenerator<HeldLetter, void> {
    const beganMs = await serverTime(this.queue, this.#access, signal)
    let lateRounds = 0
    while (!signal.aborted && lateRounds < LATE_ROUNDS_MAX) {
      // A group of a FIFO queue is given out further only when the removal of those before is done.
      await Promise.allSettled(this.#removals)
      if (this.#holding.size >= this.#heldMax) {
        this.#warn('sqs.letters-cut', `queue ${this.queue.name}: ${this.#heldMax} letters are held, and no more are read: remove or redrive some, then look again`) // prettier-ignore
        return
      }
      const messages = await this.#receive(signal)
      if (messages.length === 0) return
      const early = messages.filter((message) => (sentMs(message) ?? 0) <= beganMs)
      lateRounds = early.length === 0 ? lateRounds + 1 : 0
      for (const message of early) yield* this.#held(message)
    }
  }

  /** What was not removed is visible again. Idempotent. */
  async end(): Promise<void> {
    await this.#reading
    await Promise.allSettled(this.#removals)
    await this.#holding.end()
    this.#stop.abort()
  }

  async #receive(signal: AbortSignal): Promise<readonly Message[]> {
    const reading = receiveSome(this.#access, this.queue, HIDE_S, signal).then((messages) => {
      for (const { MessageId: id = '', ReceiptHandle: handle = '' } of messages) this.#holding.add(id, handle)
      return messages
    })
    this.#reading = reading.catch(() => undefined)
    const messages = await reading
    // What hides or removes them may work again by now.
    if (this.#problem?.canRetry === false) throw this.#problem
    return messages
  }

  /** Of S3's notifications one message may hold several. */
  #held(message: Message): readonly HeldLetter[] {
    const { context, config } = this.#access
    const { topic, url, name } = this.queue
    const { MessageId: id = '' } = message
    const letters = lettersOf(message, {
      instance: context.instance,
      topic,
      queueUrl: url,
      queueName: name,
      receivedMs: context.clock.now(),
      unwrap: config.unwrap,
    })
    const left = new Set(letters)
    return letters.map((letter, index) => ({
      id: letters.length === 1 ? `${name}/${id}` : `${name}/${id}#${index + 1}`,
      letter,
      remove: () => this.#remove(id, letter, left),
    }))
  }

  async #remove(id: string, letter: DeadLetter, left: Set<DeadLetter>): Promise<void> {
    if (!left.delete(letter) || left.size > 0) return
    const removal = this.#delete(id)
    this.#removals.add(removal)
    try {
      await removal
    } catch (error) {
      // May be tried again.
      left.add(letter)
      throw error
    } finally {
      this.#removals.delete(removal)
    }
  }

  async #delete(id: string): Promise<void> {
    const { context, at } = this.#access
    const handle = this.#holding.handleOf(id)
    const lapsed = (why: string): HubError =>
      new HubError('HUB_SOURCE_LOST', `${at}: queue ${this.queue.name}: letter ${id} ${why}`, { canRetry: true, hint: 'Look again: it is there unless somebody else has removed it.' }) // prettier-ignore
    if (handle === undefined) throw lapsed('is not held any more')
    const untilMs = context.clock.monotonic() + REMOVE_MS
    const fate = await this.#lane.remove(() => handle, () => untilMs) // prettier-ignore
    if (fate === 'untold') throw this.#problem ?? lapsed('could not be removed in time')
    this.#holding.drop(id)
    if (fate === 'gone') throw lapsed('was given to somebody else meanwhile')
  }

  #warn(event: string, text: string): void {
    this.#access.context.log.warn(event, text)
  }
}
