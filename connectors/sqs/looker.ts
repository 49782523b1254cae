// Looks at the messages of one queue, each of which must be received for it: given back at once, so that a hub that runs has
// it, and hidden until the look ends only while nobody takes any. Never the receive that makes SQS move a message away, as far
// as can be known. Owned by peek.ts.

import type { Message } from '@aws-sdk/client-sqs'

import { sleep } from '../../src/sdk/index.ts'
import type { EventMessage, HubError } from '../../src/sdk/index.ts'
import { laneOf } from './access.ts'
import type { Access } from './access.ts'
import { openMessage, receiveCount } from './event.ts'
import { Holding } from './holding.ts'
import type { Lane } from './lane.ts'
import { asLost } from './problems.ts'
import type { Address } from './queues.ts'
import { receiveSome } from './receiving.ts'

export interface Lookable extends Address {
  /** By the redrive policy; undefined: there is none. */
  readonly receivesMax: number | undefined
}

/** From then on a message is not received again: so many receives are left to the hub, and to what may come between. */
export const RECEIVES_LEFT = 1
/** Messages of one queue that are remembered; then the look at it ends. */
const SEEN_MAX = 10_000
/** For giving back what was received; after a crash it comes back then. */
const RECEIVE_S = 10
const HOLD_S = 60
/** For others who wait for messages to have what was given back. */
const OTHERS_FIRST_MS = 200

export class Looker {
  readonly queue: Lookable
  readonly #access: Access
  readonly #signal: AbortSignal
  readonly #stop = new AbortController()
  readonly #lane: Lane<never>
  readonly #holding: Holding
  /** The group of each message that was shown. */
  readonly #seen = new Map<string, string | undefined>()
  /** Given back, and not received again since. */
  readonly #given = new Set<string>()
  #reading: Promise<unknown> = Promise.resolve()
  #problem: HubError | undefined
  #isDone = false

  constructor(queue: Lookable, access: Access, signal: AbortSignal) {
    this.queue = queue
    this.#access = access
    this.#signal = signal
    this.#lane = laneOf(access, queue, this.#stop.signal, (problem) => (this.#problem ??= problem))
    this.#holding = new Holding({ lane: this.#lane, clock: access.context.clock, seconds: HOLD_S })
  }

  /** Some that were not seen before; undefined when the look at this queue has ended. @throws HubError HUB_SOURCE_* */
  next(): Promise<readonly EventMessage[] | undefined> {
    const reading = this.#next()
    this.#reading = reading.catch(() => undefined)
    return reading
  }

  /** Everything is visible again. Idempotent. */
  async end(): Promise<void> {
    this.#isDone = true
    await this.#reading
    await this.#holding.end()
    this.#stop.abort()
  }

  async #next(): Promise<readonly EventMessage[] | undefined> {
    for (;;) {
      if (this.#isDone || this.#signal.aborted) return undefined
      const messages = await receiveSome(this.#access, this.queue, RECEIVE_S, this.#signal)
      const fresh = messages.filter(({ MessageId: id = '' }) => !this.#seen.has(id))
      await (messages.length === 0 ? this.#releaseForOthers() : this.#take(messages))
      // Not given back in time, a message would be received again and again.
      if (this.#problem !== undefined) throw asLost(this.#problem)
      if (fresh.length > 0) return fresh.flatMap((message) => this.#open(message))
    }
  }

  /** Gives back what is seen for the first time, and holds what nobody took since. */
  async #take(messages: readonly Message[]): Promise<void> {
    for (const message of messages) this.#endBefore(message)
    const told = messages.map(({ MessageId: id = '', ReceiptHandle: handle = '', Attributes: system }) => {
      const isFresh = !this.#seen.has(id)
      this.#seen.set(id, system?.MessageGroupId)
      if (isFresh) this.#given.add(id)
      else this.#given.delete(id)
      // Again and again it would only be counted.
      return this.#isDone || isFresh ? this.#holding.giveBack(handle) : this.#holding.hide(id, handle)
    })
    await Promise.all(told)
    if (this.#isDone) await this.#holding.end()
    else if (this.#holding.size === 0) await this.#letOthers()
  }

  /**
   * Nothing is left to receive. What was given back and is not held was taken by somebody else: then what is held is for
   * them, too.
   */
  async #releaseForOthers(): Promise<void> {
    const held = new Set([...this.#holding.ids].map((id) => this.#seen.get(id)))
    // The rest of a group cannot be received while one of it is held.
    const taken = [...this.#given].filter((id) => !this.queue.isFifo || !held.has(this.#seen.get(id)))
    for (const id of taken) this.#given.delete(id)
    if (taken.length === 0 || held.size === 0) return
    for (const id of await this.#holding.release()) this.#given.add(id)
    await this.#letOthers()
  }

  /** To who waits for messages, before they are asked for again. */
  async #letOthers(): Promise<void> {
    await sleep(this.#access.context.clock, OTHERS_FIRST_MS, this.#signal).catch(() => undefined)
  }

  /** The next receive could be the last that the redrive policy leaves, to this message or to another one like it. */
  #endBefore({ Attributes: system }: Message): void {
    const { queue } = this
    const received = receiveCount(system)
    if (this.#isDone) return
    if (queue.receivesMax !== undefined && received >= queue.receivesMax - RECEIVES_LEFT) {
      this.#isDone = true
      const left = Math.max(0, queue.receivesMax - received)
      this.#say(`a message has been received ${received} times now, of ${queue.receivesMax} that its redrive policy allows (${left} left for the hub)`) // prettier-ignore
    } else if (this.#seen.size >= SEEN_MAX) {
      this.#isDone = true
      this.#say(`${SEEN_MAX} messages were seen`)
    }
  }

  #say(why: string): void {
    this.#access.context.log.warn('sqs.look-ended', `queue ${this.queue.name} is not looked at any further: ${why}`)
  }

  #open(message: Message): readonly EventMessage[] {
    const { context, config } = this.#access
    const { topic, url, name } = this.queue
    const opened = openMessage(message, {
      instance: context.instance,
      topic,
      queueUrl: url,
      queueName: name,
      receivedMs: context.clock.now(),
      unwrap: config.unwrap,
    })
    return opened.kind === 'events' ? opened.events : []
  }
}
