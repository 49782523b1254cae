// The functions as they are now, by the configuration: one look, no retries. For commands.

import { GatewayListing } from '../discovery/gateway.ts'
import type { Snapshot } from '../discovery/index.ts'
import { gatewayDifferences, listKubernetes, shownDifferences } from '../discovery/kubernetes.ts'
import { systemClock } from '../sdk/index.ts'
import { clusterScope, openCluster } from './cluster.ts'
import type { Environment, HubConfig } from './config.ts'
import { gatewayListingOptions } from './options.ts'

type Listed = Omit<Snapshot, 'takenAtMs'>

/** @throws HubError HUB_DISCOVERY_*, HUB_KUBERNETES_*, HUB_CONFIG_INVALID, HUB_CONFIG_UNREADABLE */
export async function listFunctions(config: HubConfig, env: Environment): Promise<Snapshot> {
  const { functions, findings } = await listed(config, env)
  return { functions, findings, takenAtMs: Date.now() }
}

async function listed(config: HubConfig, env: Environment): Promise<Listed> {
  const { discovery, kubernetes } = config.settings
  if (discovery === 'gateway') return await listGateway(config)
  const cluster = await listCluster(config, env)
  if (discovery === 'kubernetes') return cluster
  const gateway = await listGateway(config)
  const differences = gatewayDifferences(cluster.functions, gateway.functions, kubernetes.functionNamespace)
  return { functions: cluster.functions, findings: [...cluster.findings, ...shownDifferences([...differences.values()])] } // prettier-ignore
}

async function listGateway(config: HubConfig): Promise<Listed> {
  const listing = new GatewayListing(gatewayListingOptions(config, systemClock))
  try {
    return await listing.list(new AbortController().signal)
  } finally {
    await listing.close()
  }
}

async function listCluster({ settings }: HubConfig, env: Environment): Promise<Listed> {
  const api = await openCluster(settings, systemClock, env)
  try {
    return await listKubernetes(api, clusterScope(settings), new AbortController().signal)
  } finally {
    await api.close()
  }
}
