// The RabbitMQ connector: hands the configuration to its source, and to its tools when the command line asks for them.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { RabbitSource } from './rabbit-source.ts'

export default defineConnector(
  manifest,
  (config, context) => new RabbitSource(config, context),
  async (config, context) => (await import('./tools.ts')).rabbitTools(config, context),
)
