// The async side of the gateway: takes calls in, has a worker run them for each queue, posts their results, cancels them. Puts
// the parts together; where calls are kept is the store's matter, and how they are retried the dispatcher's.

import { join } from 'node:path'

import { Limits } from '../../delivery/limits.ts'
import { GatewayGate } from '../../invoke/gateway-gate.ts'
import { errorText, keepNewest } from '../../sdk/index.ts'
import type {
  Clock,
  DeadLetter,
  Delivery,
  EventMessage,
  FunctionResult,
  SettleResult,
  Settlement,
  Trigger,
} from '../../sdk/index.ts'
import { HubEvents } from '../../telemetry/events.ts'
import { Metrics } from '../../telemetry/metrics.ts'
import { VERSION } from '../../telemetry/version.ts'
import type { DeployedFunction } from '../functions.ts'
import { fullName } from '../http.ts'
import type { CallStore, DueCall, QueuedCall } from './call.ts'
import { CallLetters } from './call-letters.ts'
import { Callbacks } from './callbacks.ts'
import type { QueueCounts, QueueReadings } from './queue-metrics.ts'
import { QueueWorker } from './queue-worker.ts'
import { ReportingInvoker } from './reporting-invoker.ts'
import { queueOf, retryAnnotations, retrySettings } from './retry-settings.ts'
import type { QueueSettings } from './settings.ts'
import { SqliteCalls } from './sqlite-calls.ts'

export interface AsyncCallsOptions {
  readonly settings: QueueSettings
  readonly stateDir: string
  /** Namespace of functions that name none. */
  readonly namespace: string
  /** Of a whole invocation. */
  readonly timeoutMs: number
  readonly clock: Clock
  /** The function as queued; undefined where it is not deployed. */
  readonly find: (functionName: string) => Pick<DeployedFunction, 'spec' | 'inFlightMax'> | undefined
  readonly log: (line: string) => void
}

const USER_AGENT = `queue-worker/${VERSION}`
const CALLS_MAX = 1_000_000
const CALLS_BYTES_MAX = 16 * 1024 ** 3
/** Of one answer, for its callback. */
const CALLBACK_BYTES_MAX = 8 * 1024 * 1024
/** Anybody may make up names: calls of functions that are not deployed share one limit and one line of the books. */
const NOT_DEPLOYED = '(not deployed)'
/** Of what was cancelled last, so that cancelling again says the same. */
const CANCELLED_MAX = 10_000

export class AsyncCalls implements QueueReadings {
  readonly counts = new Map<string, QueueCounts>()
  readonly running = new Map<string, number>()
  readonly deadLetters: CallLetters
  readonly #options: AsyncCallsOptions
  readonly #store: CallStore
  readonly #events: HubEvents
  readonly #limits = new Limits(Infinity)
  readonly #workers = new Map<string, QueueWorker>()
  readonly #numbers = new WeakMap<EventMessage, number>()
  readonly #cancelled = new Set<string>()
  #received = 0
  /** Once the gateway listens. */
  #route: { readonly gatewayUrl: string; readonly gate: GatewayGate; readonly callbacks: Callbacks } | undefined
  #closed: Promise<void> | undefined

  private constructor(options: AsyncCallsOptions, store: CallStore, deadLetters: CallLetters) {
    this.#options = options
    this.#store = store
    this.deadLetters = deadLetters
    const logger = {
      enabled: (level: string) => level !== 'debug',
      log: (_level: string, _event: string, text: string) => options.log(text),
    }
    const printing = { printResponse: false, printResponseBody: false, printRequestBody: false }
    this.#events = new HubEvents({ logger, metrics: new Metrics(), clock: options.clock, ...printing })
  }

  /** @throws HubError HUB_STATE_UNUSABLE; HUB_SOURCE_* where the calls are kept at NATS */
  static async open(options: AsyncCallsOptions): Promise<AsyncCalls> {
    const { stateDir, settings, log } = options
    const deadLetters = new CallLetters({ stateDir, bytesMax: settings.deadLetterBytesMax, log })
    try {
      return new AsyncCalls(options, await openStore(options, deadLetters), deadLetters)
    } catch (error) {
      deadLetters[Symbol.dispose]()
      throw error
    }
  }

