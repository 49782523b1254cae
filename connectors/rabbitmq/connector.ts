// The RabbitMQ connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { RabbitSource } from './rabbit-source.ts'

export default defineConnector(manifest, (config, context) => new RabbitSource(config, context))
