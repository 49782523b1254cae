// Where commands get the functions from: stack files, or one listing of a gateway or a cluster.

import { readStackFile } from '../../discovery/index.ts'
import type { Finding, Snapshot } from '../../discovery/index.ts'
import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig, HubSettings } from '../../hub/config.ts'

export interface Functions {
  readonly snapshot: Snapshot
  /** Of the files; those of annotations come from the wiring. */
  readonly findings: readonly Finding[]
}

interface DiscoveryOptions {
  /** URL. */
  readonly gateway?: string
  /** With a gateway: both are compared. */
  readonly kubernetes?: boolean
}

/** The options of every command that reads functions. */
export interface SourceOptions extends DiscoveryOptions {
  readonly config?: string
  readonly stack?: readonly string[]
}

/**
 * That of the file, with another gateway where one is named; without a file what the environment says of some connectors.
 * @param typesOf asked only then
 * @throws HubError HUB_CONFIG_INVALID, HUB_CONFIG_UNREADABLE
 */
export async function configOf(
  options: Pick<SourceOptions, 'config' | 'gateway' | 'kubernetes'>,
  env: NodeJS.ProcessEnv,
  typesOf: () => readonly string[] | Promise<readonly string[]>,
): Promise<HubConfig> {
  const { config: file, gateway } = options
  const discovery = discoveryOf(options)
  return await readHubConfig({
    env,
    ...(discovery === undefined ? {} : { discovery }),
    ...(gateway === undefined ? {} : { gatewayUrl: gateway }),
    ...(file === undefined ? { types: await typesOf() } : { file }),
  })
}

/** Of the stack files where some are named, else by `discovery`. @throws HubError */
export async function functionsOf(
  { stack }: SourceOptions,
  config: HubConfig,
  env: NodeJS.ProcessEnv,
): Promise<Functions> {
  return stack === undefined ? await functionsNow(config, env) : functionsOfStacks(stack, env)
}

/** @throws HubError HUB_CONFIG_UNREADABLE */
export function functionsOfStacks(paths: readonly string[], env: NodeJS.ProcessEnv): Functions {
  const files = paths.map((path) => readStackFile(path, { env }))
  return {
    snapshot: { functions: files.flatMap((file) => [...file.functions]), takenAtMs: Date.now(), findings: [] },
    findings: files.flatMap((file) => [...file.findings]),
  }
}

/** One look, no retries. @throws HubError HUB_DISCOVERY_*, HUB_KUBERNETES_* */
export async function functionsNow(config: HubConfig, env: NodeJS.ProcessEnv): Promise<Functions> {
  const { listFunctions } = await import('../../hub/listing.ts')
  return { snapshot: await listFunctions(config, env), findings: [] }
}

/** What is named on the command line counts before what the configuration says. */
function discoveryOf({ gateway, kubernetes }: DiscoveryOptions): HubSettings['discovery'] | undefined {
  if (kubernetes === true) return gateway === undefined ? 'kubernetes' : 'kubernetes+gateway'
  return gateway === undefined ? undefined : 'gateway'
}
