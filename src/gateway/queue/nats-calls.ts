// Queued calls at NATS JetStream, as OpenFaaS's own gateway and queue-workers keep them; they may share the queue. Connects
// the queues to one server, publishes, and hands on.

import { jetstream } from '@nats-io/jetstream'
import type { JetStreamClient, JsMsg } from '@nats-io/jetstream'

import type { DeadLetterSink } from '../../delivery/dead-letters.ts'
import { HubError, errorText, within } from '../../sdk/index.ts'
import type { Clock } from '../../sdk/index.ts'
import type { CallStore, DueCall, QueuedCall } from './call.ts'
import { NatsAttempts } from './nats-attempts.ts'
import { REQUEST_TIMEOUT_MS, connectNats } from './nats-connection.ts'
import type { NatsLine } from './nats-connection.ts'
import { NatsQueue } from './nats-queue.ts'
import { queuesAt, streamOf } from './nats-stream.ts'
import { decodeRequest, encodeRequest } from './queue-request.ts'
import type { NatsSettings } from './settings.ts'

/** For the server to have read what was said last. */
const FLUSH_MS = 1000

export interface NatsCallsOptions {
  readonly nats: NatsSettings
  readonly ackWaitMs: number
  /** The queue of functions without one of their own. */
  readonly queueName: string
  readonly clock: Clock
  /** For messages that are no calls. */
  readonly deadLetters: DeadLetterSink
  readonly log: (line: string) => void
}

export class NatsCalls implements CallStore {
  /** Each is out of reach for other workers. */
  readonly heldMax = 1000
  readonly names: readonly string[]
  readonly #options: NatsCallsOptions
  readonly #line: NatsLine
  readonly #client: JetStreamClient
  readonly #attempts: NatsAttempts
  readonly #queues = new Map<string, Promise<NatsQueue>>()
  readonly #opened = new Map<string, NatsQueue>()

  private constructor(options: NatsCallsOptions, line: NatsLine, names: readonly string[]) {
    this.#options = options
    this.#line = line
    this.names = names
    this.#attempts = new NatsAttempts(line, options.log)
    this.#client = jetstream(line.nats, { timeout: REQUEST_TIMEOUT_MS })
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(options: NatsCallsOptions): Promise<NatsCalls> {
    const line = await connectNats(options.nats, options.log)
    try {
      const calls = new NatsCalls(options, line, await queuesAt(line.manager))
      await calls.#of(options.queueName)
      return calls
    } catch (error) {
      await line.nats.close()
      throw new HubError('HUB_SOURCE_FORBIDDEN', `${line.address}: ${errorText(error)}`, {
        cause: error,
        hint: `Allow the user $JS.API.> and ${options.queueName}, or create the stream ${streamOf(options.queueName)}.`,
      })
    }
  }

  /** Only those that this process holds: the others are known to the server. */
  get length(): number {
    return this.#opened.values().reduce((sum, { held }) => sum + held, 0)
  }

  async put(queue: string, call: QueuedCall): Promise<'queued' | 'too-large'> {
    const data = encodeRequest(call, queue === this.#options.queueName ? undefined : queue)
    if (data.byteLength > (this.#line.nats.info?.max_payload ?? Infinity)) return 'too-large'
    if (!this.#line.isUp()) throw this.#lost('not connected')
    try {
      const stored = await this.#of(queue)
      const { seq } = await this.#client.publish(queue, data, { expect: { streamName: streamOf(queue) } })
      stored.stored(call.callId, seq)
      return 'queued'
    } catch (error) {
      throw this.#lost(errorText(error), error)
    }
  }

  async *calls(queue: string, signal: AbortSignal): AsyncGenerator<DueCall, void> {
    yield* (await this.#of(queue)).calls(signal)
  }

  async cancel(callId: string): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>()
    try {
      for (const [name, queue] of this.#opened) {
        const count = await queue.cancel(callId)
        if (count > 0) counts.set(name, count)
      }
    } catch (error) {
      throw this.#lost(errorText(error), error)
    }
    return counts
  }

  async pending(queue: string): Promise<number> {
    const opened = this.#opened.get(queue)
    if (opened === undefined || !this.#line.isUp()) return 0
    return await opened.pending().catch(() => 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#opened.values().map((queue) => queue.close()))
    // What was said last is still to be read by the server; a server that is away must not keep the process.
    if (this.#line.isUp()) await within(this.#options.clock, FLUSH_MS, this.#line.nats.flush()).catch(() => undefined) // prettier-ignore
    await this.#line.nats.close()
  }

  /** Made where it is missing, once; one that failed is tried again by the next who asks. */
  #of(name: string): Promise<NatsQueue> {
    let queue = this.#queues.get(name)
    if (queue !== undefined) return queue
    const { clock, ackWaitMs, log } = this.#options
    queue = NatsQueue.open({
      name,
      line: this.#line,
      attempts: this.#attempts,
      clock,
      ackWaitMs,
      decode: decodeRequest,
      bury: (at, message, problem) => this.#bury(at, message, problem),
      log,
    }).then(
      (opened) => {
        this.#opened.set(name, opened)
        return opened
      },
      (error: unknown) => {
        this.#queues.delete(name)
        throw error
      },
    )
    this.#queues.set(name, queue)
    return queue
  }

  async #bury(queue: string, message: JsMsg, problem: string): Promise<void> {
    const { deadLetters, clock, log } = this.#options
    const { streamSequence, deliveryCount } = message.info
    const id = `${queue}@${streamSequence}`
    const reason = `it is no async call: ${problem}`
    await deadLetters.put({
      message: { id, source: queue, topic: queue, body: message.data, headers: {}, attempt: deliveryCount, timestampMs: message.time.getTime() }, // prettier-ignore
      function: '',
      reason,
      attempts: 0,
      failedAtMs: clock.now(),
    })
    log(`${id} is kept as a dead letter: ${reason}`)
  }

  #lost(text: string, cause?: unknown): HubError {
    return new HubError('HUB_SOURCE_LOST', `NATS at ${this.#line.address}: ${text}`, { canRetry: true, cause })
  }
}
