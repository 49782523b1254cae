// The NATS connector: hands the configuration to the source of its layer.

import { defineConnector } from '../../src/sdk/index.ts'
import { CoreSource } from './core-source.ts'
import { JetStreamSource } from './jetstream-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(
  manifest,
  (config, context) =>
    config.layer === 'core' ? new CoreSource(config, context) : new JetStreamSource(config, context),
  async (config, context) => (await import('./tools.ts')).natsTools(config, context),
)
