// The core NATS source: one connection, and on it one subscription for each wanted subject, in a queue group. Nothing is kept
// at the server, so what was received waits in waiting.ts; how answers go back is in reply.ts.

import { randomUUID } from 'node:crypto'

import type { Msg, NatsConnection, Subscription as Subscribed } from '@nats-io/transport-node'

import { HubError, RepeatGuard, errorText, reading } from '../../src/sdk/index.ts'
import type {
  Delivery,
  FunctionResult,
  ProbeReport,
  Source,
  SourceContext,
  SourceCounter,
  Subscription,
} from '../../src/sdk/index.ts'
import { confirmed } from './confirmed.ts'
import type { NatsConfig } from './dial.ts'
import { coreEvent } from './event.ts'
import { Line } from './line.ts'
import { queueGroupOf } from './manifest.ts'
import { Overlaps } from './overlaps.ts'
import { probeCore } from './probe.ts'
import { lostProblem, reportRefusals } from './problems.ts'
import { answer, mayAnswer } from './reply.ts'
import { wantedSubjects } from './subjects.ts'
import { Waiting } from './waiting.ts'

/** What belongs to one connection and dies with it. */
interface Connection {
  readonly nats: NatsConnection
  /** By subject filter. */
  readonly subscribed: Map<string, Subscribed>
  readonly overlaps: Overlaps
}

export class CoreSource implements Source {
  readonly #config: NatsConfig
  readonly #context: SourceContext
  readonly #name: string
  readonly #group: string | undefined
  readonly #line: Line
  readonly #waiting: Waiting
  readonly #drops: SourceCounter
  readonly #replies: SourceCounter
  /** Core NATS has nothing to tell messages by. */
  readonly #run = randomUUID().slice(0, 8)
  #received = 0
  #dropped = 0
  readonly #dropsLogged: RepeatGuard
  #connection: Connection | undefined
  /** Of a server that shuts down: read until another one is. */
  #leaving: Connection | undefined
  #closed = false

