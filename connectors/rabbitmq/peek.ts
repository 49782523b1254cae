// Events as a hub would get them, by the means that do least at each kind of queue. Called by tools.ts.

import { createHash, randomUUID } from 'node:crypto'

import type { Message } from 'amqplib'

import { HubError, asHubError, errorText, sleep } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, Subscription, ToolContext } from '../../src/sdk/index.ts'
import { BindingKeys } from './binding-keys.ts'
import { addressOf, dial } from './dial.ts'
import type { Link, RabbitConfig } from './dial.ts'
import { streamOffsetOf, toEvent } from './event.ts'
import type { QueueKind } from './feed.ts'
import { declareProblem, queueProblem } from './problems.ts'
import { HELD_MAX, QueueLook } from './queue-look.ts'
import { streamKey } from './stream-place.ts'
import { ownQueue, report } from './subscriptions.ts'
import { Tap } from './tap.ts'
import { bindPrivate, countsOf, ensureExchange, kindOf } from './topology.ts'

interface Look {
  /** Of the hub, where its messages would come from. */
  readonly queue: string
  take(): Promise<Message | undefined> | Message | undefined
  close(): Promise<void>
}

/** How often a queue that nobody reads is asked for what came. */
const AGAIN_MS = 250

export class RabbitPeek implements Peek {
  means = ''
  caution: string | undefined
  readonly #config: RabbitConfig
  readonly #context: ToolContext
  readonly #signal: AbortSignal
  readonly #link: Link
  readonly #at: string
  #looks: readonly Look[] = []
  readonly #stop = new AbortController()
  /** Makes ids of messages that have none. */
  readonly #nonce = randomUUID().slice(0, 8)
  #made = 0
  #topicOf: ((message: Message) => string) | undefined

  private constructor(config: RabbitConfig, context: ToolContext, link: Link, signal: AbortSignal) {
    this.#config = config
    this.#context = context
    this.#link = link
    this.#signal = signal
    this.#at = addressOf(config)
  }

  /** @throws HubError HUB_SOURCE_*; that of the first queue when none of them can be looked at */
  static async open(
    config: RabbitConfig,
    context: ToolContext,
    wanted: readonly Subscription[],
    signal: AbortSignal,
  ): Promise<RabbitPeek> {
    const topics = [...new Set(wanted.flatMap((one) => (one.kind === 'topic' ? [one.topic] : [])))]
    const link = await dial(config, `connector-hub ${context.instance} look`, context.clock, signal)
    const peek = new RabbitPeek(config, context, link, signal)
    try {
      if (config.exchange === undefined) await peek.#openQueues(topics)
      else await peek.#openExchange(config.exchange, topics)
      return peek
    } catch (error) {
      await peek[Symbol.asyncDispose]()
      signal.throwIfAborted()
      throw asHubError(error, 'HUB_SOURCE_LOST', true)
    }
  }

