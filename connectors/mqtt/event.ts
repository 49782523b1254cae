// A PUBLISH packet as the hub's event: identity, headers, body. Pure; called by mqtt-source.ts.

import { createHash, hash } from 'node:crypto'

import type { IPublishPacket } from 'mqtt-packet'

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

type Properties = NonNullable<IPublishPacket['properties']>

/** Copying a small payload behind its head is quicker than hashing two parts. */
const DIGEST_AT_ONCE_MAX = 16_384
/** Per UTF-16 unit. */
const UTF8_BYTES_MAX = 3

export interface EventScope {
  readonly instance: string
  /** Tells apart the sessions of one instance; of `sessionTag`. */
  readonly session: string
  readonly trimChannelKey: boolean
  readonly nowMs: number
  /** Tells QoS 0 messages apart; they have no packet identifier and are never redelivered. */
  readonly sequence: number
}

export function toEvent(packet: IPublishPacket, digest: string, scope: EventScope): EventMessage {
  const contentType = packet.properties?.contentType
  // OpenFaaS contract, mqtt-connector: a channel key goes up to the first slash.
  const topic = scope.trimChannelKey ? packet.topic.slice(packet.topic.indexOf('/') + 1) : packet.topic
  return {
    id: eventId(packet, digest, scope),
    source: scope.instance,
    topic,
    body: payloadOf(packet),
    headers: headersOf(packet),
    orderingKey: topic,
    // All that MQTT says about earlier deliveries is whether there was one.
    attempt: packet.dup ? 2 : 1,
    timestampMs: scope.nowMs,
    ...(contentType === undefined || !/^[\x20-\x7e]+$/.test(contentType) ? {} : { contentType }),
  }
}

/**
 * MQTT names no message. A redelivery within a session has the same packet identifier and content (MQTT 5.0 §4.4), also
 * after a restart of the hub and without anything remembered; so these make the id.
 */
function eventId({ qos, topic, messageId }: IPublishPacket, digest: string, scope: EventScope): string {
  if (qos === 0) return `${scope.instance}:${topic}@${scope.nowMs}-${scope.sequence}`
  return `${scope.instance}:${topic}#${messageId}-${scope.session}${digest.slice(0, 16)}`
}

export function sessionTag(clientId: string): string {
  return hash('sha1', clientId).slice(0, 8)
}

/** Equal for the copies and redeliveries of one message: all of its content that a broker must not change. */
export function contentDigest({ topic, payload, properties }: IPublishPacket): string {
  const head = `${Buffer.byteLength(topic)}:${topic}${properties === undefined ? '' : propertiesText(properties)}\n`
  if (payload.length > DIGEST_AT_ONCE_MAX) return createHash('sha1').update(head).update(payload).digest('hex')
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload
  const bytes = Buffer.allocUnsafe(head.length * UTF8_BYTES_MAX + body.length)
  const end = bytes.write(head)
  body.copy(bytes, end)
  return hash('sha1', bytes.subarray(0, end + body.length))
}

/** Subscription identifiers and the topic alias are the connection's, not the message's. One line. */
function propertiesText({ contentType, responseTopic, correlationData, userProperties }: Properties): string {
  if (contentType ?? responseTopic ?? correlationData ?? userProperties) return JSON.stringify([contentType, responseTopic, correlationData?.toString('base64'), userProperties]) // prettier-ignore
  return ''
}

export function payloadOf({ payload }: IPublishPacket): Buffer {
  return typeof payload === 'string' ? Buffer.from(payload) : payload
}

function headersOf({ qos, retain, dup, messageId, properties }: IPublishPacket): EventMessage['headers'] {
  const headers = new HeaderWriter('X-Mqtt-')
    .own('X-Mqtt-Qos', qos)
    .own('X-Mqtt-Retain', retain)
    .own('X-Mqtt-Dup', dup)
    .own('X-Mqtt-Packet-Id', qos === 0 ? undefined : messageId)
    .own('X-Mqtt-Response-Topic', properties?.responseTopic)
    .own('X-Mqtt-Correlation-Data', properties?.correlationData)
  for (const [name, values] of Object.entries(properties?.userProperties ?? {}))
    for (const value of [values].flat()) headers.broker(name, value)
  return headers.build()
}
