// The Kafka connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { KafkaSource } from './kafka-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(manifest, (config, context) => new KafkaSource(config, context))
