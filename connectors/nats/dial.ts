// One attempt to reach a server: options from the configuration, errors that say what to do. Called by line.ts and for probes.

import { readFileSync } from 'node:fs'

import { connect, credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node'
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'

import { HubError, errorText, orAborted, tlsSettings } from '../../src/sdk/index.ts'
import type { ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { addressesOf, dialProblem } from './problems.ts'

/** Tests of the connection that may go unanswered. */
const UNANSWERED_MAX = 2

export type NatsConfig = ConfigOf<typeof manifest.fields>

/** @throws HubError HUB_SOURCE_*; the signal's reason when aborted */
export async function dial(config: NatsConfig, name: string, signal: AbortSignal): Promise<NatsConnection> {
  signal.throwIfAborted()
  const connecting = connect(optionsOf(config, name))
  try {
    return await orAborted(connecting, signal)
  } catch (error) {
    // Too late to be wanted, should it still succeed.
    connecting.then((late) => late.close(), () => undefined) // prettier-ignore
    signal.throwIfAborted()
    throw dialProblem(error, addressesOf(config.servers))
  }
}

function optionsOf(config: NatsConfig, name: string): ConnectionOptions {
  const { servers, username, password, token, nkeySeed, credsFile, connectTimeout, keepAlive } = config
  const tls = tlsOf(config)
  return {
    servers: [...servers],
    name,
    timeout: connectTimeout,
    // The supervisor connects anew; what is unsettled comes again by the consumers.
    reconnect: false,
    pingInterval: keepAlive,
    maxPingOut: UNANSWERED_MAX,
    // Else two stack traces are taken for every acknowledgement, a quarter of the time that an event costs.
    noAsyncTraces: true,
    ...(username === undefined ? {} : { user: username }),
    ...(password === undefined ? {} : { pass: password.reveal() }),
    ...(token === undefined ? {} : { token: token.reveal() }),
    ...(nkeySeed === undefined ? {} : { authenticator: nkeyAuthenticator(Buffer.from(nkeySeed.reveal())) }),
    ...(credsFile === undefined ? {} : { authenticator: credsAuthenticator(readCreds(credsFile)) }),
    ...(tls === undefined ? {} : { tls }),
  }
}

/** With these the client refuses a server that has no TLS, before it sends credentials. */
function tlsOf({ servers, tls }: NatsConfig): ConnectionOptions['tls'] | undefined {
  const { caFile, certFile, serverName, insecureSkipVerify } = tls
  const isWanted = servers.some((server) => /^tls:/i.test(server)) || caFile !== undefined || certFile !== undefined
  if (!isWanted && serverName === undefined && !insecureSkipVerify) return undefined
  return tlsSettings(tls)
}

const HINT_CREDS = 'Set credsFile to a readable credentials file, as nsc writes it.'

function readCreds(path: string): Uint8Array {
  let creds: Uint8Array
  try {
    creds = readFileSync(path)
  } catch (error) {
    throw new HubError('HUB_SOURCE_AUTH', `credsFile cannot be read: ${errorText(error)}`, { cause: error, hint: HINT_CREDS }) // prettier-ignore
  }
  const names = ['NATS USER JWT', 'USER NKEY SEED'].filter((name) => !Buffer.from(creds).includes(`BEGIN ${name}---`))
  if (names.length === 0) return creds
  throw new HubError('HUB_SOURCE_AUTH', `credsFile holds no ${names.join(' and no ')}`, { hint: HINT_CREDS })
}
