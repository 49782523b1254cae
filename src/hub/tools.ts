// The tools of a configured connector, with what they need of the hub's own disk. For the command line; runs beside a hub
// without disturbing it.

import { HubError, systemClock } from '../sdk/index.ts'
import type { SourceLog, Tools } from '../sdk/index.ts'
import type { HubConfig, InstanceConfig } from './config.ts'
import { storedEvents } from './inboxes.ts'
import { loadConnector } from './registry.ts'
import { recalled } from './state.ts'

/** @throws HubError HUB_USAGE when the connector brings none, HUB_CONNECTOR_BROKEN */
export async function openTools(
  { settings: { stateDir } }: HubConfig,
  instance: InstanceConfig,
  log: SourceLog,
): Promise<Tools> {
  const { name, settings, source } = instance
  const connector = await loadConnector(settings.type)
  if (connector.tools === undefined)
    throw new HubError('HUB_USAGE', `the connector ${settings.type} has no tools for the command line`, { hint: 'Its author can add them: see Tools in src/sdk/tools.ts.' }) // prettier-ignore
  return await connector.tools(source, {
    instance: name,
    clock: systemClock,
    log,
    stored: () => storedEvents(stateDir, name),
    recall: (key) => recalled(stateDir, name, key),
  })
}
