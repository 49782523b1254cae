// The MQTT connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector, topicProblem } from '../../src/sdk/index.ts'
import { manifest } from './manifest.ts'
import { MqttSource } from './mqtt-source.ts'

export default defineConnector(manifest, (config, context) => {
  const at = `connectors.${context.instance}`
  for (const topic of config.topics ?? []) {
    const problem = topicProblem('mqtt', topic)
    if (problem !== undefined) throw new HubError('HUB_TOPIC_INVALID', `${at}.topics: "${topic}": ${problem}`)
  }
  if (config.sharedGroup !== undefined && config.clientId === undefined && !config.clean)
    throw new HubError('HUB_CONFIG_INVALID', `${at}.clientId is needed with sharedGroup`, {
      hint: 'Give every replica one of its own that it keeps over restarts, e.g. the name of its StatefulSet pod in HUB_<INSTANCE>_CLIENT_ID.',
    })
  if (config.trimChannelKey && config.topics === undefined)
    throw new HubError('HUB_CONFIG_INVALID', `${at}.topics is needed with trimChannelKey`, {
      hint: 'List the filters with their channel keys under topics; annotations then hold the topics without the key.',
    })
  if ((config.tls.certFile === undefined) !== (config.tls.keyFile === undefined))
    throw new HubError('HUB_CONFIG_INVALID', `${at}.tls: certFile and keyFile belong together`, {
      hint: 'Set both for a client certificate, or neither.',
    })
  return new MqttSource(config, context)
})
