// How async calls are queued, retried and called back: the defaults, and OpenFaaS's environment names for them (OpenFaaS
// contract, JetStream queue-worker). Per-function annotations come on top of it, see retry-settings.ts.

import { HubError, Secret, formatSize, parseSize } from '../../sdk/index.ts'
import type { RetrySettings } from '../../sdk/index.ts'
import { choiceIn, isSet, isTrue, millisecondsIn, wholeNumberIn } from '../environment.ts'
import type { Environment } from '../environment.ts'
import { credentialsOf } from '../headers.ts'

/** NATS with JetStream instead of the embedded store. */
export interface NatsSettings {
  /** `nats://host:4222`, or `tls://…`; several servers of one cluster. Without credentials. */
  readonly servers: readonly string[]
  readonly username?: string
  readonly password?: Secret
  readonly token?: Secret
}

export interface QueueSettings {
  /** Of calls whose function has no `com.openfaas.queue`. */
  readonly queueName: string
  readonly retry: RetrySettings
  /** Calls of one queue that run at once. */
  readonly inFlightMax: number
  /** Of one call. */
  readonly bodyBytesMax: number
  /** A call of a function that is not deployed is a 404 at once; OpenFaaS accepts it. */
  readonly checksFunctions: boolean
  /** Kept of what no retry could deliver; the oldest make room for newer ones. */
  readonly deadLetterBytesMax: number
  /**
   * At shutdown, for running calls to end, where that is to be less than the gateway has for all calls; what has not ended
   * runs again after the next start.
   */
  readonly drainMs: number | undefined
  readonly callbackTimeoutMs: number
  /** Callbacks accept any certificate. */
  readonly insecureTls: boolean
  /** JetStream delivers a call again that shows no sign of life for so long; not how long a call may take. */
  readonly ackWaitMs: number
  /** Undefined: the embedded store. */
  readonly nats: NatsSettings | undefined
}

export const QUEUE_DEFAULTS: QueueSettings = {
  queueName: 'faas-request',
  retry: {
    attempts: 10,
    codes: new Set([408, 429, 500, 502, 503, 504]),
    redirectsSucceed: true,
    minWaitMs: 10_000,
    maxWaitMs: 120_000,
    jitter: 'none',
  },
  inFlightMax: 50,
  bodyBytesMax: 1024 * 1024,
  checksFunctions: false,
  deadLetterBytesMax: 256 * 1024 * 1024,
  drainMs: undefined,
  callbackTimeoutMs: 60_000,
  insecureTls: false,
  ackWaitMs: 60_000,
  nats: undefined,
}

/** The server looks at overdue messages about every second. */
const ACK_WAIT_MIN_MS = 1000
const IN_FLIGHT_MAX = 10_000
/** A body is in memory while it is queued and while its call runs. */
const BODY_BYTES_MAX = 256 * 1024 * 1024
const DEAD_LETTER_BYTES_MAX = 1024 ** 4
/** `exponential` is OpenFaaS's name for no jitter. */
const BACKOFF = { exponential: 'none', full: 'full', equal: 'equal' } as const

/** @throws HubError HUB_CONFIG_INVALID */
export function readQueueSettings(env: Environment): QueueSettings {
  const defaults = QUEUE_DEFAULTS
  const minWaitMs = millisecondsIn(env, 'initial_retry_wait', 0) ?? defaults.retry.minWaitMs
  const retry: RetrySettings = {
    ...defaults.retry,
    attempts: wholeNumberIn(env, 'max_retry_attempts', 0, 9999) ?? defaults.retry.attempts,
    codes: codesIn(env) ?? defaults.retry.codes,
    minWaitMs,
    maxWaitMs: Math.max(minWaitMs, millisecondsIn(env, 'max_retry_wait', 0) ?? defaults.retry.maxWaitMs),
    jitter: choiceIn(env, 'backoff', BACKOFF) ?? defaults.retry.jitter,
  }
  return {
    queueName: queueNameIn(env) ?? defaults.queueName,
    retry,
    inFlightMax: wholeNumberIn(env, 'max_inflight', 1, IN_FLIGHT_MAX) ?? defaults.inFlightMax,
    bodyBytesMax: sizeIn(env, 'async_body_max', BODY_BYTES_MAX) ?? defaults.bodyBytesMax,
    deadLetterBytesMax: sizeIn(env, 'async_dead_letters_max', DEAD_LETTER_BYTES_MAX) ?? defaults.deadLetterBytesMax,
    checksFunctions: isTrue(env, 'async_check_function'),
    drainMs: millisecondsIn(env, 'async_drain_timeout', 0) ?? defaults.drainMs,
    callbackTimeoutMs: millisecondsIn(env, 'async_callback_timeout') ?? defaults.callbackTimeoutMs,
    insecureTls: isTrue(env, 'tls_insecure'),
    ackWaitMs: millisecondsIn(env, 'ack_wait', ACK_WAIT_MIN_MS) ?? defaults.ackWaitMs,
    nats: natsIn(env),
  }
}

