// What went wrong with a broker, as errors that say what to do. Pure; called by session.ts and dial.ts.

import type { IConnackPacket, IDisconnectPacket } from 'mqtt-packet'

import { HubError, printableText } from '../../src/sdk/index.ts'
import type { ErrorCode } from '../../src/sdk/index.ts'

/** Whom we talk to; for messages. */
export interface Peer {
  /** Without credentials. */
  readonly address: string
  readonly version: 4 | 5
  readonly clientId: string
}

/** MQTT 5.0 §2.4, MQTT 3.1.1 §3.2.2.3: refusals of who we are. */
const AUTH: Readonly<Record<4 | 5, ReadonlySet<number>>> = {
  4: new Set([4, 5]),
  5: new Set([0x86, 0x87, 0x8a, 0x8c]),
}
/** Unavailable, busy, moved for a while, over a quota or a rate: come back later. */
const LATER: Readonly<Record<4 | 5, ReadonlySet<number>>> = {
  4: new Set([3]),
  5: new Set([0x88, 0x89, 0x97, 0x9c, 0x9f]),
}
const VERSION: Readonly<Record<4 | 5, number>> = { 4: 1, 5: 0x84 }
const CLIENT_ID: Readonly<Record<4 | 5, number>> = { 4: 2, 5: 0x85 }
const SESSION_TAKEN_OVER = 0x8e
const REASON_CHARS_MAX = 200

/** Why a CONNACK is a refusal; undefined when it is none. */
export function connackProblem(connack: IConnackPacket, peer: Peer): HubError | undefined {
  const code = connack.reasonCode ?? connack.returnCode ?? 0
  if (code === 0) return undefined
  // A broker that knows no MQTT 5 answers with the codes of 3.1.1, all below those of MQTT 5.
  const version = code < 0x80 ? 4 : 5
  const { address, clientId } = peer
  const why = `CONNACK ${hex(code)}${reasonOf(connack.properties?.reasonString)}`
  if (code === VERSION[version])
    return new HubError('HUB_SOURCE_PROTOCOL', `${address} does not speak this version of MQTT (${why})`, {
      hint:
        peer.version === 5
          ? 'Set protocolVersion: 4 for MQTT 3.1.1.'
          : 'Set protocolVersion: 5; a broker that knows nothing later than MQTT 3.1 has to be updated.',
      details: { refusesVersion: true },
    })
  if (AUTH[version].has(code)) return new HubError('HUB_SOURCE_AUTH', `${address} refused the credentials (${why})`)
  if (LATER[version].has(code))
    return new HubError('HUB_SOURCE_UNREACHABLE', `${address} takes no connections now (${why})`, { canRetry: true })
  if (code === CLIENT_ID[version])
    return new HubError('HUB_SOURCE_AUTH', `${address} refused the client id ${clientId} (${why})`, {
      hint: `Allow the client id ${clientId} at the broker; that of the connector itself is set with clientId.`,
    })
  return new HubError('HUB_SOURCE_PROTOCOL', `${address} refused the connection (${why})`)
}

/** The broker speaks another version of MQTT, and has said so. */
export function refusesVersion(error: unknown): boolean {
  return error instanceof HubError && error.details?.['refusesVersion'] === true
}

export function tooOldProblem(address: string, cause: unknown): HubError {
  return new HubError('HUB_SOURCE_PROTOCOL', `${address} speaks neither MQTT 5.0 nor 3.1.1`, {
    cause,
    hint: 'A broker that knows nothing later than MQTT 3.1 has to be updated.',
  })
}

/** The broker ended the connection and said why (MQTT 5.0 §3.14). */
export function disconnectProblem({ reasonCode = 0, properties }: IDisconnectPacket, peer: Peer): HubError {
  if (reasonCode === SESSION_TAKEN_OVER) return takenOverProblem('', peer)
  return lostProblem(`the broker ended it, DISCONNECT ${hex(reasonCode)}${reasonOf(properties?.reasonString)}`, peer)
}

/**
 * Another client has our client id. Not worth a quick retry: where a new replica replaces an old one, the old one must not
 * take the session back.
 */
export function takenOverProblem(guess: string, { address, clientId }: Peer): HubError {
  return new HubError('HUB_SOURCE_LOST', `${address}: ${guess}another client took over the session ${clientId}`, {
    hint: 'Give every replica a clientId of its own, and all of them the same sharedGroup.',
  })
}

