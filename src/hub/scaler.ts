// How much waits for each configured instance, offered to KEDA: looks at the brokers beside whatever runs. Part of a hub that
// has `scaler.port`, and all that scaler-process.ts does.

import type { Wiring } from '../discovery/index.ts'
import { LagWatch, heldByReplicas, startScaler } from '../scaler/index.ts'
import type { Watches } from '../scaler/index.ts'
import { HubError, asHubError } from '../sdk/index.ts'
import type { Clock, LagProbe } from '../sdk/index.ts'
import type { HubEvents } from '../telemetry/events.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { HubConfig, InstanceConfig } from './config.ts'
import { openTools } from './tools.ts'

export interface HubScalerOptions {
  readonly config: HubConfig
  /** 0: any free one. */
  readonly port: number
  readonly wiring: () => Wiring | undefined
  readonly clock: Clock
  readonly events: HubEvents
  readonly metrics: Metrics
}

export interface HubScaler {
  /** `0.0.0.0:9090` */
  readonly address: string
  /** By instance: what keeps it from being known how much waits; those that are known and those that cannot are left out. */
  problems(): ReadonlyMap<string, HubError>
  /** Other topics may be wanted: the brokers are asked again. */
  rewired(): void
  /** Idempotent, never rejects. */
  close(): Promise<void>
}

/** Brokers may be away: that is tried again, not thrown. @throws HubError HUB_GATEWAY_LISTEN, HUB_CONFIG_INVALID, HUB_CONNECTOR_* */
export async function startHubScaler(options: HubScalerOptions): Promise<HubScaler> {
  const { config, port, clock, events, metrics } = options
  const { host, tls } = config.settings.scaler
  const watches: Watches = new Map(await Promise.all(config.instances.map(async (instance) => [instance.name, await watchOf(instance, options)] as const))) // prettier-ignore
  const known = [...watches.values()].filter((watch) => watch !== 'untold')
  const { certFile, keyFile, clientCaFile } = tls
  const files = certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile, clientCaFile }
  const server = await startScaler({ host, port, tls: files, watches, clock, metrics, log: events.sourceLog('scaler') })
  events.note('info', 'scaler.listening', `KEDA is answered at ${server.address}${files === undefined ? '' : ' with TLS'}`) // prettier-ignore
  for (const watch of known) watch.look()
  return {
    address: server.address,
    problems: () =>
      new Map(known.flatMap(({ name, reading }) => (reading.kind === 'unknown' ? [[name, reading.problem]] : []))),
    rewired: () => {
      for (const watch of known) watch.look()
    },
    close: async () => {
      await Promise.all([server.close(), ...known.map((watch) => watch.close())])
    },
  }
}

async function watchOf(instance: InstanceConfig, options: HubScalerOptions): Promise<LagWatch | 'untold'> {
  const { config, wiring, clock, events } = options
  const { name } = instance
  const log = events.sourceLog(name)
  const open = await lagOf(config, instance, log)
  if (open === undefined) return 'untold'
  const wanted = (): ReturnType<ConstructorParameters<typeof LagWatch>[0]['wanted']> => {
    const wired = wiring()
    return wired === undefined ? undefined : (wired.instance(name)?.subscriptions ?? [])
  }
  const { hub, interval } = config.settings.scaler
  const held = hub === undefined ? undefined : (signal: AbortSignal) => heldByReplicas(hub, name, signal)
  return new LagWatch({ name, open, wanted, held, clock, log, intervalMs: interval })
}

/** Undefined where the broker does not tell, or the connector has no tools that would ask it. */
async function lagOf(
  config: HubConfig,
  instance: InstanceConfig,
  log: ReturnType<HubEvents['sourceLog']>,
): Promise<((signal: AbortSignal) => Promise<LagProbe>) | undefined> {
  try {
    const tools = await openTools(config, instance, log)
    return tools.lag === undefined ? undefined : tools.lag.bind(tools)
  } catch (error) {
    if (asHubError(error).code === 'HUB_USAGE') return undefined
    throw error
  }
}
