// The SQS connector: hands the configuration to its source, after checking what fields cannot.

import { HubError, defineConnector } from '../../src/sdk/index.ts'
import type { SqsConfig } from './clients.ts'
import { manifest } from './manifest.ts'
import { SqsSource } from './sqs-source.ts'

export default defineConnector(manifest, (config, context) => {
  const problem = problemOf(config)
  if (problem !== undefined) {
    const [text, hint] = problem
    throw new HubError('HUB_CONFIG_INVALID', `connectors.${context.instance}${text}`, { hint })
  }
  return new SqsSource(config, context)
})

/** What is wrong, and how it is mended. */
function problemOf(config: SqsConfig): readonly [text: string, hint: string] | undefined {
  const { accessKeyId, secretAccessKey, sessionToken, endpoint, tls, queues } = config
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    return [
      ': accessKeyId and secretAccessKey belong together',
      'Set both, or neither to use the AWS credential chain.',
    ]
  if (sessionToken !== undefined && accessKeyId === undefined)
    return ['.sessionToken is set without accessKeyId', 'Set accessKeyId and secretAccessKey, too.']
  const { caFile, certFile, keyFile, serverName, insecureSkipVerify } = tls
  if ((certFile === undefined) !== (keyFile === undefined))
    return ['.tls: certFile and keyFile belong together', 'Set both for a client certificate, or neither.']
  const setsTls = [caFile, certFile, keyFile, serverName].some((one) => one !== undefined) || insecureSkipVerify
  if (setsTls && endpoint !== undefined && new URL(endpoint).protocol === 'http:')
    return ['.tls is set, but endpoint begins with http://', 'Write https://, or remove tls.']
  const wrong = queues.find((queue) => !/^https?:\/\/[^/]+\/.+/.test(queue))
  if (wrong !== undefined) return [`.queues: ${wrong} is not the URL of a queue`, 'Write https://sqs.<region>.amazonaws.com/<account>/<name>.'] // prettier-ignore
  return undefined
}