/** Ended by the broker without a word. */
export function hungUpProblem(peer: Peer): HubError {
  return lostProblem('the broker closed the connection', peer, undefined, { hungUp: true })
}

export function lostProblem(
  text: string,
  { address }: Peer,
  cause?: unknown,
  details: Readonly<Record<string, unknown>> = {},
): HubError {
  return new HubError('HUB_SOURCE_LOST', `${address}: ${text}`, {
    canRetry: true,
    details,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The connection ended before CONNACK. With TLS 1.3 a refused client certificate shows only here. */
export function unansweredProblem(text: string, { address, version }: Peer, cause: unknown): HubError {
  const options = cause === undefined ? {} : { cause }
  const { code = '' } = (cause ?? {}) as NodeJS.ErrnoException
  if (code.startsWith('ERR_SSL') || code === 'EPROTO')
    return new HubError('HUB_SOURCE_TLS', `${address}: ${text}`, options)
  return new HubError('HUB_SOURCE_UNREACHABLE', `${address}: ${text} before it answered CONNECT`, {
    ...options,
    canRetry: true,
    hint: `Check that the address and port are those of an MQTT listener, and whether it expects TLS (mqtts://).${version === 5 ? ' An old broker may need protocolVersion: 4.' : ''}`,
  })
}

/** From here on a code is a refusal (MQTT 5.0 §2.4). */
export const REFUSED_FROM = 0x80

/** What a SUBACK code of 0x80 and above means (MQTT 5.0 §3.9.3). */
export function subackText(code: number): string {
  const known: Readonly<Record<number, string>> = {
    0x87: 'not authorized',
    0x8f: 'the filter is not valid',
    0x97: 'over the quota',
    0x9e: 'no shared subscriptions',
    0xa2: 'no wildcard subscriptions',
  }
  return `${known[code] ?? 'refused'}, SUBACK ${hex(code)}`
}

/** The same as an error with its fix, for what asks about one topic. */
export function subackProblem(topic: string, code: number): HubError {
  const known: Readonly<Record<number, readonly [ErrorCode, string]>> = {
    0x8f: ['HUB_TOPIC_INVALID', `Correct the topic ${topic}: + and # stand for whole levels, # for the last ones.`],
    0x97: ['HUB_SOURCE_THROTTLED', "Raise the broker's limit of subscriptions of a client."],
    0x9e: [
      'HUB_SOURCE_FORBIDDEN',
      'Leave out sharedGroup and run one replica: this broker has no shared subscriptions.',
    ],
    0xa2: ['HUB_TOPIC_INVALID', 'Name topics without + and #: this broker has no wildcards.'],
  }
  const [name, hint] = known[code] ?? ['HUB_SOURCE_FORBIDDEN', `Let the user of the connector subscribe to ${topic}, in the ACL or the roles of the broker.`] // prettier-ignore
  return new HubError(name, subackText(code), { hint })
}

/** @param refused filters, each with the broker's reason */
export function subscribeProblem(address: string, refused: readonly string[]): HubError {
  return new HubError('HUB_SOURCE_FORBIDDEN', `${address} refused to subscribe to ${refused.join(', ')}`)
}

/** Codes of PUBACK and PUBREC (MQTT 5.0 §3.4.2.1): what they mean, and what to do. */
const PUBLISH_REFUSALS: Readonly<Record<number, readonly [text: string, hint: string]>> = {
  0x87: ['not authorized', 'Grant the user write access to the topic in the access control list (ACL) of the broker.'],
  0x90: ['the topic name is not allowed', 'Name a topic that the broker allows.'],
  0x97: ['over the quota', "Wait, or raise the broker's quota."],
  0x99: ['the body is not of the format that the broker expects', 'Send a body of that format.'],
}

/** The broker did not take a message. */
export function publishProblem(topic: string, code: number, reason: string | undefined, address: string): HubError {
  const [text, hint] = PUBLISH_REFUSALS[code] ?? ['refused']
  const message = `${address} did not take an event on ${topic}: ${text} (${hex(code)}${reasonOf(reason)})`
  return new HubError('HUB_EMIT_FAILED', message, hint === undefined ? {} : { hint })
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`
}

/** The broker's own words. The parser has null for what is cut off, and a list for what is there twice. */
function reasonOf(text: unknown): string {
  return typeof text !== 'string' || text === '' ? '' : `, "${printableText(text, REASON_CHARS_MAX)}"`
}