  constructor(config: NatsConfig, context: SourceContext) {
    this.#config = config
    this.#context = context
    this.#name = `connector-hub-${context.instance}`
    this.#group = queueGroupOf(config)
    this.#line = new Line(config, context, this.#name)
    this.#dropsLogged = new RepeatGuard(context.clock)
    this.#drops = context.counter('nats_dropped_total', 'Messages dropped because too many waited, or at the end.')
    this.#replies = context.counter('nats_replies_total', 'Answers of functions published on reply subjects.', ['outcome']) // prettier-ignore
    const { pendingMax, pendingBytesMax } = config
    const { unsettledMax } = context
    this.#waiting = new Waiting({ unsettledMax, pendingMax, pendingBytesMax, dropped: () => this.#drop() })
    context.gauge('nats_waiting', 'Messages received that no function could take yet.', [], () => [{ labels: [], value: this.#waiting.length }]) // prettier-ignore
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#closed) throw this.#lostProblem('the source is closed')
    const earlier = this.#connection
    this.#connection = undefined
    if (earlier !== undefined) await this.#line.end(earlier.nats)
    let connection: Connection | undefined
    const nats = await this.#line.open(signal, {
      leaving: (error) => this.#leave(connection, error),
      lost: (error) => this.#lost(connection, error),
    })
    if (this.#closed || nats.isClosed()) {
      await this.#line.end(nats)
      throw this.#lostProblem(this.#closed ? 'the source was closed while it connected' : 'the connection was closed')
    }
    connection = { nats, subscribed: new Map(), overlaps: new Overlaps() }
    this.#connection = connection
    this.#waiting.begin()
  }

  /**
   * What a server refuses is reported and missing, the other subjects work.
   * @throws HubError HUB_SOURCE_FORBIDDEN when it refuses all of them
   */
  async subscribe(wanted: readonly Subscription[], signal: AbortSignal): Promise<void> {
    const connection = this.#live()
    const { subscribed, overlaps, nats } = connection
    const subjects = wantedSubjects(wanted, this.#config.topics)
    const added = subjects.filter((subject) => !subscribed.has(subject))
    overlaps.set([...subscribed.keys(), ...added])
    const problems: HubError[] = []
    for (const subject of added) this.#add(connection, subject, problems)
    // The server has read all of it, and said what it refuses.
    await confirmed(nats, this.#config, this.#context.clock)
    signal.throwIfAborted()
    for (const [subject, subscription] of subscribed) {
      if (subjects.includes(subject)) continue
      subscribed.delete(subject)
      drain(subscription)
    }
    overlaps.set([...subscribed.keys()])
    await this.#retire()
    reportRefusals(problems, subjects.length, this.#context.log)
  }

  deliveries(signal: AbortSignal): AsyncIterable<Delivery> {
    const connection = this.#live()
    return reading(this.#waiting.deliveries, signal, () => {
      if (this.#connection !== connection) return
      // Else the server would go on to choose this member of the group, in vain.
      unsubscribe(connection)
      this.#waiting.pause()
    })
  }

  probe(topics: readonly string[], signal: AbortSignal): Promise<ProbeReport> {
    const { clock } = this.#context
    return probeCore({ config: this.#config, name: `${this.#name}-probe`, clock, topics }, signal)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const open = [this.#connection, this.#leaving].filter((one) => one !== undefined)
    this.#connection = undefined
    this.#leaving = undefined
    let lost = this.#waiting.end()
    await Promise.all(open.map(({ nats }) => this.#line.end(nats)))
    // What was on its way.
    lost += this.#waiting.end()
    if (lost === 0) return
    this.#drops.add(lost)
    this.#context.log.warn('nats.dropped', `${lost} messages were received and not handed to a function any more`)
  }

  #add(connection: Connection, subject: string, problems: HubError[]): void {
    const subscription = connection.nats.subscribe(subject, {
      ...(this.#group === undefined ? {} : { queue: this.#group }),
      callback: (error, message) => {
        if (error === null) {
          this.#take(connection, subject, message)
          return
        }
        // The server has ended it.
        connection.subscribed.delete(subject)
        const hint = `Allow the user to subscribe to ${subject}${this.#group === undefined ? '' : ` in the queue group ${this.#group}`}.` // prettier-ignore
        problems.push(new HubError('HUB_SOURCE_FORBIDDEN', `${this.#line.addresses}: ${errorText(error)}`, { cause: error, hint })) // prettier-ignore
      },
    })
    connection.subscribed.set(subject, subscription)
  }

  #take({ nats, overlaps }: Connection, subscribed: string, message: Msg): void {
    if (this.#group === undefined && overlaps.isCopy(subscribed, message.subject)) return
    const { instance, clock } = this.#context
    const id = `${instance}:${this.#run}:${(this.#received += 1)}`
    const identity = { instance, id, receivedAtMs: clock.now() }
    const { reply } = message
    this.#waiting.take({
      message: coreEvent(message, identity, this.#config.orderingToken),
      reply:
        this.#config.reply && mayAnswer(reply)
          ? { bytesMax: nats.info?.max_payload ?? 0, send: (results) => this.#answer(nats, reply, results) }
          : undefined,
    })
  }

  /** One answer for each function, in their order: who asks for one takes the first. Never throws. */
  #answer(received: NatsConnection, reply: string, results: readonly FunctionResult[]): void {
    for (const result of results) {
      // The requester is reached by any server of the cluster.
      const nats = received.isClosed() ? (this.#connection ?? this.#leaving)?.nats : received
      let outcome = 'lost'
      try {
        if (nats !== undefined) outcome = answer(nats, reply, result)
      } catch (error) {
        this.#context.log.debug('nats.reply-lost', errorText(error))
      }
      this.#replies.add(1, { outcome })
    }
  }

  #drop(): void {
    this.#drops.add(1)
    this.#dropped += 1
    if (this.#dropsLogged.pass('nats.slow-consumer') === undefined) return
    const waiting = this.#waiting.length
    this.#context.log.warn('nats.slow-consumer', `${this.#dropped} messages dropped so far, ${waiting} wait: the functions are slower than the messages come. Add replicas, raise the concurrency, or use JetStream`, { dropped: this.#dropped, waiting }) // prettier-ignore
  }

  /** Without a group both connections would bring every message; with one, the old one stays until the new one reads. */
  #leave(connection: Connection | undefined, error: HubError): void {
    if (connection === undefined || this.#connection !== connection) return
    this.#connection = undefined
    this.#leaving = connection
    if (this.#group === undefined) unsubscribe(connection)
    this.#waiting.pause(error)
  }

  async #retire(): Promise<void> {
    const leaving = this.#leaving
    this.#leaving = undefined
    if (leaving !== undefined) await this.#line.end(leaving.nats)
  }

  #lost(connection: Connection | undefined, error: HubError): void {
    if (connection !== undefined && this.#leaving === connection) this.#leaving = undefined
    if (connection === undefined || this.#connection !== connection) return
    this.#connection = undefined
    this.#waiting.pause(error)
  }

  #live(): Connection {
    if (this.#connection === undefined) throw this.#lostProblem('not connected')
    return this.#connection
  }

  #lostProblem(text: string): HubError {
    return lostProblem(this.#line.addresses, text)
  }
}

function unsubscribe({ subscribed }: Connection): void {
  for (const subscription of subscribed.values()) drain(subscription)
}

/** What the server has sent already is still taken: nobody else gets it. */
function drain(subscription: Subscribed): void {
  subscription.drain().catch(() => undefined)
}
