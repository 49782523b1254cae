// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

export function check(config: ConfigOf<typeof fields>): ConfigFault | undefined {
  const { accessKeyId, secretAccessKey, sessionToken, endpoint, tls, queues } = config
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    return { at: '', message: 'has one of accessKeyId and secretAccessKey, which belong together', hint: 'Set both, or neither to use the AWS credential chain.' } // prettier-ignore
  if (sessionToken !== undefined && accessKeyId === undefined)
    return { at: 'sessionToken', message: 'is set without accessKeyId', hint: 'Set accessKeyId and secretAccessKey, too.' } // prettier-ignore
  const halfOfPair = certificateFault('tls', tls)
  if (halfOfPair !== undefined) return halfOfPair
  const { caFile, certFile, keyFile, serverName, insecureSkipVerify } = tls
  const setsTls = [caFile, certFile, keyFile, serverName].some((one) => one !== undefined) || insecureSkipVerify
  if (setsTls && endpoint !== undefined && new URL(endpoint).protocol === 'http:')
    return { at: 'tls', message: 'is set, but endpoint begins with http://', hint: 'Write https://, or remove tls.' }
  const wrong = queues.find((queue) => !/^https?:\/\/[^/]+\/.+/.test(queue))
  if (wrong !== undefined)
    return { at: 'queues', message: `holds ${wrong}, which is not the URL of a queue`, hint: 'Write https://sqs.<region>.amazonaws.com/<account>/<name>.' } // prettier-ignore
  return undefined
}
