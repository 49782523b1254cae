// The cron connector: hands the configuration to its source, and to its tools.

import { defineConnector } from '../../src/sdk/index.ts'
import { CronSource } from './cron-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(
  manifest,
  (config, context) => new CronSource(config, context),
  async (config, context) => (await import('./tools.ts')).cronTools(config, context),
)
