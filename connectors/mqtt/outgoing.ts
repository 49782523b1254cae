// A person's event as MQTT carries it, or why it cannot. Pure; called by emit.ts.

import type { IPublishPacket } from 'mqtt-packet'

import { HubError, hasWildcard, matchPattern, topicMatches, topicProblem } from '../../src/sdk/index.ts'
import type { OutgoingEvent } from '../../src/sdk/index.ts'
import type { MqttConfig } from './dial.ts'

/** Of a string in a packet (MQTT 5.0 §1.5.4). */
const STRING_BYTES_MAX = 65_535
/** MQTT 5.0 §1.5.4: control characters and non-characters may end the connection. */
const CONTROL = /[\p{Cc}\p{Noncharacter_Code_Point}]/u

/**
 * The topic to publish to, with the channel key that the configured filter has where it is left out of topics.
 * @throws HubError HUB_USAGE for a topic that stands for many, is the broker's own, or would not be read
 */
export function targetOf(
  topic: string,
  { trimChannelKey, topics = [] }: Pick<MqttConfig, 'trimChannelKey' | 'topics'>,
): string {
  // prettier-ignore
  const problem = topicProblem('mqtt', topic)
  if (problem !== undefined) throw new HubError('HUB_USAGE', `${JSON.stringify(topic)}: ${problem}`, { hint: 'Name a topic such as sensors/1/temperature.' }) // prettier-ignore
  if (topic.startsWith('$share/') || topic.startsWith('$SYS/')) throw new HubError('HUB_USAGE', `${topic} is not a topic to publish to`, { hint: 'Name the topic itself.' }) // prettier-ignore
  if (hasWildcard('mqtt', topic)) throw new HubError('HUB_USAGE', `${topic} stands for many topics`, { hint: 'Name one topic that the wildcards stand for.' }) // prettier-ignore
  if (!trimChannelKey) return topic
  const filters = topics.map((filter) => matchPattern('mqtt', filter))
  if (filters.some((filter) => topicMatches('mqtt', filter, topic))) return topic
  for (const filter of filters) {
    const withKey = `${filter.split('/', 1)[0]}/${topic}`
    if (!hasWildcard('mqtt', withKey) && topicMatches('mqtt', filter, withKey)) return withKey
  }
  throw new HubError('HUB_USAGE', `${topic} is not read: none of the configured topics brings it`, { hint: 'Name a topic that one of `topics` matches, with its channel key or without.' }) // prettier-ignore
}

/** @throws HubError HUB_USAGE for what the protocol version cannot carry */
export function propertiesOf(
  { key, headers, contentType }: OutgoingEvent,
  version: 4 | 5,
): IPublishPacket['properties'] {
  if (key !== undefined) throw new HubError('HUB_USAGE', 'MQTT has no keys', { hint: 'Leave the key out: the events of one topic are in order.' }) // prettier-ignore
  const entries = Object.entries(headers)
  if (entries.length === 0 && contentType === undefined) return undefined
  const what = contentType === undefined ? 'headers' : 'content types'
  if (version !== 5) throw new HubError('HUB_USAGE', `MQTT 3.1.1 has no ${what}`, { hint: 'Leave them out, or set protocolVersion: 5 where the broker has a listener for it.' }) // prettier-ignore
  if (contentType !== undefined && !/^[\x20-\x7e]+$/.test(contentType)) throw new HubError('HUB_USAGE', 'a content type is printable ASCII', { hint: 'Correct the content type.' }) // prettier-ignore
  for (const [name, value] of entries)
    for (const text of [name, value])
      if (CONTROL.test(text) || !text.isWellFormed() || Buffer.byteLength(text) > STRING_BYTES_MAX)
        throw new HubError('HUB_USAGE', `the header ${JSON.stringify(name)} cannot be a user property`, { hint: `Names and values are texts without control characters, of at most ${STRING_BYTES_MAX} bytes.` }) // prettier-ignore
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(entries.length === 0 ? {} : { userProperties: Object.fromEntries(entries) }),
  }
}
