// The MinIO connector: hands the configuration to the source of its mode, and to its tools.

import { defineConnector } from '../../src/sdk/index.ts'
import { ListenSource } from './listen-source.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'

export default defineConnector(
  manifest,
  (config, context) =>
    config.receive === 'listen' ? new ListenSource(config, context) : new WebhookSource(config, context),
  async (config, context) => (await import('./tools.ts')).minioTools(config, context),
)
