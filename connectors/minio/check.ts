// What of a configuration is wrong although each field is valid. Pure; asked whenever a configuration is read.

import { certificateFault, topicProblem } from '../../src/sdk/index.ts'
import type { ConfigFault, ConfigOf } from '../../src/sdk/index.ts'
import { eventProblem } from './event-names.ts'
import type { fields } from './manifest.ts'

export function check(config: ConfigOf<typeof fields>): ConfigFault | undefined {
  const { receive, accessKey, secretKey, configureBucket, token, topics, tls, listen } = config
  if ((accessKey === undefined) !== (secretKey === undefined))
    return { at: '', message: 'has one of accessKey and secretKey, which belong together', hint: 'Set both, or neither.' } // prettier-ignore
  const keysHint = 'Set accessKey and secretKey (or secretKeyFile).'
  if (accessKey === undefined && receive === 'listen') return { at: 'accessKey', message: 'is required to listen', hint: keysHint } // prettier-ignore
  if (accessKey === undefined && configureBucket) return { at: 'accessKey', message: 'is required by configureBucket', hint: keysHint } // prettier-ignore
  if (configureBucket && receive === 'listen')
    return { at: 'configureBucket', message: 'is of webhook mode', hint: 'Remove it: nothing is configured to listen.' }
  if (token !== undefined && !/^\S+(\s+\S+)?$/.test(token.reveal().trim()))
    return { at: 'token', message: 'has to be one word, or a scheme and a word', hint: 'MinIO sends no other ones.' }
  const halfOfPair = certificateFault('tls', tls) ?? certificateFault('listen', listen)
  if (halfOfPair !== undefined) return halfOfPair
  if (topics?.length === 0) return { at: 'topics', message: 'is empty', hint: 'Name the topics to read, or remove it.' }
  for (const topic of topics ?? []) {
    const problem = minioTopicProblem(topic)
    if (problem !== undefined)
      return { at: 'topics', message: `holds ${topic}: ${problem}`, hint: 'Correct the topic.' }
  }
  return undefined
}

/** Why this topic names no bucket, or no event that MinIO has; undefined when it does. */
export function minioTopicProblem(topic: string): string | undefined {
  const [, event] = partsOf(topic)
  return topicProblem('s3', topic) ?? (event === undefined ? undefined : eventProblem(event))
}

/** @returns the bucket of a valid topic, and its event where it has one */
export function partsOf(topic: string): readonly [bucket: string, event: string | undefined] {
  const at = topic.indexOf(':')
  return at === -1 ? [topic, undefined] : [topic.slice(0, at), topic.slice(at + 1)]
}
