// The Kafka connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector } from '../../src/sdk/index.ts'
import type { KafkaConfig } from './dial.ts'
import { KafkaSource } from './kafka-source.ts'
import { manifest } from './manifest.ts'
import { patternOf } from './topics.ts'

export default defineConnector(manifest, (config, context) => {
  const problem = problemOf(config)
  if (problem !== undefined)
    throw new HubError('HUB_CONFIG_INVALID', `connectors.${context.instance}${problem[0]}`, { hint: problem[1] })
  return new KafkaSource(config, context)
})

/** What is wrong, and what to do. */
function problemOf(config: KafkaConfig): readonly [string, string] | undefined {
  const { brokers, saslMechanism, username, password, oauth, tls, topics } = config
  if (brokers.length === 0) return ['.brokers is empty', 'Name at least one broker, as host:port.']
  const malformed = brokers.find((broker) => !/^(\[[0-9a-f:.]+\]|[^\s:/@]+)(:\d{1,5})?$/i.test(broker))
  if (malformed !== undefined) return ['.brokers holds an entry that is no host:port', 'Write kafka.example.com:9092, without a scheme and without credentials.'] // prettier-ignore
  if ((username === undefined) !== (password === undefined)) return [': username and password belong together', 'Set both, or neither.'] // prettier-ignore
  if (saslMechanism === 'oauthbearer') {
    const hasEndpoint = oauth.tokenEndpoint !== undefined && oauth.clientId !== undefined && oauth.clientSecret !== undefined // prettier-ignore
    if (oauth.tokenFile === undefined && !hasEndpoint) return ['.oauth is not complete', 'Set tokenFile, or tokenEndpoint, clientId and clientSecret.'] // prettier-ignore
    if (username !== undefined) return [': oauthbearer has no username and password', 'Remove them, or choose another saslMechanism.'] // prettier-ignore
  } else if (saslMechanism !== undefined && username === undefined)
    return [`: saslMechanism ${saslMechanism} needs a username and a password`, 'Set them, or remove saslMechanism.']
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) return ['.tls: certFile and keyFile belong together', 'Set both for a client certificate, or neither.'] // prettier-ignore
  if (config.revokeTimeout >= config.rebalanceTimeout) return ['.revokeTimeout is not below rebalanceTimeout', 'Else the group goes on without us while we still work.'] // prettier-ignore
  for (const topic of topics ?? []) {
    try {
      patternOf(topic)
    } catch {
      return [`.topics: ${topic} is no regular expression`, 'Correct it, or leave out the slashes for an exact name.']
    }
  }
  return undefined
}
