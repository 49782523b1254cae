// The MinIO connector: hands the configuration to the source of its mode, after checking what fields cannot.

import { HubError, defineConnector, topicProblem } from '../../src/sdk/index.ts'
import type { MinioConfig } from './client.ts'
import { eventProblem } from './event-names.ts'
import { ListenSource } from './listen-source.ts'
import { manifest } from './manifest.ts'
import { WebhookSource } from './webhook-source.ts'
import { partsOf } from './wishes.ts'

export default defineConnector(manifest, (config, context) => {
  const problem = problemOf(config)
  if (problem !== undefined) {
    const [text, hint] = problem
    throw new HubError('HUB_CONFIG_INVALID', `connectors.${context.instance}${text}`, { hint })
  }
  return config.receive === 'listen' ? new ListenSource(config, context) : new WebhookSource(config, context)
})

/** What is wrong, and how it is mended. */
function problemOf(config: MinioConfig): readonly [text: string, hint: string] | undefined {
  const { receive, accessKey, secretKey, configureBucket, token, topics, tls, listen } = config
  if ((accessKey === undefined) !== (secretKey === undefined))
    return [': accessKey and secretKey belong together', 'Set both, or neither.']
  if (accessKey === undefined && receive === 'listen')
    return ['.accessKey is required to listen', 'Set accessKey and secretKey (or secretKeyFile).']
  if (accessKey === undefined && configureBucket)
    return ['.accessKey is required by configureBucket', 'Set accessKey and secretKey (or secretKeyFile).']
  if (configureBucket && receive === 'listen')
    return ['.configureBucket is of webhook mode', 'Remove it: nothing is configured to listen.']
  if (token !== undefined && !/^\S+(\s+\S+)?$/.test(token.reveal().trim()))
    return ['.token has to be one word, or a scheme and a word', 'MinIO sends no other ones.']
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined))
    return ['.tls: certFile and keyFile belong together', 'Set both for a client certificate, or neither.']
  if ((listen.certFile === undefined) !== (listen.keyFile === undefined))
    return ['.listen: certFile and keyFile belong together', 'Set both to listen with HTTPS, or neither.']
  if (topics?.length === 0) return ['.topics is empty', 'Name the topics to read, or remove it.']
  for (const topic of topics ?? []) {
    const [, event] = partsOf(topic)
    const problem = topicProblem('s3', topic) ?? (event === undefined ? undefined : eventProblem(event))
    if (problem !== undefined) return [`.topics: ${topic}: ${problem}`, 'Correct the topic.']
  }
  return undefined
}
