// The webhook connector: hands the configuration to its source, and to its tools.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'

export default defineConnector(
  manifest,
  (config, context) => new WebhookSource(config, context),
  async (config, context) => (await import('./tools.ts')).webhookTools(config, context),
)
