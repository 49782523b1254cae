// A source under the hub's own dispatcher, with real HTTP invocations, a real dead-letter store, real log and metrics.
// Used by the scenarios in scenarios/hub.ts.

import { strict as assert } from 'node:assert'
import { join } from 'node:path'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import { Dispatcher } from '../../src/delivery/dispatcher.ts'
import { Ledger } from '../../src/delivery/ledger.ts'
import { Limits } from '../../src/delivery/limits.ts'
import { GatewayGate } from '../../src/invoke/gateway-gate.ts'
import { HttpInvoker } from '../../src/invoke/http-invoker.ts'
import type { Invoker } from '../../src/invoke/outcome.ts'
import { ManualClock } from '../../src/sdk/index.ts'
import type { RetrySettings, Trigger } from '../../src/sdk/index.ts'
import { HubEvents } from '../../src/telemetry/events.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import type { BrokerLetter } from './contract.ts'
import { GatewayRecorder, TAG_HEADER } from './gateway-recorder.ts'
import type { Harness } from './harness.ts'
import type { RunningSource } from './running-source.ts'

export interface RigOptions {
  readonly functions?: readonly string[]
  readonly retry?: Partial<RetrySettings>
  readonly ordering?: 'key' | 'none'
}

const TICK_MS = 1000

export class HubRig implements AsyncDisposable {
  readonly gateway: GatewayRecorder
  readonly ledger = new Ledger(64)
  readonly metrics = new Metrics()
  readonly lines: string[] = []
  readonly dispatcher: Dispatcher
  readonly #harness: Harness
  readonly #running: RunningSource
  readonly #letters: SqliteDeadLetters
  readonly #invoker: Invoker
  readonly #gate: GatewayGate
  readonly #abort = new AbortController()
  #pulling: Promise<unknown> = Promise.resolve()

  private constructor(harness: Harness, gateway: GatewayRecorder, gatewayUrl: string, options: RigOptions) {
    const { clock, manifest, unsettledMax } = harness
    this.#harness = harness
    this.gateway = gateway
    this.#running = harness.source()
    this.#letters = new SqliteDeadLetters(join(harness.stateFolder, 'letters.sqlite'))
    const write = (line: string): void => {
      this.lines.push(line)
      harness.said.push(line)
    }
    const logger = createLogger({ level: 'debug', format: 'json', color: false, secretNames: [], write })
    const { metrics, ledger } = this
    const events = new HubEvents({ logger, metrics, clock, printResponse: true, printResponseBody: false, printRequestBody: false }) // prettier-ignore
    const http = new HttpInvoker({ gatewayUrl, connector: manifest.name, contentType: undefined, userAgent: 'conformance', connectionsMax: unsettledMax, clock }) // prettier-ignore
    this.#invoker = taggedInvoker(http, harness)
    this.#gate = new GatewayGate({ gatewayUrl, clock, onClosed: (error) => events.gatewayUnreachable(error), onOpened: (ms) => events.gatewayReachable(ms) }) // prettier-ignore
    const triggers = triggersOf(options)
    this.dispatcher = new Dispatcher({
      source: manifest.name,
      capabilities: manifest.capabilities,
      router: () => ({ match: () => triggers }),
      invoker: this.#invoker,
      gate: this.#gate,
      limits: new Limits(unsettledMax),
      inFlightMax: unsettledMax,
      heldMax: unsettledMax,
      unsettledBytesMax: 2 ** 24,
      deadLetters: this.#letters,
      ledger,
      events,
      clock,
      loggedResponseBytesMax: 0,
    })
    const source = { connector: manifest.name, inFlightMax: unsettledMax }
    metrics.watch({
      ledgers: () => [
        { ...source, counts: ledger.counts, imbalance: ledger.imbalance, invoking: this.dispatcher.invoking },
      ],
      discoveryAgeSeconds: () => undefined,
      deadLettersStored: () => this.#letters.size(),
      topicLags: () => [],
      functionLags: () => [],
    })
  }

  /** Connects, subscribes and pulls; the functions answer 200 until the test says otherwise. */
  static async open(harness: Harness, topic: string, options: RigOptions = {}): Promise<HubRig> {
    const gateway = new GatewayRecorder(() => harness.clock.now())
    const rig = new HubRig(harness, gateway, await gateway.start(), options)
    const { source } = rig.#running
    await harness.within(source.connect(rig.#abort.signal), 'connect')
    await harness.within(rig.#running.subscribe([topic]), 'subscribe')
    rig.#pulling = rig.dispatcher.run(source.deliveries(rig.#abort.signal), rig.#abort.signal).catch((error: unknown) => error) // prettier-ignore
    return rig
  }

  /** Waits for a condition while time passes, where time is ours to pass. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const { clock } = this.#harness
    await this.#harness.until(async () => {
      if (condition()) return true
      if (clock instanceof ManualClock) await clock.advance(TICK_MS)
      return condition()
    }, what)
  }

  /** Dead letters of a topic, wherever this connector's are kept. */
  async deadLetters(topic: string): Promise<readonly BrokerLetter[]> {
    const { broker, manifest } = this.#harness
    if (manifest.capabilities.reject === 'broker') return (await broker.deadLetters?.(topic)) ?? []
    return this.#letters.list(100).map(({ message, function: name, reason, attempts }) => ({ body: message.body, topic: message.topic, function: name, reason, attempts })) // prettier-ignore
  }

  /** Nothing is in flight any more and the books balance. */
  async finish(): Promise<void> {
    await this.until(() => this.dispatcher.unsettled === 0, 'everything is settled')
    assert.equal(this.ledger.imbalance, 0, `the ledger does not balance: ${JSON.stringify(this.ledger.counts)}`)
    assert.match(await this.metrics.registry.metrics(), /connector_hub_ledger_imbalance\{[^}]*\} 0\n/)
  }

  async closeSource(): Promise<void> {
    await this.#running.source.close()
    await this.#pulling
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    await this.#running.source.close()
    await this.#pulling
    await this.#invoker.close()
    this.#gate.close()
    this.#letters.close()
    await this.gateway[Symbol.asyncDispose]()
  }
}

function triggersOf({ functions = ['conformance'], retry, ordering = 'key' }: RigOptions): readonly Trigger[] {
  return functions.map((name) => ({
    function: name,
    pattern: 'conformance',
    settings: {
      mode: 'sync',
      // Beyond any time that a manual clock is moved by: here no invocation times out.
      timeoutMs: 7 * 86_400_000,
      concurrency: 64,
      ordering,
      retry: { attempts: 3, codes: undefined, minWaitMs: 0, maxWaitMs: 0, jitter: 'none', ...retry },
    },
  }))
}

/** The real invoker; it only says on the way which event this is. */
function taggedInvoker(invoker: Invoker, harness: Harness): Invoker {
  return {
    invoke(invocation) {
      const { message } = invocation
      const headers = { ...message.headers, [TAG_HEADER]: harness.tagOf(message) ?? '' }
      return invoker.invoke({ ...invocation, message: { ...message, headers } })
    },
    close: () => invoker.close(),
  }
}
