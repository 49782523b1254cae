// The SQS connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { SqsSource } from './sqs-source.ts'

export default defineConnector(manifest, (config, context) => new SqsSource(config, context))
