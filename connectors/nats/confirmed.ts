// The server has read all that was sent to it. Pure waiting; used by whoever subscribes on core NATS, and by probes.

import type { NatsConnection } from '@nats-io/transport-node'

import { asHubError } from '../../src/sdk/index.ts'
import type { Clock } from '../../src/sdk/index.ts'
import type { NatsConfig } from './dial.ts'
import { addressesOf, lostProblem } from './problems.ts'

/** With it comes what it refuses. @throws HubError HUB_SOURCE_LOST when the server does not answer in time */
export async function confirmed(
  nats: Pick<NatsConnection, 'flush'>,
  { servers, connectTimeout }: Pick<NatsConfig, 'servers' | 'connectTimeout'>,
  clock: Clock,
): Promise<void> {
  const late = Promise.withResolvers<never>()
  const timer = clock.after(connectTimeout, () => late.reject(lostProblem(addressesOf(servers), `no answer within ${connectTimeout} ms`))) // prettier-ignore
  try {
    await Promise.race([nats.flush(), late.promise])
  } catch (error) {
    throw asHubError(error, 'HUB_SOURCE_LOST', true)
  } finally {
    timer.cancel()
  }
}
