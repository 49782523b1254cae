// The webhook connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'

export default defineConnector(manifest, (config, context) => new WebhookSource(config, context))
