// The hub's Prometheus metrics: base units, bounded labels. Per-event counts are plain numbers that a scrape reads.

import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'

import { HubError } from '../sdk/index.ts'
import type { SourceCounter, SourceReading } from '../sdk/index.ts'
import type { ConnectorState } from './events.ts'
import { registerProcessMetrics } from './process-metrics.ts'

/** Counts the invocations of one function by one connector. */
export interface InvocationMeter {
  /** @param code HTTP status, or 0 where there was no answer */
  finished(code: number, durationMs: number): void
}

/** One connector's books, as a scrape sees them. */
export interface DeliveryCounts {
  readonly received: number
  readonly acked: number
  readonly unmatched: number
  readonly filtered: number
  readonly deadLettered: number
  readonly returned: number
  readonly inFlight: number
}

/** How far one topic or function is behind. */
export interface Lag {
  readonly connector: string
  /** The topic or the function. */
  readonly subject: string
  readonly events: number
  /** Age of the oldest of them. */
  readonly seconds: number
}

/** Read at every scrape. */
export interface MetricsSource {
  readonly ledgers: () => Iterable<{
    readonly connector: string
    readonly counts: DeliveryCounts
    readonly imbalance: number
    readonly invoking: number
    readonly inFlightMax: number
  }>
  /** Seconds since the last complete listing; undefined before the first. */
  readonly discoveryAgeSeconds: () => number | undefined
  /** In the embedded store; undefined where there is none. */
  readonly deadLettersStored: () => { readonly count: number; readonly bytes: number } | undefined
  /** Of the connectors that know how far they are behind. */
  readonly topicLags: () => Iterable<Lag>
  readonly functionLags: () => Iterable<Lag>
}

const STATES: readonly ConnectorState[] = ['pending', 'failing', 'standby', 'active', 'draining', 'closed']
const PREFIX = 'connector_hub_'

