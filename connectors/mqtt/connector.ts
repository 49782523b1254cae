// The MQTT connector: hands the configuration to its source.

import { defineConnector } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { MqttSource } from './mqtt-source.ts'

export default defineConnector(
  manifest,
  (config, context) => new MqttSource(config, context),
  async (config, context) => (await import('./tools.ts')).mqttTools(config, context),
)
