// A message of a stream as the hub's event. Pure; called by nats-source.ts.

import type { JsMsg } from '@nats-io/jetstream'

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'

export function toEvent(message: JsMsg, instance: string, orderingToken: number | undefined): EventMessage {
  const { stream, streamSequence, deliveryCount } = message.info
  const key = orderingToken === undefined ? undefined : message.subject.split('.')[orderingToken - 1]
  const contentType = message.headers?.get('Content-Type')
  return {
    id: `${instance}:${stream}:${streamSequence}`,
    source: instance,
    topic: message.subject,
    body: message.data,
    headers: headersOf(message),
    attempt: deliveryCount,
    timestampMs: Number(message.timestampNanos / 1_000_000n),
    ...(key === undefined ? {} : { orderingKey: key }),
    ...(contentType === undefined || !/^[\x20-\x7e]+$/.test(contentType) ? {} : { contentType }),
  }
}

function headersOf({ headers, info }: JsMsg): EventMessage['headers'] {
  const writer = new HeaderWriter('X-Nats-')
    .own('X-Nats-Stream', info.stream)
    .own('X-Nats-Sequence', info.streamSequence)
    .own('X-Nats-Delivered', info.deliveryCount)
  if (headers !== undefined)
    for (const name of headers.keys()) for (const value of headers.values(name)) writer.broker(prefixed(name), value)
  return writer.build()
}

/** The server's own headers begin with Nats- already. */
function prefixed(name: string): string {
  return /^nats-/i.test(name) ? `X-${name}` : `X-Nats-${name}`
}