/** Statuses, separated by commas; undefined where one of them is none. */
export function parseCodes(text: string): ReadonlySet<number> | undefined {
  const codes = text.split(',').map((code) => Number(code.trim() || Number.NaN))
  return codes.every((code) => Number.isInteger(code) && code >= 100 && code <= 599) ? new Set(codes) : undefined
}

/** What is a name of a queue here, a subject of NATS, and with `OF_` before it a stream. */
export function isQueueName(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,63}$/.test(text)
}

/** One URL, or several of one cluster separated by commas; credentials of the first are used. @throws HubError HUB_CONFIG_INVALID */
export function natsSettings(text: string): NatsSettings {
  const urls = text.split(',').map((part) => urlOf(part.trim()))
  const [first] = urls
  const servers = urls.map(({ protocol, hostname, port }) => `${protocol}//${hostname}:${port || '4222'}`)
  const { username, password } = credentialsOf(first ?? { username: '', password: '' })
  if (username === '') return { servers }
  // As the clients of NATS read it: a name alone is a token.
  if (password === '') return { servers, token: new Secret(username) }
  return { servers, username, password: new Secret(password) }
}

function urlOf(text: string): URL {
  const url = URL.parse(text.includes('://') ? text : `nats://${text}`)
  if (url !== null && /^(nats|tls):$/.test(url.protocol) && url.hostname !== '') return url
  // The text may hold a password.
  throw new HubError('HUB_CONFIG_INVALID', 'the address of NATS is not a URL of the form nats://host:port', {
    hint: 'Set it to nats://host:4222, tls://host:4222 or nats://user:password@host:4222.',
  })
}

function natsIn(env: Environment): NatsSettings | undefined {
  const address = env['faas_nats_address']
  if (!isSet(address)) return undefined
  const port = wholeNumberIn(env, 'faas_nats_port', 1, 65_535)
  return natsSettings(port === undefined || address.includes('://') ? address : `${address}:${port}`)
}

function queueNameIn({ faas_nats_channel: name }: Environment): string | undefined {
  if (!isSet(name)) return undefined
  if (isQueueName(name)) return name
  throw new HubError('HUB_CONFIG_INVALID', `faas_nats_channel "${name}" is not a name of a queue`, {
    hint: 'Set it to letters, digits, dashes and underscores, such as faas-request.',
  })
}

function codesIn({ retry_http_codes: text }: Environment): ReadonlySet<number> | undefined {
  if (!isSet(text)) return undefined
  const codes = parseCodes(text)
  if (codes !== undefined) return codes
  throw new HubError('HUB_CONFIG_INVALID', `retry_http_codes "${text}" is not a list of HTTP statuses`, {
    hint: 'Set it to statuses separated by commas, such as 408,429,500,502,503,504.',
  })
}

/** @param most in bytes */
function sizeIn(env: Environment, name: string, most: number): number | undefined {
  const text = env[name]
  if (!isSet(text)) return undefined
  const bytes = parseSize(text)
  if (bytes !== undefined && bytes >= 1 && bytes <= most) return bytes
  throw new HubError('HUB_CONFIG_INVALID', `${name} "${text}" is not a size up to ${formatSize(most)}`, {
    hint: 'Set it to a size with its unit, such as 1MiB.',
  })
}
