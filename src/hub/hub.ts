// The composition root: one hub from one configuration. Everything is handed in or made here, nothing is global.

import { join } from 'node:path'

import { SqliteDeadLetters } from '../delivery/dead-letters.ts'
import { Dispatcher } from '../delivery/dispatcher.ts'
import { Ledger } from '../delivery/ledger.ts'
import { Limits } from '../delivery/limits.ts'
import { buildWiring, diffWirings, newFindings, viewWiring } from '../discovery/index.ts'
import type { DiscoveryStatus, FunctionWatcher, Snapshot, Wiring, WiringOptions } from '../discovery/index.ts'
import { GatewayGate } from '../invoke/gateway-gate.ts'
import { HttpInvoker } from '../invoke/http-invoker.ts'
import { systemClock } from '../sdk/index.ts'
import type { Clock, Router, Source, SourceContext, Subscription } from '../sdk/index.ts'
import { HubEvents } from '../telemetry/events.ts'
import type { Logger } from '../telemetry/logger.ts'
import { Metrics } from '../telemetry/metrics.ts'
import type { Lag } from '../telemetry/metrics.ts'
import { startAdmin } from './admin.ts'
import { functionLags, topicLags } from './backlog.ts'
import type { AdminServer, OpenWork } from './admin.ts'
import type { HubConfig, InstanceConfig } from './config.ts'
import { Inboxes, inboxPath } from './inboxes.ts'
import { openLetterSink } from './letter-keeper.ts'
import type { LetterSink } from './letter-keeper.ts'
import { requestHeadOptions, wiringOptions } from './options.ts'
import { loadConnector } from './registry.ts'
import { startHubScaler } from './scaler.ts'
import type { HubScaler } from './scaler.ts'
import { openState, statePath } from './state.ts'
import type { StateFile } from './state.ts'
import { Supervisor } from './supervisor.ts'
import type { SupervisorStatus } from './supervisor.ts'
import { TurnSource } from './turn-source.ts'
import { Turns } from './turns.ts'
import { discoveryAgeSeconds, watcherOf } from './watcher.ts'

export interface HubOptions {
  readonly logger: Logger
  /** Default: by `discovery` of the configuration. */
  readonly watcher?: (events: HubEvents) => FunctionWatcher
  readonly clock?: Clock
  /** Default true. */
  readonly admin?: boolean
  /** Told of every wiring that takes effect. */
  readonly onWiring?: (wiring: Wiring) => void
  /** Told when a broker has agreed to other subscriptions than before: what is sent from now on arrives. */
  readonly onSubscribed?: (connector: string, subscriptions: readonly Subscription[]) => void
}

interface Running {
  readonly config: InstanceConfig
  readonly source: Source
  readonly ledger: Ledger
  readonly dispatcher: Dispatcher
  readonly supervisor: Supervisor
}

const NOTHING: Router = { match: () => [] }
const LOGGED_BODY_BYTES_MAX = 64 * 1024

export class Hub {
  readonly events: HubEvents
  readonly metrics = new Metrics()
  readonly deadLetters: SqliteDeadLetters
  readonly #config: HubConfig
  readonly #options: HubOptions
  readonly #clock: Clock
  readonly #state: StateFile
  readonly #inboxes: Inboxes
  readonly #gate: GatewayGate
  readonly #watcher: FunctionWatcher
  readonly #wiringOptions: WiringOptions
  readonly #running: Running[] = []
  #letterSink: LetterSink | undefined
  #turns: Turns | undefined
  #wiring: Wiring | undefined
  #admin: AdminServer | undefined
  #scaler: HubScaler | undefined
  #stopped: Promise<void> | undefined

