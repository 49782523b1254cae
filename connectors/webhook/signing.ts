// Requests as the caller of a hook makes them: proven, with their event and their id. The other side of hooks.ts and
// signatures.ts, which check them. Pure; called by emit.ts.

import { HubError } from '../../src/sdk/index.ts'
import { topicOf } from './event.ts'
import { eventHeaderOf, idHeaderOf, standardKey } from './hooks.ts'
import type { HookConfig } from './hooks.ts'
import { members, signatureOf, signedParts } from './signatures.ts'

export interface Unsigned {
  readonly body: Buffer
  /** As it stands in the topic; undefined: the hook alone is the topic. */
  readonly event: string | undefined
  /** For where the hook reads one from a header. */
  readonly id: string
  readonly nowMs: number
}

/** Names in lower case. @throws HubError HUB_USAGE for an event that a request to this hook cannot name */
export function signedHeaders(hook: HookConfig, request: Unsigned): Readonly<Record<string, string>> {
  return { ...eventHeaders(hook, request), ...idHeaders(hook, request), ...proofHeaders(hook, request) }
}

/** The header that holds the id of a request to this hook, in lower case; undefined where the body or nothing does. */
export function ownIdHeader(hook: HookConfig): string | undefined {
  return (hook.scheme === 'standard' ? 'webhook-id' : idHeaderOf(hook))?.toLowerCase()
}

/** Whether equal bodies of one second are one event to this hook: they have the same signature, which is their id. */
export function isKnownBySignature({ scheme, timestampHeader, idHeader }: HookConfig): boolean {
  return scheme === 'hmac' && timestampHeader !== undefined && idHeader === undefined
}

function eventHeaders(hook: HookConfig, { event, body }: Unsigned): Readonly<Record<string, string>> {
  if (hook.scheme === 'stripe') {
    checkStripeBody(hook, event, body)
    return {}
  }
  if (event === undefined) return {}
  const header = eventHeaderOf(hook)
  if (header === undefined)
    throw new HubError('HUB_USAGE', `requests to the hook ${hook.name} name no event`, { hint: `Emit to ${hook.name} alone, or set eventHeader of the hook.` }) // prettier-ignore
  return { [header.toLowerCase()]: hook.scheme === 'gitlab' ? gitlabEvent(event) : event }
}

function idHeaders(hook: HookConfig, { id }: Unsigned): Readonly<Record<string, string>> {
  const header = ownIdHeader(hook)
  return header === undefined ? {} : { [header]: id }
}

function proofHeaders(hook: HookConfig, { body, id, nowMs }: Unsigned): Readonly<Record<string, string>> {
  const { scheme, secret: configured, username, algorithm, encoding, signed, timestampHeader } = hook
  const secret = configured?.reveal() ?? ''
  const timestamp = String(Math.floor(nowMs / 1000))
  switch (scheme) {
    case 'none':
      return {}
    case 'bearer':
      return { authorization: `Bearer ${secret}` }
    case 'basic':
      return { authorization: `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}` }
    case 'gitlab':
      return { 'x-gitlab-token': secret }
    case 'github':
      return { 'x-hub-signature-256': `sha256=${signatureOf(secret, 'sha256', [body], 'hex')}` }
    case 'hmac': {
      const signature = signatureOf(secret, algorithm, signedParts(signed, { timestamp, id }, body), encoding)
      return {
        ...(timestampHeader === undefined ? {} : { [timestampHeader.toLowerCase()]: timestamp }),
        [hook.signatureHeader.toLowerCase()]: `${hook.signaturePrefix}${signature}`,
      }
    }
    case 'stripe':
      return { 'stripe-signature': `t=${timestamp},v1=${signatureOf(secret, 'sha256', [`${timestamp}.`, body], 'hex')}` } // prettier-ignore
    case 'standard': {
      const signature = signatureOf(standardKey(secret), 'sha256', [`${id}.${timestamp}.`, body], 'base64')
      return { 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
    }
  }
}

/** As GitLab spells the `object_kind` merge_request: `Merge Request Hook`. */
function gitlabEvent(event: string): string {
  const words = event.split('_').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
  return `${words.join(' ')} Hook`
}

/** Stripe says event and id in the body, which is sent as it is given. */
function checkStripeBody({ name }: HookConfig, event: string | undefined, body: Buffer): void {
  const { id, type } = members(body)
  const hint = `Give a body such as {"id":"evt_1","object":"event","type":"${event ?? 'invoice.paid'}"} with --data.`
  if (typeof id !== 'string' || typeof type !== 'string')
    throw new HubError('HUB_USAGE', `the hook ${name} takes events of Stripe: JSON with an id and a type`, { hint })
  if (event !== undefined && topicOf(name, type) !== topicOf(name, event))
    throw new HubError('HUB_USAGE', `the type in the body is ${type}, and the topic is of ${event}`, { hint })
}