  async *events(): AsyncIterable<EventMessage> {
    const stop = AbortSignal.any([this.#stop.signal, this.#signal])
    let lost: HubError | undefined
    void this.#link.ended.then((error) => {
      lost = new HubError('HUB_SOURCE_LOST', `${this.#at}: ${error === undefined ? 'the connection was closed' : errorText(error)}`, { canRetry: true }) // prettier-ignore
      this.#stop.abort(lost)
    })
    while (!stop.aborted) {
      let isAny = false
      for (const look of this.#looks) {
        const message = await this.#take(look)
        if (message === undefined || stop.aborted) continue
        isAny = true
        yield this.#event(message, look.queue)
      }
      if (!isAny) await sleep(this.#context.clock, AGAIN_MS, stop).catch(() => undefined)
    }
    if (lost !== undefined && !this.#signal.aborted) throw lost
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    // A connection that ends meanwhile leaves the client's promises open for ever.
    await Promise.race([Promise.all(this.#looks.map((look) => look.close())), this.#link.ended])
    await this.#link.close()
  }

  /** One that does not let itself be looked at is said, and the others go on. @throws HubError when it was the last */
  async #take(look: Look): Promise<Message | undefined> {
    try {
      return await look.take()
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined
      const problem = queueProblem(error, this.#at, look.queue)
      this.#looks = this.#looks.filter((one) => one !== look)
      await look.close()
      if (this.#looks.length === 0) throw problem
      report(this.#context, [problem])
      return undefined
    }
  }

  #event(message: Message, queue: string): EventMessage {
    const { instance, clock } = this.#context
    const { orderingKey } = this.#config
    const topicOf = this.#topicOf ?? (() => queue)
    return toEvent(message, { instance, queue, orderingKey, receivedMs: clock.now(), fallbackId: `${this.#nonce}-${(this.#made += 1)}`, topicOf }, 0) // prettier-ignore
  }

  /** What cannot be looked at is said, and the others are looked at. */
  async #openQueues(topics: readonly string[]): Promise<void> {
    const problems: HubError[] = []
    const cautions: string[] = []
    for (const queue of topics)
      try {
        const { look, caution } = await this.#openQueue(queue)
        this.#looks = [...this.#looks, look]
        if (caution !== undefined) cautions.push(caution)
      } catch (error) {
        problems.push(queueProblem(error, this.#at, queue))
      }
    const [problem] = problems
    if (problem !== undefined && this.#looks.length === 0) throw problem
    report(this.#context, problems)
    this.means = 'streams are read from the place of the hub, by a consumer that moves no place; messages of queues are got, not acknowledged, and go back to their places when their channel is closed' // prettier-ignore
    this.caution = cautions.length === 0 ? undefined : cautions.join('. ')
  }

  async #openQueue(queue: string): Promise<{ readonly look: Look; readonly caution: string | undefined }> {
    const { model } = this.#link
    const { log, clock } = this.#context
    const kind = await kindOf(model, queue)
    if (kind === 'stream') return { look: await this.#openStream(queue), caution: undefined }
    const { consumers } = await countsOf(model, queue)
    const mode = consumers > 0 ? 'page' : 'hold'
    return {
      look: new QueueLook({ model, queue, kind, mode, clock, log }),
      caution: cautionOf(queue, kind, mode, consumers),
    }
  }

  async #openStream(queue: string): Promise<Look> {
    const stored = this.#context.recall(streamKey(queue))
    const place = stored === undefined ? undefined : BigInt(stored)
    const from = place === undefined ? this.#config.streamOffset : Number(place)
    // The broker sends whole chunks.
    const isKnown = (message: Message): boolean => place !== undefined && (streamOffsetOf(message) ?? place) < place
    return await this.#tap(queue, queue, { arguments: { 'x-stream-offset': from } }, isKnown)
  }

  async #tap(read: string, queue: string, consume: object, isKnown?: (message: Message) => boolean): Promise<Look> {
    const { model } = this.#link
    const tap = await Tap.open({ model, queue: read, log: this.#context.log, consume, ...(isKnown === undefined ? {} : { isKnown }) }) // prettier-ignore
    return { queue, take: () => tap.take(), close: () => tap.close() }
  }

  /** Between what waits and what is new nothing is missed, and what came to both queues is shown once. */
  async #openExchange(exchange: string, topics: readonly string[]): Promise<void> {
    const { model } = this.#link
    const { clock, log } = this.#context
    const binding = new BindingKeys(this.#config, topics)
    report(this.#context, binding.problems)
    this.#topicOf = binding.topicOf
    await ensureExchange(model, this.#at, { ...this.#config, declare: false })
    const queue = ownQueue(this.#config, this.#context.instance)
    const before = await this.#waitingOf(queue)
    let mine: string
    try {
      mine = await bindPrivate(model, exchange, binding.keys)
    } catch (error) {
      throw declareProblem(error, `${this.#at}: a queue of our own at exchange ${exchange}`)
    }
    const limit = before === undefined ? 0 : (await countsOf(model, queue)).messages
    this.means = `new events come to a queue of our own, which is bound to ${exchange} like that of the hub and ends with the look; the events of the hub are not touched by that` // prettier-ignore
    const kind = limit > 0 ? await kindOf(model, queue) : 'unknown'
    if (limit > 0) this.caution = cautionOf(queue, kind, 'waiting', 0)
    const page = new QueueLook({ model, queue, kind, mode: 'page', limit, clock, log })
    /** What came between the two counts is in both queues. */
    const both = new Set<string>()
    const tap = await this.#tap(mine, queue, { exclusive: true }, (message) => both.delete(fingerprint(message)))
    let taken = 0
    const take = async (): Promise<Message | undefined> => {
      const message = await page.take()
      if (message === undefined) return await tap.take()
      taken += 1
      if (taken > (before ?? 0)) both.add(fingerprint(message))
      return message
    }
    const close = async (): Promise<void> => void (await Promise.all([page.close(), tap.close()]))
    this.#looks = [{ queue, take, close }]
  }

  /** How many wait in the hub's queue; undefined, and said, when it is not there or not ours to read. */
  async #waitingOf(queue: string): Promise<number | undefined> {
    try {
      const { messages } = await countsOf(this.#link.model, queue)
      if (messages > 0) await kindOf(this.#link.model, queue)
      return messages
    } catch (error) {
      const { message } = queueProblem(error, this.#at, queue)
      this.#context.log.warn('rabbitmq.look', `${message}: only new events are shown`)
      return undefined
    }
  }
}

/** Of one message in two queues: what does not change on the way. */
function fingerprint({ content, fields, properties: { messageId, timestamp, correlationId } }: Message): string {
  return createHash('sha256').update(content).update(JSON.stringify([fields.routingKey, messageId, timestamp, correlationId])).digest('base64') // prettier-ignore
}

/** @param mode as of `QueueLook`; `waiting`: the page of a queue whose new messages are seen in another way */
function cautionOf(queue: string, kind: QueueKind, mode: 'page' | 'hold' | 'waiting', consumers: number): string {
  const counted = 'its delivery count grows by one, and beyond a delivery limit of the queue the broker drops it or moves it to the dead letter exchange of the queue' // prettier-ignore
  const flagged = 'it is marked as redelivered'
  const mark =
    kind === 'quorum' ? counted : kind === 'classic' ? flagged : `${flagged}, or, in a quorum queue, ${counted}`
  const others = `${consumers} consumer${consumers === 1 ? '' : 's'}`
  const what = {
    hold: `is kept from others until the look ends, at most ten minutes and ${HELD_MAX} messages, or half a second after a consumer comes`,
    page: `is kept from others for a moment and given back before it is shown; it has ${others}, and what comes to them now is not shown`,
    waiting: 'is kept from others for a moment and given back before it is shown',
  }[mode]
  return `What waits in the queue ${queue} ${what}. Of each message that is shown: ${mark}`
}
