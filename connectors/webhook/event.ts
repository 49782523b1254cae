// A request as an event: its topic, its id, and the headers that go on to the function.

import { randomUUID } from 'node:crypto'

import { HeaderWriter } from '../../src/sdk/index.ts'
import type { EndpointRequest, InboxEvent } from '../../src/sdk/index.ts'
import type { Proven } from './proof.ts'

/** Of the connection, set by the invocation itself, or secrets. */
export const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  'accept', 'accept-encoding', 'authorization', 'connection', 'content-length', 'content-type', 'cookie', 'expect', 'host',
  'http2-settings', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'x-callback-url', 'x-call-id', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-gitlab-token',
]) // prettier-ignore

export interface Arrived {
  readonly hook: string
  readonly instance: string
  readonly caller: string
  readonly nowMs: number
}

/** `<hook>` or `<hook>:<event>`. */
export function topicOf(hook: string, event: string | undefined): string {
  return event === undefined ? hook : `${hook}:${event.trim().replaceAll(/[^A-Za-z0-9._-]/g, '_')}`
}

export function hookEvent(
  request: Pick<EndpointRequest, 'headers' | 'query'>,
  body: Buffer,
  proof: Proven,
  { hook, instance, caller, nowMs }: Arrived,
): InboxEvent {
  const { headers, query } = request
  const writer = new HeaderWriter('X-Webhook-')
  writer.own('X-Webhook-Hook', hook).own('X-Webhook-Event', proof.event).own('X-Webhook-Id', proof.id)
  writer.own('X-Webhook-Caller', caller)
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !NOT_PASSED_ON.has(name))
      for (const one of Array.isArray(value) ? value : [value]) writer.broker(name, one)
  const contentType = headers['content-type']
  return {
    id: `${instance}:${hook}/${proof.id ?? randomUUID()}`,
    topic: topicOf(hook, proof.event),
    body,
    headers: writer.build(),
    timestampMs: nowMs,
    ...(contentType === undefined ? {} : { contentType }),
    ...(query === '' ? {} : { path: query }),
  }
}
