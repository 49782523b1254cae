// Publishes test events: into streams, each confirmed by its stream, or on core NATS, which only confirms to have read them.
// Called by tools.ts.

import { jetstream } from '@nats-io/jetstream'
import type { JetStreamClient } from '@nats-io/jetstream'
import { errors } from '@nats-io/transport-node'
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node'

import { HubError, RepeatGuard, errorChain, errorText } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent, ToolContext } from '../../src/sdk/index.ts'
import { dial } from './dial.ts'
import type { NatsConfig } from './dial.ts'
import { Flushes } from './flushes.ts'
import { checkKey, checkSubject, headersOf } from './outgoing.ts'
import { addressesOf, violationOf } from './problems.ts'
import { Refusals } from './refusals.ts'

export class NatsEmitter implements Emitter {
  readonly place: string
  readonly inFlightMax = 256
  readonly #config: NatsConfig
  readonly #context: ToolContext
  readonly #nats: NatsConnection
  readonly #client: JetStreamClient
  readonly #flushes: Flushes
  readonly #refusals: Refusals
  readonly #elsewhereLogged: RepeatGuard

  private constructor(config: NatsConfig, context: ToolContext, nats: NatsConnection) {
    this.#config = config
    this.#context = context
    this.#nats = nats
    this.#client = jetstream(nats, { timeout: config.connectTimeout })
    this.#flushes = new Flushes(nats)
    this.#refusals = new Refusals(nats)
    this.#elsewhereLogged = new RepeatGuard(context.clock)
    this.place = `NATS ${nats.info?.version ?? ''}${config.layer === 'core' ? '' : ' with JetStream'} at ${nats.getServer()}`
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(config: NatsConfig, context: ToolContext, signal: AbortSignal): Promise<NatsEmitter> {
    const nats = await dial(config, `connector-hub-${context.instance}-emit`, signal)
    return new NatsEmitter(config, context, nats)
  }

  async emit(event: OutgoingEvent): Promise<string> {
    const { topic } = event
    checkSubject(topic)
    checkKey(event, this.#config.orderingToken)
    const headers = headersOf(event)
    try {
      return this.#config.layer === 'core' ? await this.#say(event, headers) : await this.#store(event, headers)
    } catch (error) {
      throw this.#problem(error, topic)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nats.close()
  }

  async #store({ topic, body }: OutgoingEvent, headers: MsgHdrs | undefined): Promise<string> {
    const stored = this.#client.publish(topic, body, headers === undefined ? {} : { headers })
    const { stream, seq, duplicate } = await this.#refusals.guard(topic, stored)
    const read = this.#config.stream
    if (read !== undefined && stream !== read && this.#elsewhereLogged.pass(stream) !== undefined)
      this.#context.log.warn('nats.elsewhere', `${topic} is in the stream ${stream}, and the connector reads ${read} only`) // prettier-ignore
    return `${stream}@${seq}${duplicate ? ', which it was already: not stored again' : ''}`
  }

  async #say({ topic, body }: OutgoingEvent, headers: MsgHdrs | undefined): Promise<string> {
    this.#nats.publish(topic, body, headers === undefined ? {} : { headers })
    await this.#refusals.guardUnanswered(topic, this.#flushes.done())
    return `${topic}, read by the server; who got it is not told`
  }

  #problem(error: unknown, topic: string): HubError {
    if (error instanceof HubError) return error
    const { servers } = this.#config
    const failed = (text: string, options: { readonly hint?: string; readonly canRetry?: boolean }): HubError =>
      new HubError('HUB_EMIT_FAILED', `${addressesOf(servers)}: ${text}`, { cause: error, ...options })
    if (violationOf(error) !== undefined)
      return failed(`the user may not publish to ${topic}`, { hint: `Allow the user to publish to ${topic}.` })
    const chain = errorChain(error)
    if (chain.some((one) => one instanceof errors.NoRespondersError)) return failed(`no stream has the subject ${topic}`, { hint: this.#createHint(topic) }) // prettier-ignore
    if (chain.some((one) => one instanceof errors.InvalidArgumentError)) {
      const max = this.#nats.info?.max_payload
      return new HubError('HUB_USAGE', `${topic}: ${errorText(error)}`, { cause: error, hint: `A message with its headers has at most ${max} bytes here; max_payload of the server says so.` }) // prettier-ignore
    }
    if (error instanceof errors.TimeoutError || this.#nats.isClosed())
      return failed(`${this.#nats.isClosed() ? 'the connection ended' : 'no answer'} before the event was confirmed; it may be there all the same`, { canRetry: true }) // prettier-ignore
    return failed(errorText(error), {})
  }

  #createHint(topic: string): string {
    const { stream = 'EVENTS', createStream } = this.#config
    const byHub = createStream ? 'Start the hub, which makes it when a function asks for it (createStream), or create it' : 'Create it' // prettier-ignore
    const isOff = this.#nats.info?.jetstream === true ? '' : ' This server runs without JetStream: start it with -js, or set layer: core.' // prettier-ignore
    return `${byHub}: nats stream add ${stream} --subjects "${topic}" --defaults; where it is there, nats stream edit.${isOff}` // prettier-ignore
  }
}
