// The NATS connector: hands the configuration to the source of its layer, after checking what fields cannot.

import { HubError, defineConnector, topicProblem } from '../../src/sdk/index.ts'
import { CoreSource } from './core-source.ts'
import type { NatsConfig } from './dial.ts'
import { JetStreamSource } from './jetstream-source.ts'
import { manifest } from './manifest.ts'

export default defineConnector(manifest, (config, context) => {
  const problem = problemOf(config)
  if (problem !== undefined) {
    const [text, hint] = problem
    throw new HubError('HUB_CONFIG_INVALID', `connectors.${context.instance}${text}`, { hint })
  }
  return config.layer === 'core' ? new CoreSource(config, context) : new JetStreamSource(config, context)
})

/** What is wrong, and how it is mended. */
function problemOf(config: NatsConfig): readonly [text: string, hint: string] | undefined {
  const { servers, topics, tls } = config
  const ways = (['username', 'token', 'nkeySeed', 'credsFile'] as const).filter((way) => config[way] !== undefined)
  if (ways.length > 1) return [`: ${ways.join(' and ')} are different ways to log in`, 'Keep one of them.']
  if (servers.length === 0) return ['.servers is empty', 'Name at least one server.']
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined))
    return ['.tls: certFile and keyFile belong together', 'Set both for a client certificate, or neither.']
  if (topics?.length === 0) return ['.topics is empty', 'Name the subjects to read, or remove it.']
  for (const topic of topics ?? []) {
    const problem = topicProblem('nats', topic)
    if (problem !== undefined) return [`.topics: ${topic}: ${problem}`, 'Correct the subject filter.']
  }
  return undefined
}
