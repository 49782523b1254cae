// Who tells a hub which functions there are: by the configuration. For whatever runs until it is told to stop.

import { GatewayWatcher } from '../discovery/gateway.ts'
import type { DiscoveryEvents, FunctionWatcher } from '../discovery/index.ts'
import { CheckedWatcher, KubernetesWatcher } from '../discovery/kubernetes.ts'
import type { Clock } from '../sdk/index.ts'
import { clusterScope, openCluster } from './cluster.ts'
import type { Environment, HubConfig } from './config.ts'
import { gatewayListingOptions } from './options.ts'

/** Functions are deployed through the gateway, which then tells the API server; a listing or two later both must agree. */
const LISTINGS_OF_GRACE = 3

/** Not started. @throws HubError HUB_CONFIG_INVALID */
export function watcherOf(
  config: HubConfig,
  clock: Clock,
  events: DiscoveryEvents,
  env: Environment = process.env,
): FunctionWatcher {
  const { discovery, gateway, kubernetes } = config.settings
  const ofGateway = (told: DiscoveryEvents): FunctionWatcher =>
    new GatewayWatcher({
      ...gatewayListingOptions(config, clock),
      intervalMs: gateway.rebuildInterval,
      events: told,
    })
  if (discovery === 'gateway') return ofGateway(events)
  const watcher = new KubernetesWatcher({
    ...clusterScope(config.settings),
    open: (signal) => openCluster(config.settings, clock, env, undefined, signal),
    clock,
    events,
    tuning: { confirmMs: gateway.rebuildInterval },
  })
  if (discovery === 'kubernetes') return watcher
  return new CheckedWatcher({
    watcher,
    gateway: ofGateway,
    functionNamespace: kubernetes.functionNamespace,
    clock,
    events,
    graceMs: gateway.rebuildInterval * LISTINGS_OF_GRACE,
  })
}

/** Of the list that is in force; undefined before the first. */
export function discoveryAgeSeconds(watcher: FunctionWatcher, clock: Clock): number | undefined {
  const { lastGoodAtMs } = watcher.status()
  return lastGoodAtMs === undefined ? undefined : (clock.now() - lastGoodAtMs) / 1000
}