  /** Opens the store. @throws HubError HUB_STATE_UNUSABLE, HUB_CONFIG_INVALID */
  constructor(config: HubConfig, options: HubOptions) {
    this.#config = config
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const { log, stateDir, gateway, limits } = config.settings
    this.events = new HubEvents({
      logger: options.logger,
      metrics: this.metrics,
      clock: this.#clock,
      printResponse: log.printResponse,
      printResponseBody: log.printResponseBody,
      printRequestBody: log.printRequestBody,
    })
    this.#wiringOptions = wiringOptions(config)
    this.#watcher = options.watcher?.(this.events) ?? watcherOf(config, this.#clock, this.events)
    this.deadLetters = new SqliteDeadLetters(join(stateDir, 'dead-letters.db'))
    this.#state = openState(statePath(stateDir))
    this.#inboxes = new Inboxes({ path: inboxPath(stateDir), clock: this.#clock, bytesMax: limits.inboxMax })
    this.#gate = new GatewayGate({
      gatewayUrl: gateway.url,
      clock: this.#clock,
      onClosed: (error) => this.events.gatewayUnreachable(error),
      onOpened: (outageMs) => this.events.gatewayReachable(outageMs),
    })
  }

  /** Loads the connectors and starts everything. Brokers and gateway may be away: that is retried, not thrown. */
  async start(): Promise<void> {
    const limits = new Limits(this.#config.settings.limits.inFlightMax)
    this.#letterSink = await openLetterSink(this.#config, this.#clock, this.events.sourceLog('dead-letters'))
    if (this.#letterSink !== undefined) this.events.note('info', 'dead-letters.place', `Dead letters without a place at their broker go to ${this.#letterSink.place}`) // prettier-ignore
    this.#turns = await Turns.open(this.#config, this.#clock, this.events, process.env)
    for (const instance of this.#config.instances) this.#running.push(await this.#build(instance, limits))
    this.metrics.watch({
      ledgers: () =>
        this.#running.map(({ config, ledger, dispatcher }) => ({
          connector: config.name,
          counts: ledger.counts,
          imbalance: ledger.imbalance,
          invoking: dispatcher.invoking,
          inFlightMax: config.settings.inFlightMax,
        })),
      discoveryAgeSeconds: () => discoveryAgeSeconds(this.#watcher, this.#clock),
      deadLettersStored: () => this.deadLetters.size(),
      topicLags: () => this.#running.flatMap((running) => this.#topicLags(running)),
      functionLags: () => this.#running.flatMap((running) => this.#functionLags(running)),
    })
    if (this.#options.admin ?? true) {
      const { host, port } = this.#config.settings.admin
      this.#admin = await startAdmin({
        host,
        port,
        metrics: this.metrics,
        connectors: () => this.status,
        discovery: () => this.#watcher.status(),
        ledgers: () => this.ledgers,
        open: () => this.open,
      })
      this.events.note('info', 'admin.listening', `Health and metrics at ${this.#admin.address}`)
    }
    await this.#startScaler()
    for (const { supervisor } of this.#running) supervisor.start()
    this.#watcher.start((snapshot) => this.#wire(snapshot))
  }

  async #startScaler(): Promise<void> {
    const { port } = this.#config.settings.scaler
    if (port === undefined) return
    const [config, clock, events, metrics] = [this.#config, this.#clock, this.events, this.metrics]
    this.#scaler = await startHubScaler({ config, port, wiring: () => this.#wiring, clock, events, metrics })
  }

  #topicLags({ config, source }: Running): readonly Lag[] {
    return topicLags(config.name, source.backlog?.() ?? [], this.#clock.now())
  }

  #functionLags({ config, source, dispatcher }: Running): readonly Lag[] {
    const backlogs = source.backlog?.()
    if (backlogs === undefined) return []
    const wiring = this.#wiring?.instance(config.name)
    const functionsOf = (topic: string): readonly string[] => wiring?.triggersOf(topic).map((trigger) => trigger.function) ?? [] // prettier-ignore
    return functionLags(config.name, backlogs, functionsOf, dispatcher.openCalls(), this.#clock.now())
  }

  get adminAddress(): string | undefined {
    return this.#admin?.address
  }

  /** Of the server that KEDA asks; undefined where there is none. */
  get scalerAddress(): string | undefined {
    return this.#scaler?.address
  }

  get status(): readonly SupervisorStatus[] {
    return this.#running.map(({ supervisor }) => supervisor.status)
  }

  get discovery(): DiscoveryStatus {
    return this.#watcher.status()
  }

  get wiring(): Wiring | undefined {
    return this.#wiring
  }

  /** What is not settled, and what it waits for. */
  get open(): OpenWork {
    const deliveries = this.#running.flatMap(({ dispatcher }) => [...dispatcher.openDeliveries()])
    return { gatewayReachable: this.#gate.open, connectors: this.status, deliveries }
  }

  /** By connector instance. */
  get ledgers(): ReadonlyMap<string, Ledger> {
    return new Map(this.#running.map(({ config, ledger }) => [config.name, ledger]))
  }

  /** Stops pulling, lets what runs end within `drainTimeout`, closes everything. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    await this.#watcher.close()
    await Promise.all(this.#running.map(({ supervisor }) => supervisor.drain(this.#config.settings.drainTimeout)))
    this.#gate.close()
    await this.#scaler?.close()
    await this.#admin?.close()
    await this.#turns?.[Symbol.asyncDispose]()
    await this.#letterSink?.[Symbol.asyncDispose]()
    this.deadLetters.close()
    this.#inboxes[Symbol.dispose]()
    this.#state[Symbol.dispose]()
  }

  async #build(config: InstanceConfig, limits: Limits): Promise<Running> {
    const { name, terms, settings, source: sourceConfig } = config
    const { limits: bounds, log } = this.#config.settings
    const connector = await loadConnector(settings.type)
    const unsettledMax = settings.inFlightMax + settings.heldMax
    const turn = this.#turns?.of(config)
    const context: SourceContext = {
      instance: name,
      clock: this.#clock,
      log: this.events.sourceLog(name),
      state: turn?.state ?? this.#state.scope(name),
      ...(turn === undefined ? {} : { leadership: turn.election }),
      inbox: () => this.#inboxes.of(name, unsettledMax),
      unsettledMax,
      counter: (counter, help, labels = []) => this.events.sourceCounter(name, counter, help, labels),
      gauge: (gauge, help, labels, read) => this.metrics.sourceGauge(name, gauge, help, labels, read),
    }
    const first = connector.create(sourceConfig, context)
    const knowsTurns = turn === undefined || first.stepDown !== undefined
    const source = knowsTurns ? first : new TurnSource(first, () => connector.create(sourceConfig, context))
    if (terms.guarantee === 'at-most-once') this.events.note('info', 'connector.at-most-once', `${name} delivers at most once. ${terms.guaranteeNote ?? ''}`.trim()) // prettier-ignore
    this.metrics.countFailuresOf(name)
    const ledger = new Ledger(bounds.ledgerEntries)
    const invoker = new HttpInvoker({
      ...requestHeadOptions(this.#config.settings, config),
      connectionsMax: settings.inFlightMax,
      clock: this.#clock,
    })
    const dispatcher = new Dispatcher({
      source: name,
      capabilities: terms.capabilities,
      router: () => this.#wiring?.instance(name) ?? NOTHING,
      invoker,
      gate: this.#gate,
      limits,
      inFlightMax: settings.inFlightMax,
      heldMax: settings.heldMax,
      unsettledBytesMax: settings.unsettledBytesMax,
      deadLetters: this.#letterSink?.sink ?? this.deadLetters,
      ledger,
      events: this.events,
      clock: this.#clock,
      loggedResponseBytesMax: log.printResponseBody ? LOGGED_BODY_BYTES_MAX : 0,
      // What reached a process that was stopped for longer than its turn is the next one's.
      ...(knowsTurns ? {} : { mayInvoke: () => turn.election.term?.held() === true }),
    })
    const supervisor = new Supervisor({
      name,
      source,
      dispatcher,
      invoker,
      events: this.events,
      clock: this.#clock,
      ...(turn === undefined ? {} : { election: turn.election }),
      onSubscribed: (subscriptions) => this.#options.onSubscribed?.(name, subscriptions),
    })
    return { config, source, ledger, dispatcher, supervisor }
  }

  /** The new wiring is in force before the brokers are asked for its topics, so no event of a new topic goes unmatched. */
  #wire(snapshot: Snapshot): void {
    const before = this.#wiring
    const wiring = buildWiring(snapshot, this.#wiringOptions, before)
    this.#wiring = wiring
    const changes = diffWirings(before === undefined ? { instances: [] } : viewWiring(before), viewWiring(wiring))
    const count = (kind: 'added' | 'removed' | 'changed'): number =>
      changes.reduce((sum, change) => sum + change[kind].length, 0)
    this.events.wired(
      wiring.functions,
      wiring.triggers,
      `Wired ${wiring.triggers} triggers of ${wiring.functions} functions: ${count('added')} added, ${count('removed')} removed, ${count('changed')} changed`,
    )
    for (const { level, code, function: name, annotation, message, hint } of newFindings(
      before?.findings ?? [],
      wiring.findings,
    ))
      this.events.finding(level, code, name, annotation, `${message}. ${hint}`)
    for (const { config, supervisor } of this.#running)
      supervisor.want(wiring.instance(config.name)?.subscriptions ?? [])
    this.#scaler?.rewired()
    this.#options.onWiring?.(wiring)
  }
}
