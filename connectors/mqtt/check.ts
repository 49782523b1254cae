// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault, isPercentEncoded, topicProblem } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import type { fields } from './manifest.ts'

export function check({
  url,
  username,
  password,
  topics,
  sharedGroup,
  clientId,
  clean,
  trimChannelKey,
  tls,
}: ConfigOf<typeof fields>): ConfigFault | undefined {
  const at = new URL(url)
  if (![username === undefined ? at.username : '', password === undefined ? at.password : ''].every(isPercentEncoded))
    return { at: 'url', message: 'has a % in its user name or password that begins no escape', hint: 'Write %25 for it, or set username and password by themselves.' } // prettier-ignore
  for (const topic of topics ?? []) {
    const problem = topicProblem('mqtt', topic)
    if (problem !== undefined) return { at: 'topics', message: `holds "${topic}": ${problem}`, hint: 'Correct the topic filter.' } // prettier-ignore
  }
  if (sharedGroup !== undefined && clientId === undefined && !clean)
    return {
      at: 'clientId',
      message: 'is needed with sharedGroup',
      hint: 'Give every replica one of its own that it keeps over restarts, e.g. the name of its StatefulSet pod in HUB_<INSTANCE>_CLIENT_ID.',
    }
  if (trimChannelKey && topics === undefined)
    return {
      at: 'topics',
      message: 'is needed with trimChannelKey',
      hint: 'List the filters with their channel keys under topics; annotations then hold the topics without the key.',
    }
  return certificateFault('tls', tls)
}
