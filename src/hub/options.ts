// What follows from a configuration for those who work with it: the hub, and commands that only look. Pure.

import type { GatewayListingOptions } from '../discovery/gateway.ts'
import type { WiringInstance, WiringOptions } from '../discovery/index.ts'
import type { RequestHeadOptions } from '../invoke/request-head.ts'
import { HubError } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import { triggerDefaults } from './config.ts'
import type { HubConfig, HubSettings, InstanceConfig } from './config.ts'

/** The named instances, all of them where none is named. @throws HubError HUB_USAGE */
export function chosenInstances(config: HubConfig, names: readonly string[]): HubConfig {
  if (config.instances.length === 0)
    throw new HubError('HUB_USAGE', 'no connector is configured', {
      hint: 'Name a connector whose settings are in the environment (such as cron), or give a configuration with -c hub.yaml.',
    })
  const chosen = new Set(names.map((name) => instanceNamed(config, name)))
  return names.length === 0 ? config : { ...config, instances: config.instances.filter((one) => chosen.has(one)) }
}

/** @throws HubError HUB_USAGE */
export function instanceNamed({ instances }: HubConfig, name: string): InstanceConfig {
  const found = instances.find((one) => one.name === name)
  if (found !== undefined) return found
  const known = instances.map((one) => one.name)
  throw new HubError('HUB_USAGE', `the configuration has no connector "${name}"`, {
    hint: known.length === 0 ? 'Add it under connectors.' : `It has: ${known.join(', ')}.`,
  })
}

/** What the gateway is told by every invocation for this instance. */
export function requestHeadOptions(
  { gateway, defaults }: HubSettings,
  { manifest, settings }: InstanceConfig,
): RequestHeadOptions {
  return {
    gatewayUrl: gateway.url,
    connector: `${manifest.name}-connector`,
    contentType: settings.contentType ?? defaults.contentType,
    userAgent: `connector-hub/${VERSION}`,
  }
}

/** How the gateway is asked for its functions. */
export function gatewayListingOptions({ settings: { gateway }, auth }: HubConfig, clock: Clock): GatewayListingOptions {
  return {
    gatewayUrl: gateway.url,
    userAgent: `connector-hub/${VERSION}`,
    timeoutMs: gateway.rebuildTimeout,
    namespaces: { allow: gateway.namespaces, deny: gateway.namespacesExcluded },
    clock,
    ...(auth === undefined ? {} : { auth: { user: auth.username, password: auth.password } }),
  }
}

/** What discovery and `plan` need to know of the configured instances. */
export function wiringOptions({ settings, instances }: HubConfig): WiringOptions {
  return {
    delimiter: settings.topicDelimiter,
    defaults: triggerDefaults(settings),
    instances: instances.map(({ name, manifest, terms, settings: own }): WiringInstance => ({
      name,
      type: manifest.name,
      trigger: manifest.trigger,
      topicSyntax: terms.capabilities.topicSyntax,
      defaults: triggerDefaults(settings, own),
    })),
  }
}
