// A dispatcher with everything around it under the test's control: scripted functions, a manual clock, a real gate.

import { Dispatcher } from '../../src/delivery/dispatcher.ts'
import type { DispatcherOptions } from '../../src/delivery/dispatcher.ts'
import { Ledger } from '../../src/delivery/ledger.ts'
import { Limits } from '../../src/delivery/limits.ts'
import { GatewayGate } from '../../src/invoke/gateway-gate.ts'
import type { Invocation, Invoker, Outcome } from '../../src/invoke/outcome.ts'
import { DeliveryBuffer, HubError, ManualClock } from '../../src/sdk/index.ts'
import type {
  DeadLetter,
  Delivery,
  EventMessage,
  FunctionResult,
  Settlement,
  Trigger,
  TriggerSettings,
} from '../../src/sdk/index.ts'
import type { DeliveryEvents } from '../../src/telemetry/events.ts'

export const SETTINGS: TriggerSettings = {
  mode: 'sync',
  timeoutMs: 60_000,
  concurrency: 100,
  ordering: 'key',
  retry: { attempts: 2, codes: undefined, minWaitMs: 1000, maxWaitMs: 60_000, jitter: 'none' },
}

export function trigger(name: string, settings: Partial<TriggerSettings> = {}): Trigger {
  return { function: name, pattern: 'orders', settings: { ...SETTINGS, ...settings } }
}

export function message(id: string, more: Partial<EventMessage> = {}): EventMessage {
  return {
    id,
    source: 'test',
    topic: 'orders',
    body: Buffer.from(id),
    headers: {},
    attempt: 1,
    timestampMs: 0,
    ...more,
  }
}

export function answered(status: number, more: Partial<Extract<Outcome, { kind: 'answered' }>> = {}): Outcome {
  return {
    kind: 'answered',
    status,
    durationMs: 1,
    retryAfterMs: undefined,
    internal: false,
    bodyBytes: 0,
    response: undefined,
    ...more,
  }
}

export const UNREACHABLE: Outcome = {
  kind: 'unreachable',
  error: new HubError('HUB_GATEWAY_UNREACHABLE', 'refused', { canRetry: true }),
  durationMs: 1,
}

/** Functions answer when the test says so, or at once by `script`. */
export class ScriptedInvoker implements Invoker {
  readonly started: Invocation[] = []
  readonly open = new Map<Invocation, (outcome: Outcome) => void>()
  script: (invocation: Invocation) => Outcome | undefined = () => answered(200)
  #closed = false

  invoke(invocation: Invocation): Promise<Outcome> {
    this.started.push(invocation)
    if (this.#closed || invocation.signal?.aborted === true)
      return Promise.resolve<Outcome>({ kind: 'cancelled', durationMs: 0 })
    const outcome = this.script(invocation)
    if (outcome !== undefined) return Promise.resolve(outcome)
    return new Promise((resolve) => {
      const end = (result: Outcome): void => {
        this.open.delete(invocation)
        resolve(result)
      }
      this.open.set(invocation, end)
      invocation.signal?.addEventListener('abort', () => end({ kind: 'cancelled', durationMs: 0 }))
    })
  }

  /** Answers the oldest open invocation, of this function if one is named. */
  answer(outcome: Outcome, name?: string): void {
    const found = [...this.open].find(([invocation]) => name === undefined || invocation.function === name)
    if (found === undefined) throw new Error(`no open invocation of ${name ?? 'any function'}`)
    found[1](outcome)
  }

  close(): Promise<void> {
    this.#closed = true
    for (const end of this.open.values()) end({ kind: 'cancelled', durationMs: 0 })
    return Promise.resolve()
  }

  /** Ids in the order in which their invocations began. */
  ids(name?: string): string[] {
    return this.started.filter((one) => name === undefined || one.function === name).map((one) => one.message.id)
  }
}

export interface Settled {
  readonly id: string
  readonly settlement: Settlement
  readonly results: readonly FunctionResult[]
}

export class Rig {
  readonly clock = new ManualClock()
  readonly invoker = new ScriptedInvoker()
  readonly gate: GatewayGate
  readonly ledger = new Ledger(1000)
  readonly limits: Limits
  readonly letters: DeadLetter[] = []
  readonly lost: string[] = []
  readonly settleFailures: string[] = []
  readonly letterFailures: string[] = []
  readonly filterFailures: string[] = []
  readonly settled: Settled[] = []
  readonly source = new DeliveryBuffer<Delivery>(10_000)
  readonly stop = new AbortController()
  readonly dispatcher: Dispatcher
  triggers: (event: EventMessage) => readonly Trigger[] = () => [trigger('a')]
  putLetter: (letter: DeadLetter) => Promise<void> = () => Promise.resolve()
  onSettle: (id: string) => Promise<'settled' | 'stale'> = () => Promise.resolve('settled')

  constructor(options: Partial<DispatcherOptions> & { readonly totalMax?: number } = {}) {
    this.limits = options.limits ?? new Limits(options.totalMax ?? 100)
    this.gate =
      options.gate ??
      new GatewayGate({ gatewayUrl: 'http://127.0.0.1:1', clock: this.clock, onClosed: nothing, onOpened: nothing })
    this.dispatcher = new Dispatcher({
      source: 'test',
      capabilities: { retry: 'held', reject: 'hub', durable: true },
      router: () => ({ match: (event) => this.triggers(event) }),
      invoker: this.invoker,
      gate: this.gate,
      limits: this.limits,
      inFlightMax: 10,
      heldMax: 1000,
      unsettledBytesMax: 1_000_000,
      deadLetters: {
        put: async (letter) => {
          await this.putLetter(letter)
          this.letters.push(letter)
        },
      },
      ledger: this.ledger,
      events: this.#events(),
      clock: this.clock,
      loggedResponseBytesMax: 0,
      random: () => 0.5,
      ...options,
    })
  }

  /** Starts pulling from `source`. */
  run(): Promise<void> {
    return this.dispatcher.run(this.source, this.stop.signal)
  }

  push(event: EventMessage, more: Partial<Delivery> = {}): void {
    this.source.push({
      message: event,
      settle: async (settlement, results = []) => {
        this.settled.push({ id: event.id, settlement, results })
        return this.onSettle(event.id)
      },
      ...more,
    })
  }

  /** Lets everything happen that needs no time. */
  async rest(): Promise<void> {
    await this.clock.advance(0)
    await this.clock.advance(0)
  }

  kinds(): string[] {
    return this.settled.map(({ id, settlement }) => `${id} ${settlement.kind}`)
  }

  #events(): DeliveryEvents {
    return {
      meter: () => ({ finished: nothing }),
      reportsSuccess: true,
      invoked: nothing,
      retrying: nothing,
      deadLettered: nothing,
      deadLetterFailed: (_, letter) => void this.letterFailures.push(letter.message.id),
      filterFailed: (_, name, event, reason) => void this.filterFailures.push(`${name} ${event.id}: ${reason}`),
      settleFailed: (_, event) => void this.settleFailures.push(event.id),
      lost: (_, name, event) => void this.lost.push(`${name} ${event.id}`),
    }
  }
}

function nothing(): void {}
