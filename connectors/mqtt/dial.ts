// One attempt to reach the broker: byte stream, CONNECT, CONNACK, all within the configured time. Called by the source, its
// probe and the tools.

import { randomUUID } from 'node:crypto'

import type { IConnectPacket } from 'mqtt-packet'

import { HubError, asHubError, redactUrl } from '../../src/sdk/index.ts'
import type { Clock, ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { MqttSession } from './session.ts'
import type { SessionHandlers } from './session.ts'
import { refusesVersion, tooOldProblem } from './problems.ts'
import { isSecure, openTransport } from './transport.ts'

export type MqttConfig = ConfigOf<typeof manifest.fields>

/** Names the session of an instance. */
export function clientIdOf({ clientId }: Pick<MqttConfig, 'clientId'>, instance: string): string {
  return clientId ?? `connector-hub-${instance}`
}

/** Of a tool, so that it never takes over the session of a connector. */
export function ownClientId(purpose: 'peek' | 'emit'): string {
  return `connector-hub-${purpose}-${randomUUID().slice(0, 8)}`
}

export interface DialOptions {
  readonly config: MqttConfig
  readonly clock: Clock
  readonly clientId: string
  /** Start without a session and leave none behind. */
  readonly clean: boolean
  readonly receiveMaximum: number
}

type Handlers = (session: MqttSession) => SessionHandlers

/** With the older version where `protocolVersion: auto` allows it. @throws HubError HUB_SOURCE_*; the signal's reason when aborted */
export async function dial(options: DialOptions, handlers: Handlers, signal: AbortSignal): Promise<MqttSession> {
  const { protocolVersion } = options.config
  if (protocolVersion !== 'auto') return await attempt(options, protocolVersion, handlers, signal)
  try {
    return await attempt(options, 5, handlers, signal)
  } catch (error) {
    // Only where the broker says so: one that is going down must not be met with another version, and another session.
    if (!refusesVersion(error)) throw error
  }
  try {
    return await attempt(options, 4, handlers, signal)
  } catch (error) {
    throw refusesVersion(error) ? tooOldProblem(redactUrl(options.config.url), error) : error
  }
}

async function attempt(
  options: DialOptions,
  version: 4 | 5,
  handlers: Handlers,
  signal: AbortSignal,
): Promise<MqttSession> {
  const { config, clock } = options
  const address = redactUrl(config.url)
  const deadline = new AbortController()
  let session: MqttSession | undefined
  const timer = clock.after(config.connectTimeout, () => deadline.abort(lateProblem(options, address, session)))
  const either = AbortSignal.any([signal, deadline.signal])
  const onAbort = (): void => session?.destroy()
  either.addEventListener('abort', onAbort, { once: true })
  try {
    const stream = await openTransport({ url: config.url, tls: config.tls }, either)
    session = new MqttSession(stream, {
      clock,
      address,
      answerMs: config.connectTimeout,
      connect: connectPacket(options, version),
    })
    await session.handshake(handlers(session))
    either.throwIfAborted()
    return session
  } catch (error) {
    session?.destroy()
    if (deadline.signal.aborted) throw deadline.signal.reason
    signal.throwIfAborted()
    throw asHubError(error, 'HUB_SOURCE_UNREACHABLE', true)
  } finally {
    timer.cancel()
    either.removeEventListener('abort', onAbort)
  }
}

function lateProblem({ config }: DialOptions, address: string, session: MqttSession | undefined): HubError {
  const limit = `within ${config.connectTimeout} ms`
  if (session !== undefined)
    return new HubError('HUB_SOURCE_UNREACHABLE', `${address}: no answer to CONNECT ${limit}`, { canRetry: true })
  if (isSecure(config.url))
    return new HubError('HUB_SOURCE_TLS', `${address}: no TLS connection ${limit}`, { canRetry: true })
  return new HubError('HUB_SOURCE_UNREACHABLE', `${address}: no connection ${limit}`, { canRetry: true })
}

function connectPacket({ config, clientId, clean, receiveMaximum }: DialOptions, version: 4 | 5): IConnectPacket {
  const { keepAlive, sessionExpiry } = config
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId,
    clean,
    keepalive: Math.ceil(keepAlive / 1000),
    ...credentials(config),
    ...(version === 5
      ? { properties: { receiveMaximum, sessionExpiryInterval: clean ? 0 : Math.ceil(sessionExpiry / 1000) } }
      : {}),
  }
}

/** Those of the address where the fields are not set. */
function credentials(config: MqttConfig): { readonly username?: string; readonly password?: Buffer } {
  const url = new URL(config.url)
  const username = config.username ?? decodeURIComponent(url.username)
  const password = config.password?.reveal() ?? decodeURIComponent(url.password)
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password: Buffer.from(password) }) }
}
