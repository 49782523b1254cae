// Copies of what is published on core NATS from now on, outside of the hub's queue group. Called by tools.ts.

import { randomUUID } from 'node:crypto'

import type { Msg, NatsConnection } from '@nats-io/transport-node'

import { DeliveryBuffer, HubError, RepeatGuard, errorText, orAborted } from '../../src/sdk/index.ts'
import type { EventMessage, Peek, Subscription, ToolContext } from '../../src/sdk/index.ts'
import { confirmed } from './confirmed.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { coreEvent } from './event.ts'
import { Overlaps } from './overlaps.ts'
import { addressesOf, lostProblem, reportRefusals } from './problems.ts'
import { wantedSubjects } from './subjects.ts'

export class CorePeek implements Peek {
  readonly means =
    'copies, by subscriptions of its own outside of every queue group: the members of the group get every message all the same'
  readonly caution =
    'Core NATS keeps nothing: only what is published from now on is seen, under ids of its own. Requests are not answered; one that no hub answers runs into its time limit while this looks, where it would be told at once that nobody is there.'
  readonly #config: NatsConfig
  readonly #context: ToolContext
  readonly #nats: NatsConnection
  readonly #signal: AbortSignal
  readonly #overlaps = new Overlaps()
  readonly #buffer: DeliveryBuffer<EventMessage>
  #bytes = 0
  readonly #run = randomUUID().slice(0, 8)
  #received = 0
  #dropped = 0
  readonly #dropsLogged: RepeatGuard
  readonly #onAbort = (): void => this.#buffer.end()

  private constructor(config: NatsConfig, context: ToolContext, nats: NatsConnection, signal: AbortSignal) {
    this.#config = config
    this.#context = context
    this.#nats = nats
    this.#signal = signal
    this.#buffer = new DeliveryBuffer(config.pendingMax)
    this.#dropsLogged = new RepeatGuard(context.clock)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    void nats.closed().then((error) => this.#buffer.fail(lostProblem(addressesOf(config.servers), error === undefined ? 'the connection was closed' : errorText(error)))) // prettier-ignore
  }

  /** @throws HubError HUB_SOURCE_*; HUB_SOURCE_FORBIDDEN when nothing of what is wanted may be subscribed to */
  static async open(
    config: NatsConfig,
    context: ToolContext,
    wanted: readonly Subscription[],
    signal: AbortSignal,
  ): Promise<CorePeek> {
    const nats = await dial(config, `connector-hub-${context.instance}-peek`, signal)
    const peek = new CorePeek(config, context, nats, signal)
    try {
      await orAborted(peek.#subscribe(wantedSubjects(wanted, config.topics)), signal)
      return peek
    } catch (error) {
      await peek[Symbol.asyncDispose]()
      throw error
    }
  }

  async *events(): AsyncIterable<EventMessage> {
    for await (const event of this.#buffer) {
      this.#bytes -= event.body.byteLength
      yield event
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#buffer.end()
    await this.#nats.close()
  }

  async #subscribe(subjects: readonly string[]): Promise<void> {
    this.#overlaps.set(subjects)
    const problems: HubError[] = []
    const refused = new Set<string>()
    for (const subject of subjects) {
      const callback = (error: Error | null, message: Msg): void => {
        if (error === null) {
          this.#take(subject, message)
          return
        }
        refused.add(subject)
        const text = `${addressesOf(this.#config.servers)}: ${errorText(error)}`
        problems.push(new HubError('HUB_SOURCE_FORBIDDEN', text, { cause: error, hint: `Allow the user to subscribe to ${subject} outside of a queue group.` })) // prettier-ignore
      }
      this.#nats.subscribe(subject, { callback })
    }
    await confirmed(this.#nats, this.#config, this.#context.clock)
    this.#overlaps.set(subjects.filter((subject) => !refused.has(subject)))
    reportRefusals(problems, subjects.length, this.#context.log)
  }

  #take(subscribed: string, message: Msg): void {
    if (this.#overlaps.isCopy(subscribed, message.subject)) return
    const { pendingBytesMax, orderingToken } = this.#config
    const size = message.data.byteLength
    if (this.#buffer.free <= 0 || this.#bytes + size > pendingBytesMax) {
      this.#drop()
      return
    }
    const { instance, clock } = this.#context
    const id = `${instance}:${this.#run}:${(this.#received += 1)}`
    this.#bytes += size
    this.#buffer.push(coreEvent(message, { instance, id, receivedAtMs: clock.now() }, orderingToken))
  }

  #drop(): void {
    this.#dropped += 1
    if (this.#dropsLogged.pass('nats.slow-consumer') === undefined) return
    this.#context.log.warn('nats.slow-consumer', `${this.#dropped} messages are not shown: they come faster than they can be`) // prettier-ignore
  }
}
