// Signatures of webhooks: HMAC over the bytes as they came, compared in constant time, time stamps within a tolerance.
// Sources: GitHub "Validating webhook deliveries", Stripe "Verify webhook signatures manually", Slack "Verifying requests",
// the Standard Webhooks specification 1.0.0.

import { createHmac } from 'node:crypto'

import { recordOf, sameSecret } from '../../src/sdk/index.ts'
import { refused, text } from './proof.ts'
import type { Headers, Proof } from './proof.ts'

export interface HmacOptions {
  readonly header: string
  readonly prefix: string
  readonly algorithm: string
  readonly encoding: 'hex' | 'base64'
  /** Template with {body}, {timestamp} and {id}. */
  readonly signed: string
  readonly timestampHeader?: string | undefined
  readonly idHeader?: string | undefined
  readonly toleranceMs?: number
}

type Prove = (headers: Headers, body: Buffer, nowMs: number) => Proof

export function hmacProof(secrets: readonly string[], options: HmacOptions): Prove {
  const { header, prefix, algorithm, encoding, signed, timestampHeader, idHeader, toleranceMs = 0 } = options
  return (headers, body, nowMs) => {
    const given = text(headers, header)
    if (given === undefined) return refused(`the header ${header} is missing`)
    if (!given.startsWith(prefix)) return refused(`the header ${header} does not begin with ${prefix}`)
    const timestamp = timestampHeader === undefined ? '' : text(headers, timestampHeader)
    if (timestamp === undefined) return refused(`the header ${timestampHeader} is missing`)
    const id = idHeader === undefined || !signed.includes('{id}') ? '' : text(headers, idHeader)
    if (id === undefined) return refused(`the header ${idHeader} is missing`)
    const parts = signedParts(signed, { timestamp, id }, body)
    if (!isSigned(secrets, algorithm, parts, [given.slice(prefix.length)], encoding))
      return refused('the signature is wrong')
    if (timestampHeader === undefined) return { ok: true }
    // What is signed with its time is not sent twice by anybody but who has recorded it, and may write it otherwise.
    const itself = encoding === 'hex' ? given.toLowerCase() : given
    return lateness(timestamp, toleranceMs, nowMs) ?? { ok: true, ...(idHeader === undefined ? { id: itself } : {}) }
  }
}

/** `Stripe-Signature: t=<Unix seconds>,v1=<hex>[,v1=<hex>]`, over `<t>.<body>`. Event and id are in the body. */
export function stripeProof(secrets: readonly string[], toleranceMs: number): Prove {
  return (headers, body, nowMs) => {
    const given = text(headers, 'stripe-signature')
    if (given === undefined) return refused('the header Stripe-Signature is missing')
    let timestamp = ''
    const signatures: string[] = []
    for (const item of given.split(',')) {
      const [key, value = ''] = item.split('=', 2)
      if (key?.trim() === 't') timestamp = value
      else if (key?.trim() === 'v1') signatures.push(value)
    }
    if (!isSigned(secrets, 'sha256', [`${timestamp}.`, body], signatures, 'hex'))
      return refused('the signature is wrong')
    const late = lateness(timestamp, toleranceMs, nowMs)
    if (late !== undefined) return late
    const { id, type } = members(body)
    if (typeof id !== 'string' || typeof type !== 'string') return refused('the body is not an event of Stripe', 400)
    return { ok: true, id, event: type }
  }
}

/** `webhook-signature: v1,<base64>[ v1,<base64>]` over `<webhook-id>.<webhook-timestamp>.<body>`; Svix names them `svix-…`. */
export function standardProof(keys: readonly Buffer[], toleranceMs: number): Prove {
  return (headers, body, nowMs) => {
    const header = (name: string): string | undefined => text(headers, `webhook-${name}`) ?? text(headers, `svix-${name}`) // prettier-ignore
    const [id, timestamp, given] = [header('id'), header('timestamp'), header('signature')]
    if (id === undefined || timestamp === undefined || given === undefined)
      return refused('webhook-id, webhook-timestamp and webhook-signature are needed')
    const signatures = given.split(' ').flatMap((item) => (item.startsWith('v1,') ? [item.slice(3)] : [])) // prettier-ignore
    if (!isSigned(keys, 'sha256', [`${id}.${timestamp}.`, body], signatures, 'base64'))
      return refused('the signature is wrong')
    return lateness(timestamp, toleranceMs, nowMs) ?? { ok: true, id }
  }
}

/** What a template with {body}, {timestamp} and {id} says is signed. */
export function signedParts(
  template: string,
  { timestamp, id }: { readonly timestamp: string; readonly id: string },
  body: Buffer,
): readonly (string | Buffer)[] {
  const [before = '', after = ''] = template.split('{body}')
  const fill = (part: string): string => part.replaceAll(/\{(timestamp|id)\}/g, (_, name) => (name === 'id' ? id : timestamp)) // prettier-ignore
  return [fill(before), body, fill(after)]
}

export function signatureOf(
  key: string | Buffer,
  algorithm: string,
  parts: readonly (string | Buffer)[],
  encoding: 'hex' | 'base64',
): string {
  const hmac = createHmac(algorithm, key)
  for (const part of parts) hmac.update(part)
  return hmac.digest(encoding)
}

/** Every key with every signature, so that the time says nothing about which of them was right. */
function isSigned(
  keys: readonly (string | Buffer)[],
  algorithm: string,
  parts: readonly (string | Buffer)[],
  given: readonly string[],
  encoding: 'hex' | 'base64',
): boolean {
  let isRight = false
  for (const key of keys) {
    const wanted = signatureOf(key, algorithm, parts, encoding)
    for (const signature of given) if (sameSecret(encoding === 'hex' ? signature.toLowerCase() : signature, wanted)) isRight = true // prettier-ignore
  }
  return isRight
}

/** Looked at only after the signature: nobody else is told about our clock. */
function lateness(timestamp: string, toleranceMs: number, nowMs: number): Proof | undefined {
  if (!/^\d{1,12}$/.test(timestamp)) return refused('the time stamp is not in Unix seconds')
  const offMs = nowMs - Number(timestamp) * 1000
  if (Math.abs(offMs) <= toleranceMs) return undefined
  return refused(`the time stamp is ${Math.round(Math.abs(offMs) / 1000)} s ${offMs > 0 ? 'old' : 'ahead'}, and ${toleranceMs / 1000} s are allowed`) // prettier-ignore
}

/** Of a JSON object; of anything else none. */
export function members(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    return recordOf(JSON.parse(body.toString()))
  } catch {
    return {}
  }
}
