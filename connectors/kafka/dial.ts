// One connection to one broker: options from the configuration, TLS and SASL. Called by cluster.ts and letters.ts.

import { isIP } from 'node:net'

import { Connection } from '@platformatic/kafka'
import type { ConnectionOptions, SASLOptions } from '@platformatic/kafka'

import { HubError, orAborted, tlsSettings } from '../../src/sdk/index.ts'
import type { ConfigOf } from '../../src/sdk/index.ts'
import type { manifest } from './manifest.ts'
import { fetchToken } from './oauth.ts'
import { kafkaProblem } from './problems.ts'

export type KafkaConfig = ConfigOf<typeof manifest.fields>

/**
 * What the library's clients and connections have in common.
 * @param host of the broker; without one, of those in the configuration
 * @throws HubError HUB_SOURCE_TLS when a file cannot be read
 */
export function connectionOptions(config: KafkaConfig, host = config.brokers[0] ?? ''): ConnectionOptions {
  const tls = tlsOf(config)
  // RFC 6066 §3: addresses are not sent as server names.
  const hasName = tls !== undefined && config.tls.serverName === undefined && isIP(host.replace(/:\d+$/, '')) === 0
  const sasl = saslOf(config)
  return {
    connectTimeout: config.connectTimeout,
    requestTimeout: config.requestTimeout,
    ...(tls === undefined ? {} : { tls }),
    ...(hasName ? { tlsServerName: true } : {}),
    ...(sasl === undefined ? {} : { sasl }),
  }
}

/**
 * @param answerMs for requests that take longer than others, such as joining a group
 * @throws HubError HUB_SOURCE_*; the signal's reason when aborted
 */
export async function dial(
  config: KafkaConfig,
  clientId: string,
  { host, port }: { readonly host: string; readonly port: number },
  signal: AbortSignal,
  answerMs = config.requestTimeout,
): Promise<Connection> {
  signal.throwIfAborted()
  const connection = new Connection(clientId, { ...connectionOptions(config, host), requestTimeout: answerMs })
  connection.on('error', (error) => void failures.set(connection, error))
  try {
    await orAborted(Promise.resolve(connection.connect(host, port)), signal)
    return connection
  } catch (error) {
    hangUp(connection)
    signal.throwIfAborted()
    throw kafkaProblem(error, `${host}:${port}`)
  }
}

const failures = new WeakMap<Connection, Error>()

/** What the socket said when the connection broke: the reason behind `Connection closed`. */
export function failureOf(connection: Connection): Error | undefined {
  return failures.get(connection)
}

/** At once; whoever waits for an answer gets an error. */
export function hangUp(connection: Connection): void {
  // It has none before it connects.
  const socket = connection.socket as Connection['socket'] | undefined
  socket?.destroy()
}

function tlsOf({ tls }: KafkaConfig): ConnectionOptions['tls'] | undefined {
  const { enabled, caFile, certFile, serverName, insecureSkipVerify } = tls
  const isWanted = enabled || caFile !== undefined || certFile !== undefined || serverName !== undefined || insecureSkipVerify // prettier-ignore
  return isWanted ? tlsSettings(tls) : undefined
}

function saslOf(config: KafkaConfig): SASLOptions | undefined {
  const { username, password, oauth, connectTimeout } = config
  const mechanism = config.saslMechanism ?? (username === undefined ? undefined : 'plain')
  if (mechanism === undefined) return undefined
  if (mechanism === 'oauthbearer') return { mechanism: 'OAUTHBEARER', token: () => fetchToken(oauth, connectTimeout), authBytesValidator: refuseChallenge } // prettier-ignore
  return { mechanism: MECHANISMS[mechanism], username: username?.reveal() ?? '', password: password?.reveal() ?? '' }
}

/** RFC 7628 §3.2.2: what a server says to a token that it takes is empty. */
const refuseChallenge: NonNullable<SASLOptions['authBytesValidator']> = (bytes, callback) => {
  if (bytes.length === 0) callback(null, bytes)
  else callback(new HubError('HUB_SOURCE_AUTH', `the broker refused the token: ${/"status"\s*:\s*"([\w ]+)"/.exec(bytes.toString())?.[1] ?? 'no reason given'}`)) // prettier-ignore
}

const MECHANISMS = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const
