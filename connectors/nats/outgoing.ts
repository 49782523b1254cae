// A person's event as NATS carries it, or why it cannot. Pure; called by emit.ts.

import { headers as newHeaders } from '@nats-io/transport-node'
import type { MsgHdrs } from '@nats-io/transport-node'

import { HubError, errorText, hasWildcard, topicProblem } from '../../src/sdk/index.ts'
import type { OutgoingEvent } from '../../src/sdk/index.ts'

/** The server's own subjects, but for those of key-value buckets and object stores, which are plain streams. */
const SERVERS_OWN = /^\$(?!KV\.|O\.)/

/** @throws HubError HUB_USAGE for a subject that stands for many, or is a command to the server */
export function checkSubject(topic: string): void {
  const problem = topicProblem('nats', topic)
  if (problem !== undefined) throw new HubError('HUB_USAGE', `${JSON.stringify(topic)}: ${problem}`, { hint: 'Name a subject such as orders.created.' }) // prettier-ignore
  if (hasWildcard('nats', topic)) throw new HubError('HUB_USAGE', `${topic} stands for many subjects`, { hint: 'Name one subject that the wildcards stand for.' }) // prettier-ignore
  if (SERVERS_OWN.test(topic)) throw new HubError('HUB_USAGE', `${topic} is a subject of the server itself, where a message is a command`, { hint: 'Name a subject of yours.' }) // prettier-ignore
}

/**
 * NATS orders by nothing but the subject, so a key is what the subject says already.
 * @throws HubError HUB_USAGE for any other
 */
export function checkKey({ topic, key }: OutgoingEvent, orderingToken: number | undefined): void {
  if (key === undefined) return
  if (orderingToken === undefined)
    throw new HubError('HUB_USAGE', 'NATS has no keys', {
      hint: 'Leave the key out; to order by a token of the subject, set orderingToken.',
    })
  const tokens = topic.split('.')
  if (tokens[orderingToken - 1] === key) return
  const wanted = tokens.with(Math.min(orderingToken - 1, tokens.length - 1), key).join('.')
  const hint = orderingToken > tokens.length || /[\s.*>]/.test(key) || key === '' ? 'Leave the key out.' : `Emit to ${wanted}, or leave the key out.` // prettier-ignore
  throw new HubError('HUB_USAGE', `${topic} is ordered by its token ${orderingToken} (orderingToken), which is not ${key}`, { hint }) // prettier-ignore
}

/** Undefined where there are none. @throws HubError HUB_USAGE for what a header of NATS cannot hold */
export function headersOf({ headers, contentType }: OutgoingEvent): MsgHdrs | undefined {
  const written = newHeaders()
  const entries = Object.entries(headers).filter(([name]) => contentType === undefined || name !== CONTENT_TYPE)
  if (contentType !== undefined) {
    if (!/^[\x20-\x7e]+$/.test(contentType)) throw new HubError('HUB_USAGE', 'a content type is printable ASCII', { hint: 'Correct the content type.' }) // prettier-ignore
    entries.push([CONTENT_TYPE, contentType])
  }
  for (const [name, value] of entries) {
    if (value !== value.trim()) throw new HubError('HUB_USAGE', `the header ${name} begins or ends with white space, which NATS cuts off`, { hint: 'Remove it.' }) // prettier-ignore
    try {
      written.append(name, value)
    } catch (error) {
      throw new HubError('HUB_USAGE', `the header ${JSON.stringify(name)}: ${errorText(error)}`, { cause: error, hint: 'Names are printable ASCII without spaces and colons, values one line.' }) // prettier-ignore
    }
  }
  return entries.length === 0 ? undefined : written
}

const CONTENT_TYPE = 'Content-Type'
