// The configured hooks, checked and ready: which proof each asks for, and what it says of a request. Pure.

import { basicCredentials, bearerToken, sameSecret } from '../../src/sdk/index.ts'
import type { ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { refused, text } from './proof.ts'
import type { Headers, Proof } from './proof.ts'
import { hmacProof, stripeProof, standardProof } from './signatures.ts'

export type WebhookConfig = ConfigOf<typeof manifest.fields>
export type HookConfig = WebhookConfig['hooks'][number]
export interface Hook {
  readonly name: string
  /** For `WWW-Authenticate`. */
  readonly challenge: string
  /** Undefined when it takes the body, of signatures alone: nobody who is refused by his headers may send one. */
  proveByHeaders(headers: Headers): Proof | undefined
  /** @param body the bytes as they came */
  prove(headers: Headers, body: Buffer, nowMs: number): Proof
}

const CHALLENGES: Readonly<Partial<Record<HookConfig['scheme'], string>>> = { bearer: 'Bearer', basic: 'Basic realm="hooks"' } // prettier-ignore

/** Why this hook cannot work, and what to do; undefined when it can. */
export function hookProblem(hook: HookConfig): string | undefined {
  const { scheme, secret, username, signed, timestampHeader, idHeader } = hook
  if (scheme !== 'none' && secret === undefined) return `secret (or secretFile) is required with scheme: ${scheme}`
  // An empty file would let everybody in who sends nothing.
  if (secretsOf(hook).includes('')) return 'a secret must not be empty'
  if (scheme === 'basic' && username === undefined) return 'username is required with scheme: basic'
  if (scheme === 'hmac' && signed.includes('{timestamp}') !== (timestampHeader !== undefined))
    return 'timestampHeader and {timestamp} in signed belong together'
  if (scheme === 'hmac' && signed.includes('{id}') && idHeader === undefined) return 'idHeader is required with {id} in signed' // prettier-ignore
  if (scheme === 'standard' && secretsOf(hook).some((one) => standardKey(one).byteLength === 0))
    return 'secret must be base64, with or without whsec_ before it'
  return undefined
}

export function createHook(config: HookConfig): Hook {
  const secrets = secretsOf(config)
  const isSecret = (given: string | undefined): boolean => given !== undefined && secrets.filter((secret) => sameSecret(given, secret)).length > 0 // prettier-ignore
  const said = (headers: Headers): Proof => ({ ok: true, ...named('event', eventOf(config, headers)), ...named('id', idOf(config, headers)) }) // prettier-ignore
  /** Credentials in a header, which need no body. */
  const byHeader = (check: (headers: Headers) => Proof | undefined): Hook => {
    const prove = (headers: Headers): Proof => check(headers) ?? said(headers)
    return { name: config.name, challenge: CHALLENGES[config.scheme] ?? 'Token', proveByHeaders: prove, prove }
  }
  const bySignature = (prove: (headers: Headers, body: Buffer, nowMs: number) => Proof): Hook => ({
    name: config.name,
    challenge: 'Signature',
    proveByHeaders: () => undefined,
    prove: (headers, body, nowMs) => {
      const proof = prove(headers, body, nowMs)
      return proof.ok ? { ...said(headers), ...proof } : proof
    },
  })
  switch (config.scheme) {
    case 'none':
      return byHeader(() => undefined)
    case 'bearer':
      return byHeader(({ authorization }) => (isSecret(bearerToken(authorization)) ? undefined : refused('the bearer token is missing or wrong'))) // prettier-ignore
    case 'basic':
      return byHeader(({ authorization }) => {
        const given = basicCredentials(authorization)
        const isUser = sameSecret(given?.username ?? '', config.username ?? '')
        return isSecret(given?.password) && isUser ? undefined : refused('the user name or password is missing or wrong') // prettier-ignore
      })
    case 'gitlab':
      return byHeader((headers) => (isSecret(text(headers, 'x-gitlab-token')) ? undefined : refused('X-Gitlab-Token is missing or wrong'))) // prettier-ignore
    case 'github':
      return bySignature(hmacProof(secrets, { header: 'X-Hub-Signature-256', prefix: 'sha256=', algorithm: 'sha256', encoding: 'hex', signed: '{body}' })) // prettier-ignore
    case 'hmac': {
      const { signatureHeader: header, signaturePrefix: prefix, algorithm, encoding, signed, timestampHeader, idHeader, tolerance } = config // prettier-ignore
      return bySignature(hmacProof(secrets, { header, prefix, algorithm, encoding, signed, timestampHeader, idHeader, toleranceMs: tolerance })) // prettier-ignore
    }
    case 'stripe':
      return bySignature(stripeProof(secrets, config.tolerance))
    case 'standard':
      return bySignature(standardProof(secrets.map(standardKey), config.tolerance))
  }
}

/** The key of Standard Webhooks and Svix: base64, mostly after `whsec_`. Empty when it is not base64. */
export function standardKey(secret: string): Buffer {
  const encoded = secret.replace(/^whsec_/, '')
  return /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) ? Buffer.from(encoded, 'base64') : Buffer.alloc(0)
}

function secretsOf({ secret, previousSecret }: HookConfig): string[] {
  return [secret, previousSecret].flatMap((one) => (one === undefined ? [] : [one.reveal()]))
}

const EVENT_HEADERS: Readonly<Partial<Record<HookConfig['scheme'], string>>> = { github: 'X-GitHub-Event', gitlab: 'X-Gitlab-Event' } // prettier-ignore
/** GitLab's stays the same over its retries; it is not sent before version 17.4. */
const ID_HEADERS: Readonly<Partial<Record<HookConfig['scheme'], string>>> = { github: 'X-GitHub-Delivery', gitlab: 'Idempotency-Key' } // prettier-ignore

/** Header that names the event; undefined where none does. */
export function eventHeaderOf({ scheme, eventHeader = EVENT_HEADERS[scheme] }: HookConfig): string | undefined {
  return eventHeader
}

/** Header that identifies the event; undefined where none does, or the signature's own does. */
export function idHeaderOf({ scheme, idHeader = ID_HEADERS[scheme] }: HookConfig): string | undefined {
  return idHeader
}

function eventOf(config: HookConfig, headers: Headers): string | undefined {
  const header = eventHeaderOf(config)
  const event = header === undefined ? undefined : text(headers, header)
  // "Merge Request Hook" is about a merge_request, as its object_kind says.
  return config.scheme === 'gitlab' ? event?.replace(/ Hook$/, '').toLowerCase() : event
}

function idOf(config: HookConfig, headers: Headers): string | undefined {
  const header = idHeaderOf(config)
  return header === undefined ? undefined : text(headers, header)
}

function named<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: string })
}
