// JetStream on a connection, or why there is none that can be used. Called by jetstream-source.ts, probe.ts and peek.ts.

import { jetstreamManager } from '@nats-io/jetstream'
import type { JetStreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'

import { HubError, errorText } from '../../src/sdk/index.ts'
import type { NatsConfig } from './dial.ts'
import { addressesOf, forbiddenProblem } from './problems.ts'
import { tooOldFor } from './version.ts'

/** @throws HubError HUB_SOURCE_PROTOCOL without JetStream or with a server that is too old, HUB_SOURCE_FORBIDDEN */
export async function openManager(
  nats: NatsConnection,
  { servers, connectTimeout: timeout }: NatsConfig,
): Promise<JetStreamManager> {
  const addresses = addressesOf(servers)
  const version = nats.info?.version
  const needed = tooOldFor(version)
  if (needed !== undefined) throw new HubError('HUB_SOURCE_PROTOCOL', `${addresses}: nats-server ${version} is too old for JetStream as it is read here`, { hint: `Update nats-server to ${needed} or later, or set layer: core.` }) // prettier-ignore
  try {
    return await jetstreamManager(nats, { timeout })
  } catch (error) {
    throw (
      forbiddenProblem(error, addresses) ??
      new HubError('HUB_SOURCE_PROTOCOL', `${addresses}: JetStream does not answer: ${errorText(error)}`, { cause: error, hint: 'Start the server with JetStream (nats-server -js), and allow the user $JS.API.>. Or set layer: core.' }) // prettier-ignore
    )
  }
}
