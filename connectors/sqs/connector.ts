// The SQS connector: hands the configuration to its source, and to its tools.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { SqsSource } from './sqs-source.ts'

export default defineConnector(
  manifest,
  (config, context) => new SqsSource(config, context),
  async (config, context) => (await import('./tools.ts')).sqsTools(config, context),
)
