// A message of a stream, or of core NATS, as the hub's event. Pure; called by the sources and peeks.

import type { JsMsg, StoredMsg } from '@nats-io/jetstream'
import type { Msg, MsgHdrs } from '@nats-io/transport-node'

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

export function streamEvent(message: JsMsg, instance: string, orderingToken: number | undefined): EventMessage {
  const { stream, streamSequence: sequence, deliveryCount: attempt } = message.info
  const timestampMs = Number(message.timestampNanos / 1_000_000n)
  return placedEvent(message, { instance, stream, sequence, attempt, timestampMs }, orderingToken)
}

/** A message that was read from its stream and not delivered; `attempt` is that of its next delivery. */
export function storedEvent(
  { subject, data, header: headers, seq: sequence, time }: StoredMsg,
  { instance, stream, attempt }: Pick<StreamIdentity, 'instance' | 'stream' | 'attempt'>,
  orderingToken: number | undefined,
): EventMessage {
  const identity = { instance, stream, sequence, attempt, timestampMs: time.getTime() }
  return placedEvent({ subject, data, headers }, identity, orderingToken)
}

interface StreamIdentity {
  readonly instance: string
  readonly stream: string
  readonly sequence: number
  readonly attempt: number
  readonly timestampMs: number
}

function placedEvent(
  content: Content,
  { instance, stream, sequence, attempt, timestampMs }: StreamIdentity,
  orderingToken: number | undefined,
): EventMessage {
  const headers = new HeaderWriter('X-Nats-')
    .own('X-Nats-Stream', stream)
    .own('X-Nats-Sequence', sequence)
    .own('X-Nats-Delivered', attempt)
  return {
    id: `${instance}:${stream}:${sequence}`,
    source: instance,
    attempt,
    timestampMs,
    ...contentOf(content, headers, orderingToken),
  }
}

export interface CoreIdentity {
  readonly instance: string
  /** Core NATS has nothing to tell messages by. */
  readonly id: string
  readonly receivedAtMs: number
}

export function coreEvent(message: Msg, identity: CoreIdentity, orderingToken: number | undefined): EventMessage {
  const { instance, id, receivedAtMs } = identity
  // Functions behind the asynchronous route can answer by themselves.
  const headers = new HeaderWriter('X-Nats-').own('X-Nats-Reply', message.reply === '' ? undefined : message.reply)
  return { id, source: instance, attempt: 1, timestampMs: receivedAtMs, ...contentOf(message, headers, orderingToken) }
}

interface Content {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers?: MsgHdrs | undefined
}

function contentOf(
  { subject, data, headers }: Content,
  writer: HeaderWriter,
  orderingToken: number | undefined,
): Pick<EventMessage, 'topic' | 'body' | 'headers' | 'orderingKey' | 'contentType'> {
  const key = orderingToken === undefined ? undefined : subject.split('.')[orderingToken - 1]
  const contentType = headers?.get('Content-Type')
  if (headers !== undefined)
    for (const name of headers.keys()) for (const value of headers.values(name)) writer.broker(prefixed(name), value)
  return {
    topic: subject,
    body: data,
    headers: writer.build(),
    ...(key === undefined ? {} : { orderingKey: key }),
    ...(contentType === undefined || !/^[\x20-\x7e]+$/.test(contentType) ? {} : { contentType }),
  }
}

/** The server's own headers begin with Nats- already. */
function prefixed(name: string): string {
  return /^nats-/i.test(name) ? `X-${name}` : `X-Nats-${name}`
}