export class Metrics {
  readonly registry = new Registry()
  readonly #meters = new Map<string, Meter>()
  readonly #sourceCounters = new Map<string, Counter<string>>()
  /** By name, then by connector. */
  readonly #sourceGauges = new Map<string, Map<string, () => readonly SourceReading[]>>()
  readonly #seconds = new Histogram({
    ...this.#named('invocation_seconds', 'Duration of invocations, connect to last byte.', ['connector']),
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
  })
  readonly #state = new Gauge(
    this.#named('connector_state', 'State of the connector: 1 for the state it is in.', ['connector', 'state']),
  )
  readonly retries = new Counter(
    this.#named('retries_total', 'Invocations that failed and will be tried again.', ['connector', 'function']),
  )
  readonly deadLetters = new Counter(
    this.#named('dead_letters_total', 'Events given up for a function and kept as dead letters.', [
      'connector',
      'function',
    ]),
  )
  readonly deadLetterFailures = new Counter(
    this.#named('dead_letter_failures_total', 'Dead letters that could not be kept; their events stay unsettled.', [
      'connector',
    ]),
  )
  readonly filterErrors = new Counter(
    this.#named('filter_errors_total', 'Filters that could not be evaluated on an event.', ['connector', 'function']),
  )
  readonly settleFailures = new Counter(
    this.#named('settle_failures_total', 'Settlements the broker could not be told; it delivers again.', ['connector']),
  )
  readonly lost = new Counter(
    this.#named('lost_total', 'Events of brokers without redelivery that could neither be delivered nor kept.', [
      'connector',
      'function',
    ]),
  )
  readonly reconnects = new Counter(
    this.#named('connector_retries_total', 'Failed attempts to connect to the broker.', ['connector']),
  )
  readonly turnFailures = new Counter(
    this.#named('turn_failures_total', 'Reads and writes of a Lease, or of state that goes with it, that failed.', [
      'connector',
    ]),
  )
  readonly #leader = new Gauge(
    this.#named('leader', '1 while this replica has the turn of a connector whose replicas take turns.', ['connector']),
  )
  readonly #leaderEpoch = new Gauge(
    this.#named('leader_epoch', 'Number of the last turn that this replica had.', ['connector']),
  )
  readonly discoveryFailures = new Counter(
    this.#named('discovery_failures_total', 'Listings of functions that failed.', []),
  )
  readonly gatewayUp = new Gauge(this.#named('gateway_up', '1 while the gateway can be connected to.', []))
  readonly wiredFunctions = new Gauge(this.#named('wired_functions', 'Functions in the wiring.', []))
  readonly wiredTriggers = new Gauge(this.#named('wired_triggers', 'Triggers in the wiring.', []))

  constructor() {
    this.gatewayUp.set(1)
    registerProcessMetrics(this.registry)
    const invocations = new Counter({
      ...this.#named('invocations_total', 'Invocations by HTTP status; code 0: no answer.', [
        'connector',
        'function',
        'code',
      ]),
      collect: () => {
        invocations.reset()
        for (const meter of this.#meters.values()) {
          for (const [code, count] of meter.counts)
            invocations.inc({ connector: meter.source, function: meter.functionName, code }, count)
        }
      },
    })
  }

  /** Registers the metrics that are read from the hub at each scrape. Once per registry. */
  watch(source: MetricsSource): void {
    const deliveries = new Counter({
      ...this.#named('deliveries_total', 'Deliveries by how they ended.', ['connector', 'end']),
      collect: () => {
        deliveries.reset()
        for (const { connector, counts } of source.ledgers()) {
          for (const end of ['acked', 'unmatched', 'filtered', 'deadLettered', 'returned'] as const)
            deliveries.inc({ connector, end: END_LABEL[end] }, counts[end])
        }
      },
    })
    const received = new Counter({
      ...this.#named('deliveries_received_total', 'Deliveries pulled from the broker.', ['connector']),
      collect: () => {
        received.reset()
        for (const { connector, counts } of source.ledgers()) received.inc({ connector }, counts.received)
      },
    })
    this.#gauge('deliveries_in_flight', 'Deliveries pulled and not settled.', source, ({ counts }) => counts.inFlight)
    this.#gauge('invocations_in_flight', 'Invocations running.', source, ({ invoking }) => invoking)
    this.#gauge('invocations_in_flight_max', 'Limit of invocations running.', source, ({ inFlightMax }) => inFlightMax)
    this.#gauge(
      'ledger_imbalance',
      'received - (acked + unmatched + filtered + dead-lettered + returned + in flight); not 0 is a bug.',
      source,
      ({ imbalance }) => imbalance,
    )
    this.#lag('topic', 'a topic that are not settled', source.topicLags)
    this.#lag('function', 'its topics that a function has not settled', source.functionLags)
    const age = new Gauge({
      ...this.#named('discovery_age_seconds', 'Age of the last complete list of functions.', []),
      collect: () => {
        const seconds = source.discoveryAgeSeconds()
        if (seconds !== undefined) age.set(seconds)
      },
    })
    const stored = new Gauge({
      ...this.#named('dead_letters_stored', 'Dead letters in the embedded store.', []),
      collect: (): void => {
        const size = source.deadLettersStored()
        if (size === undefined) return
        stored.set(size.count)
        bytes.set(size.bytes)
      },
    })
    // Collected after the gauge that sets it.
    const bytes = new Gauge(this.#named('dead_letters_stored_bytes', 'What dead letters take of the disk.', []))
  }

  /** Begins a connector's failures at 0: to Prometheus a counter that comes with a 1 has not increased. */
  countFailuresOf(connector: string): void {
    for (const counter of [this.settleFailures, this.reconnects, this.deadLetterFailures]) counter.inc({ connector }, 0)
  }

  /** One meter per connector and function, however often it is asked for. */
  invocationMeter(source: string, functionName: string): InvocationMeter {
    const key = `${source} ${functionName}`
    let meter = this.#meters.get(key)
    if (meter === undefined)
      this.#meters.set(key, (meter = new Meter(source, functionName, this.#seconds.labels(source))))
    return meter
  }

  /** @param epoch undefined: another replica may have the turn */
  turn(connector: string, epoch: number | undefined): void {
    this.#leader.set({ connector }, epoch === undefined ? 0 : 1)
    if (epoch !== undefined) this.#leaderEpoch.set({ connector }, epoch)
  }

  connectorState(connector: string, state: ConnectorState): void {
    for (const one of STATES) this.#state.set({ connector, state: one }, one === state ? 1 : 0)
  }

  /** @throws HubError when the name is taken with other labels, or not a counter's name. */
  sourceCounter(connector: string, name: string, help: string, labels: readonly string[]): SourceCounter {
    if (!/^[a-z][a-z0-9_]*_total$/.test(name))
      throw new HubError(
        'HUB_CONNECTOR_BROKEN',
        `${name} is no name of a counter; it must be snake_case and end in _total`,
      )
    let counter = this.#sourceCounters.get(name)
    if (counter === undefined)
      this.#sourceCounters.set(name, (counter = new Counter<string>(this.#named(name, help, ['connector', ...labels]))))
    const registered = counter
    return { add: (count, values) => registered.inc({ connector, ...values }, count) }
  }

  /** @throws HubError when the name is taken or not a gauge's name. */
  sourceGauge(
    connector: string,
    name: string,
    help: string,
    labels: readonly string[],
    read: () => readonly SourceReading[],
  ): void {
    if (!/^[a-z][a-z0-9_]*$/.test(name) || name.endsWith('_total'))
      throw new HubError('HUB_CONNECTOR_BROKEN', `${name} is no name of a gauge; it must be snake_case without _total`)
    const readers = this.#sourceGauges.get(name)
    if (readers !== undefined) {
      readers.set(connector, read)
      return
    }
    const byConnector = new Map([[connector, read]])
    this.#sourceGauges.set(name, byConnector)
    const gauge = new Gauge<string>({
      ...this.#named(name, help, ['connector', ...labels]),
      collect: () => {
        gauge.reset()
        for (const [instance, readings] of byConnector)
          for (const { labels: values, value } of readings()) gauge.labels(instance, ...values).set(value)
      },
    })
  }

  #lag(what: 'topic' | 'function', of: string, read: () => Iterable<Lag>): void {
    const prefix = what === 'topic' ? 'lag' : 'function_lag'
    const events = new Gauge({
      ...this.#named(`${prefix}_events`, `Events of ${of}.`, ['connector', what]),
      collect: () => {
        events.reset()
        for (const lag of read()) events.labels(lag.connector, lag.subject).set(lag.events)
      },
    })
    const seconds = new Gauge({
      ...this.#named(`${prefix}_seconds`, `Age of the oldest of the events of ${of}.`, ['connector', what]),
      collect: () => {
        seconds.reset()
        for (const lag of read()) seconds.labels(lag.connector, lag.subject).set(lag.seconds)
      },
    })
  }

  #gauge(
    name: string,
    help: string,
    source: MetricsSource,
    read: (ledger: ReturnType<MetricsSource['ledgers']> extends Iterable<infer L> ? L : never) => number,
  ): void {
    const gauge = new Gauge({
      ...this.#named(name, help, ['connector']),
      collect: () => {
        for (const ledger of source.ledgers()) gauge.set({ connector: ledger.connector }, read(ledger))
      },
    })
  }

  #named<const L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
  ): { name: string; help: string; labelNames: readonly L[]; registers: [Registry] } {
    return { name: PREFIX + name, help, labelNames, registers: [this.registry] }
  }
}

const END_LABEL = {
  acked: 'acked',
  unmatched: 'unmatched',
  filtered: 'filtered',
  deadLettered: 'dead_lettered',
  returned: 'returned',
} as const

class Meter implements InvocationMeter {
  readonly source: string
  readonly functionName: string
  readonly counts = new Map<number, number>()
  readonly #seconds: Histogram.Internal<'connector'>

  constructor(source: string, functionName: string, seconds: Histogram.Internal<'connector'>) {
    this.source = source
    this.functionName = functionName
    this.#seconds = seconds
  }

  finished(code: number, durationMs: number): void {
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1)
    this.#seconds.observe(durationMs / 1000)
  }
}
