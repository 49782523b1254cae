// One connection to NATS for the async queue, which heals itself; the first attempt fails with an error that says what to do.
// Used by nats-calls.ts.

import { jetstreamManager } from '@nats-io/jetstream'
import type { JetStreamManager } from '@nats-io/jetstream'
import { connect, errors } from '@nats-io/transport-node'
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'

import { HubError, errorChain, errorText, isTlsFailure } from '../../sdk/index.ts'
import type { NatsSettings } from './settings.ts'

export const REQUEST_TIMEOUT_MS = 5000
const RECONNECT_WAIT_MS = 500
const PING_INTERVAL_MS = 10_000
/** Pings that may go unanswered. */
const UNANSWERED_MAX = 2

export interface NatsLine {
  readonly nats: NatsConnection
  readonly manager: JetStreamManager
  /** Without credentials. */
  readonly address: string
  /** False while the connection is being made anew: what is published then would be sent later, unknown to who is waiting. */
  readonly isUp: () => boolean
}

/** @throws HubError HUB_SOURCE_UNREACHABLE, HUB_SOURCE_AUTH, HUB_SOURCE_TLS, HUB_SOURCE_PROTOCOL without JetStream */
export async function connectNats(settings: NatsSettings, log: (line: string) => void): Promise<NatsLine> {
  const address = settings.servers.join(', ')
  const nats = await connect(optionsOf(settings)).catch((error: unknown) => {
    throw problemOf(error, address)
  })
  try {
    const manager = await jetstreamManager(nats, { timeout: REQUEST_TIMEOUT_MS })
    let isUp = true
    void watch(nats, address, log, (up) => (isUp = up))
    return { nats, manager, address, isUp: () => isUp && !nats.isClosed() }
  } catch (error) {
    await nats.close()
    throw new HubError('HUB_SOURCE_PROTOCOL', `${address}: JetStream does not answer: ${errorText(error)}`, {
      cause: error,
      hint: 'Start the server with JetStream (nats-server -js), and allow the user $JS.API.>.',
    })
  }
}

function optionsOf({ servers, username, password, token }: NatsSettings): ConnectionOptions {
  return {
    servers: [...servers],
    name: 'connector-hub-gateway',
    timeout: REQUEST_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    // Credentials may be rolled while the gateway runs.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: UNANSWERED_MAX,
    noAsyncTraces: true,
    ...(username === undefined ? {} : { user: username }),
    ...(password === undefined ? {} : { pass: password.reveal() }),
    ...(token === undefined ? {} : { token: token.reveal() }),
    ...(servers.some((server) => server.startsWith('tls:')) ? { tls: {} } : {}),
  }
}

/** Never rejects. */
async function watch(
  nats: NatsConnection,
  address: string,
  log: (line: string) => void,
  turned: (isUp: boolean) => void,
): Promise<void> {
  for await (const status of nats.status()) {
    if (status.type === 'disconnect') {
      turned(false)
      log(`The connection to NATS at ${address} is lost; async calls are refused until it is back`)
    } else if (status.type === 'reconnect') {
      turned(true)
      log(`NATS at ${address} is back`)
    } else if (status.type === 'error') log(`NATS at ${address}: ${errorText(status.error)}`)
  }
}

/** What the client says of a server without TLS; it has no class of its own. */
const NO_TLS = /does not support 'tls'|'?tls'? is not available/

function problemOf(error: unknown, address: string): HubError {
  const chain = errorChain(error)
  const text = `${address}: ${chain.map(errorText).join(': ')}`
  if (chain.some((one) => one instanceof errors.AuthorizationError))
    return new HubError('HUB_SOURCE_AUTH', text, {
      cause: error,
      hint: 'Write user and password into the URL of NATS.',
    })
  if (chain.some((one) => isTlsFailure(one) || NO_TLS.test(errorText(one))))
    return new HubError('HUB_SOURCE_TLS', text, { cause: error })
  const hint = 'Start NATS, or correct faas_nats_address and faas_nats_port.'
  return new HubError('HUB_SOURCE_UNREACHABLE', text, { cause: error, canRetry: true, hint })
}
