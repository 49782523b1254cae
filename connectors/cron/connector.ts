// The cron connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { CronSource } from './cron-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(manifest, (config, context) => new CronSource(config, context))