  /** Calls accepted and not finished. */
  get length(): number {
    return this.#store.length
  }

  pending(queue: string): Promise<number> {
    return this.#store.pending(queue)
  }

  /** Runs what is queued, over the gateway's own address. Idempotent. */
  start(gatewayUrl: string): void {
    if (this.#route !== undefined || this.#closed !== undefined) return
    const { clock, settings, log } = this.#options
    const gate = new GatewayGate({
      gatewayUrl,
      clock,
      onClosed: (error) => this.#events.gatewayUnreachable(error),
      onOpened: (outageMs) => this.#events.gatewayReachable(outageMs),
    })
    const { callbackTimeoutMs: timeoutMs, insecureTls } = settings
    const callbacks = new Callbacks({ gatewayUrl, timeoutMs, insecureTls, responseBytesMax: CALLBACK_BYTES_MAX, userAgent: USER_AGENT, log }) // prettier-ignore
    this.#route = { gatewayUrl, gate, callbacks }
    for (const name of new Set([settings.queueName, ...this.#store.names])) this.#work(name)
  }

  /**
   * Resolves once the call is durable.
   * @throws HubError HUB_QUEUE_FULL; HUB_STATE_UNUSABLE, HUB_SOURCE_LOST when it cannot be stored
   */
  async enqueue(call: Omit<QueuedCall, 'annotations'>): Promise<'queued' | 'too-large'> {
    const annotations = this.#options.find(call.function)?.spec.annotations ?? {}
    const queue = queueOf(annotations, this.#options.settings.queueName)
    const result = await this.#store.put(queue, { ...call, annotations: retryAnnotations(annotations) })
    if (result === 'too-large') return result
    this.#countsOf(queue).submitted += 1
    // The caller's id may be used again.
    this.#cancelled.delete(call.callId)
    this.#work(queue)
    return result
  }

  /** Every call of this id that has not finished; a running one is aborted, none is called back. False: there is none. */
  async cancel(callId: string): Promise<boolean> {
    const counts = await this.#store.cancel(callId)
    for (const [queue, count] of counts) this.#countsOf(queue).cancelled += count
    if (counts.size === 0) return this.#cancelled.has(callId)
    this.#cancelled.add(callId)
    keepNewest(this.#cancelled, CANCELLED_MAX)
    return true
  }

  /**
   * Waits for what runs and for its callbacks, at most so long and no longer than the settings say; the rest is due again at
   * the next start. Idempotent.
   */
  close(timeoutMs: number): Promise<void> {
    this.#closed ??= this.#close(Math.min(timeoutMs, this.#options.settings.drainMs ?? Infinity))
    return this.#closed
  }

  async #close(timeoutMs: number): Promise<void> {
    const callbacks = this.#route?.callbacks
    const cutOff = this.#options.clock.after(timeoutMs, () => callbacks?.[Symbol.dispose]())
    await Promise.all(this.#workers.values().map((worker) => worker.drain(timeoutMs)))
    cutOff.cancel()
    callbacks?.[Symbol.dispose]()
    this.#route?.gate.close()
    await this.#store[Symbol.asyncDispose]()
    this.deadLetters[Symbol.dispose]()
  }

  #countsOf(queue: string): QueueCounts {
    let counts = this.counts.get(queue)
    if (counts === undefined) this.counts.set(queue, (counts = { submitted: 0, processed: 0, cancelled: 0 }))
    return counts
  }

  #work(name: string): void {
    if (this.#workers.has(name) || this.#route === undefined || this.#closed !== undefined) return
    const { settings, clock, log } = this.#options
    const { gatewayUrl, gate } = this.#route
    const { running } = this
    const reporting = { gatewayUrl, running, log, numberOf: (message: EventMessage) => this.#numbers.get(message) ?? 0 }
    this.#countsOf(name)
    const worker = new QueueWorker({
      name,
      gatewayUrl,
      userAgent: USER_AGENT,
      inFlightMax: settings.inFlightMax,
      heldMax: this.#store.heldMax,
      clock,
      events: this.#events,
      gate,
      limits: this.#limits,
      deadLetters: { put: (letter) => this.#bury(letter) },
      triggerOf: (functionName) => this.#triggerOf(functionName),
      reporting: (invoker) => new ReportingInvoker(invoker, reporting),
      deliveries: (signal) => this.#deliveries(name, signal),
      failed: (error) => {
        this.#workers.delete(name)
        log(`The queue ${name} cannot be read: ${errorText(error)}`)
      },
    })
    this.#workers.set(name, worker)
  }

  async *#deliveries(queue: string, signal: AbortSignal): AsyncGenerator<Delivery, void> {
    for await (const call of this.#store.calls(queue, signal)) {
      yield this.#delivery(queue, call)
      await this.#route?.callbacks.room(signal)
    }
  }

  #delivery(queue: string, call: DueCall): Delivery {
    const { message, callbackUrl, signal } = call
    const receivedAt = this.#options.clock.monotonic()
    const number = (this.#received += 1)
    this.#numbers.set(message, number)
    this.#options.log(`[#${number}] Received on [${queue}]: '${message.id}'`)
    let settled: Promise<SettleResult> | undefined
    const settle = async (settlement: Settlement, [result]: readonly FunctionResult[]): Promise<SettleResult> => {
      if (settlement.kind === 'retry') return await call.settle(settlement)
      // Before the call is forgotten: after a crash in between, the function runs again and the callback comes late, not never.
      if (callbackUrl !== undefined && result !== undefined) {
        const durationMs = this.#options.clock.monotonic() - receivedAt
        const posted = await this.#route?.callbacks.post(callbackUrl, { number, message, result, durationMs, signal })
        if (posted !== true) return 'stale'
      }
      const outcome = await call.settle(settlement)
      if (outcome === 'settled') this.#countsOf(queue).processed += 1
      return outcome
    }
    return {
      message,
      signal,
      // One more than is sent shows that there is more.
      ...(callbackUrl === undefined ? {} : { responseBytesMax: CALLBACK_BYTES_MAX + 1 }),
      settle: (settlement, results = []) => (settled ??= settle(settlement, results)),
    }
  }

  #bury(letter: DeadLetter): Promise<void> {
    return this.deadLetters.put({ ...letter, function: fullName(letter.message.topic, this.#options.namespace) })
  }

  #triggerOf(functionName: string): Trigger {
    const { find, timeoutMs, settings, namespace } = this.#options
    const deployed = find(functionName)
    // Half at most, so that one slow function leaves room for the others; and no more than it takes without a 429.
    const share = Math.ceil(settings.inFlightMax / 2)
    const inFlightMax = deployed?.inFlightMax || share
    const retry = retrySettings(deployed?.spec.annotations ?? {}, settings.retry)
    return {
      // One name for all that are queued with and without the namespace: they share the limit.
      function: deployed === undefined ? NOT_DEPLOYED : fullName(functionName, namespace),
      pattern: functionName,
      settings: { mode: 'sync', timeoutMs, concurrency: Math.min(share, inFlightMax), ordering: 'none', retry },
    }
  }
}

async function openStore(
  { stateDir, settings, clock, log }: AsyncCallsOptions,
  deadLetters: CallLetters,
): Promise<CallStore> {
  if (settings.nats === undefined)
    return new SqliteCalls({ path: join(stateDir, 'calls.db'), clock, callsMax: CALLS_MAX, bytesMax: CALLS_BYTES_MAX })
  // Loaded only where it is used.
  const { NatsCalls } = await import('./nats-calls.ts')
  const { nats, ackWaitMs, queueName } = settings
  return await NatsCalls.open({ nats, ackWaitMs, queueName, clock, deadLetters, log })
}
