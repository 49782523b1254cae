// Nothing but the scaler of a configuration, for a Deployment of its own: it can say that there is work while the hub has no
// replica. Reads the functions, looks at the brokers, consumes nothing and keeps nothing. Run by the command `scaler`.

import { buildWiring } from '../discovery/index.ts'
import type { FunctionWatcher, Snapshot, Wiring } from '../discovery/index.ts'
import { systemClock } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { HubEvents } from '../telemetry/events.ts'
import type { Logger } from '../telemetry/logger.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { startAdmin } from './admin.ts'
import type { AdminServer } from './admin.ts'
import type { HubConfig } from './config.ts'
import { wiringOptions } from './options.ts'
import { startHubScaler } from './scaler.ts'
import type { HubScaler } from './scaler.ts'
import type { SupervisorStatus } from './supervisor.ts'
import { discoveryAgeSeconds, watcherOf } from './watcher.ts'

export interface ScalerProcessOptions {
  readonly logger: Logger
  readonly clock?: Clock
}

/** Where it listens without `scaler.port`. */
export const SCALER_PORT = 9090

export class ScalerProcess {
  readonly events: HubEvents
  readonly metrics = new Metrics()
  readonly #config: HubConfig
  readonly #clock: Clock
  readonly #watcher: FunctionWatcher
  readonly #startedAtMs: number
  #wiring: Wiring | undefined
  #admin: AdminServer | undefined
  #scaler: HubScaler | undefined
  #stopped: Promise<void> | undefined

  constructor(config: HubConfig, { logger, clock = systemClock }: ScalerProcessOptions) {
    this.#config = config
    this.#clock = clock
    this.#startedAtMs = clock.now()
    const { metrics } = this
    this.events = new HubEvents({ logger, metrics, clock, printResponse: false, printResponseBody: false, printRequestBody: false }) // prettier-ignore
    this.#watcher = watcherOf(config, clock, this.events)
  }

  /** Brokers and gateway may be away: that is retried, not thrown. @throws HubError HUB_GATEWAY_LISTEN, HUB_CONFIG_INVALID */
  async start(): Promise<void> {
    const { host, port } = this.#config.settings.admin
    this.metrics.watch({
      ledgers: () => [],
      discoveryAgeSeconds: () => discoveryAgeSeconds(this.#watcher, this.#clock),
      deadLettersStored: () => undefined,
      topicLags: () => [],
      functionLags: () => [],
    })
    this.#scaler = await startHubScaler({
      config: this.#config,
      port: this.#config.settings.scaler.port ?? SCALER_PORT,
      wiring: () => this.#wiring,
      clock: this.#clock,
      events: this.events,
      metrics: this.metrics,
    })
    this.#admin = await startAdmin({
      host,
      port,
      metrics: this.metrics,
      connectors: () => this.#status(),
      // A broker that is away must not take the answers for the others away.
      needsConnectors: false,
      discovery: () => this.#watcher.status(),
      ledgers: () => new Map(),
      open: () => ({ gatewayReachable: true, connectors: this.#status(), deliveries: [] }),
    })
    this.events.note('info', 'admin.listening', `Health and metrics at ${this.#admin.address}`)
    this.#watcher.start((snapshot) => this.#wire(snapshot))
  }

  get adminAddress(): string | undefined {
    return this.#admin?.address
  }

  /** Of the gRPC server. */
  get address(): string | undefined {
    return this.#scaler?.address
  }

  /** Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    await this.#watcher.close()
    await this.#scaler?.close()
    await this.#admin?.close()
  }

  #status(): readonly SupervisorStatus[] {
    const problems = this.#scaler?.problems() ?? new Map<string, never>()
    return this.#config.instances.map(({ name }) => {
      const problem = problems.get(name)
      return {
        connector: name,
        state: problem === undefined ? 'active' : 'failing',
        since: this.#startedAtMs,
        problem: problem === undefined ? undefined : `${problem.code}: ${problem.message}`,
        subscriptions: this.#wiring?.instance(name)?.subscriptions.length ?? 0,
        unsettled: 0,
      }
    })
  }

  #wire(snapshot: Snapshot): void {
    const wiring = buildWiring(snapshot, wiringOptions(this.#config), this.#wiring)
    this.#wiring = wiring
    this.events.wired(wiring.functions, wiring.triggers, `Looking at the topics of ${wiring.triggers} triggers of ${wiring.functions} functions`) // prettier-ignore
    this.#scaler?.rewired()
  }
}
