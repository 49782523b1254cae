// Where commands get the functions from: stack files, or one listing of a gateway.

import { readStackFile } from '../../discovery/index.ts'
import type { Finding, Snapshot } from '../../discovery/index.ts'
import { readHubConfig } from '../../hub/config.ts'
import type { HubConfig } from '../../hub/config.ts'
import { VERSION } from '../../telemetry/version.ts'
import { systemClock } from '../../sdk/index.ts'

export interface Functions {
  readonly snapshot: Snapshot
  /** Of the files; those of annotations come from the wiring. */
  readonly findings: readonly Finding[]
}

/** The options of every command that reads functions. */
export interface SourceOptions {
  readonly config?: string
  readonly stack?: readonly string[]
  readonly gateway?: string
}

/**
 * That of the file, with another gateway where one is named; without a file what the environment says of some connectors.
 * @param typesOf asked only then
 * @throws HubError HUB_CONFIG_INVALID, HUB_CONFIG_UNREADABLE
 */
export async function configOf(
  { config: file, gateway }: Pick<SourceOptions, 'config' | 'gateway'>,
  env: NodeJS.ProcessEnv,
  typesOf: () => readonly string[] | Promise<readonly string[]>,
): Promise<HubConfig> {
  return await readHubConfig({
    env,
    ...(gateway === undefined ? {} : { gatewayUrl: gateway }),
    ...(file === undefined ? { types: await typesOf() } : { file }),
  })
}

/** Of the stack files where some are named, else of the gateway. @throws HubError */
export async function functionsOf(
  { stack }: SourceOptions,
  config: HubConfig,
  env: NodeJS.ProcessEnv,
): Promise<Functions> {
  return stack === undefined ? await functionsOfGateway(config) : functionsOfStacks(stack, env)
}

/** @throws HubError HUB_CONFIG_UNREADABLE */
export function functionsOfStacks(paths: readonly string[], env: NodeJS.ProcessEnv): Functions {
  const files = paths.map((path) => readStackFile(path, { env }))
  return {
    snapshot: { functions: files.flatMap((file) => [...file.functions]), takenAtMs: Date.now(), findings: [] },
    findings: files.flatMap((file) => [...file.findings]),
  }
}

/** One listing, no retries. @throws HubError HUB_DISCOVERY_FAILED, HUB_DISCOVERY_UNAUTHORIZED */
export async function functionsOfGateway({ settings, auth }: HubConfig): Promise<Functions> {
  const { gateway } = settings
  const { GatewayListing } = await import('../../discovery/gateway.ts')
  const listing = new GatewayListing({
    gatewayUrl: gateway.url,
    userAgent: `connector-hub/${VERSION}`,
    timeoutMs: gateway.rebuildTimeout,
    namespaces: { allow: gateway.namespaces, deny: gateway.namespacesExcluded },
    clock: systemClock,
    ...(auth === undefined ? {} : { auth: { user: auth.username, password: auth.password } }),
  })
  try {
    const { functions, findings } = await listing.list(new AbortController().signal)
    return { snapshot: { functions, findings, takenAtMs: Date.now() }, findings: [] }
  } finally {
    await listing.close()
  }
}
