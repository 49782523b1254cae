// The MQTT connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector, topicProblem } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { MqttSource } from './mqtt-source.ts'

export default defineConnector(manifest, (config, context) => {
  for (const topic of config.topics ?? []) {
    const problem = topicProblem('mqtt', topic)
    if (problem !== undefined)
      throw new HubError('HUB_TOPIC_INVALID', `connectors.${context.instance}.topics: "${topic}": ${problem}`)
  }
  return new MqttSource(config, context)
})
