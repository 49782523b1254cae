// The cron connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector, zoneProblem } from '../../src/sdk/index.ts'
import { CronSource } from './cron-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(manifest, (config, context) => {
  const problem = zoneProblem(config.zone)
  if (problem !== undefined)
    throw new HubError('HUB_CONFIG_INVALID', `connectors.${context.instance}.zone: ${problem}`, {
      hint: 'Set zone to an IANA name such as Europe/London, or leave it out for UTC.',
    })
  return new CronSource(config, context)
})
