// The Kafka connector: hands the configuration to its source, and to its tools when the command line asks for them.

import { defineConnector } from '../../src/sdk/index.ts'
import { KafkaSource } from './kafka-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(
  manifest,
  (config, context) => new KafkaSource(config, context),
  async (config, context) => (await import('./tools.ts')).kafkaTools(config, context),
)
