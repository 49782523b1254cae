// The shared dispatcher as the worker of one queue: its calls go out through the gateway's own sync route. The service makes
// one for each queue, so that a slow queue does not hold up another.

import type { DeadLetterSink } from '../../delivery/dead-letters.ts'
import { Dispatcher } from '../../delivery/dispatcher.ts'
import { Ledger } from '../../delivery/ledger.ts'
import type { Limits } from '../../delivery/limits.ts'
import type { GatewayGate } from '../../invoke/gateway-gate.ts'
import { HttpInvoker } from '../../invoke/http-invoker.ts'
import type { Invoker } from '../../invoke/outcome.ts'
import type { Clock, Delivery, Trigger } from '../../sdk/index.ts'
import type { HubEvents } from '../../telemetry/events.ts'

export interface QueueWorkerOptions {
  readonly name: string
  readonly gatewayUrl: string
  readonly userAgent: string
  readonly inFlightMax: number
  /** Calls that wait for their function beside those. */
  readonly heldMax: number
  readonly clock: Clock
  readonly events: HubEvents
  readonly gate: GatewayGate
  /** Of all queues: a function may have calls in several. */
  readonly limits: Limits
  readonly deadLetters: DeadLetterSink
  /** How the function is called now, whether it is deployed or not. */
  readonly triggerOf: (functionName: string) => Trigger
  /** Around the one that sends the calls. */
  readonly reporting: (invoker: Invoker) => Invoker
  readonly deliveries: (signal: AbortSignal) => AsyncIterable<Delivery>
  /** The deliveries have failed: the worker does nothing any more. */
  readonly failed: (error: unknown) => void
}

const UNSETTLED_BYTES_MAX = 256 * 1024 * 1024

export class QueueWorker {
  readonly #dispatcher: Dispatcher
  readonly #stop = new AbortController()
  readonly #running: Promise<void>

  constructor(options: QueueWorkerOptions) {
    const { name, gatewayUrl, userAgent, inFlightMax, heldMax, clock, events, gate, limits, deadLetters } = options
    const invoker = new HttpInvoker({
      gatewayUrl,
      connector: undefined,
      contentType: undefined,
      userAgent,
      connectionsMax: inFlightMax,
      clock,
    })
    this.#dispatcher = new Dispatcher({
      source: name,
      capabilities: { retry: 'delayed', reject: 'hub', durable: true },
      router: () => ({ match: ({ topic }) => [options.triggerOf(topic)] }),
      invoker: options.reporting(invoker),
      gate,
      limits,
      inFlightMax,
      heldMax,
      unsettledBytesMax: UNSETTLED_BYTES_MAX,
      deadLetters,
      // Nobody asks this one; queue-metrics.ts has the counts.
      ledger: new Ledger(0),
      events,
      clock,
      loggedResponseBytesMax: 0,
    })
    const { signal } = this.#stop
    this.#running = this.#dispatcher.run(options.deliveries(signal), signal).catch(options.failed)
  }

  /** Takes up no more calls and waits for those that run, at most so long; the others run again after the next start. */
  async drain(timeoutMs: number): Promise<void> {
    const drained = this.#dispatcher.drain(timeoutMs)
    this.#stop.abort()
    await drained
    await this.#running
  }
}
