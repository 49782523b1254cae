// Is the broker new enough? The requests that the connector makes, in the versions that it makes them in. Pure; called by
// cluster.ts.

import {
  fetchV11,
  findCoordinatorV3,
  heartbeatV4,
  joinGroupV6,
  leaveGroupV4,
  listOffsetsV5,
  metadataV9,
  offsetCommitV7,
  offsetFetchV6,
  syncGroupV4,
} from '@platformatic/kafka'
import type { apiVersionsV0 } from '@platformatic/kafka'

import { HubError } from '../../src/sdk/index.ts'

type Offered = Awaited<ReturnType<typeof apiVersionsV0.api.async>>['apiKeys']

/** The first release of Apache Kafka that knows all of them. */
const OLDEST = '2.4'

const NEEDED: readonly (readonly [name: string, api: { readonly key: number; readonly version: number }])[] = [
  ['Metadata', metadataV9.api],
  ['Fetch', fetchV11.api],
  ['ListOffsets', listOffsetsV5.api],
  ['FindCoordinator', findCoordinatorV3.api],
  ['JoinGroup', joinGroupV6.api],
  ['SyncGroup', syncGroupV4.api],
  ['Heartbeat', heartbeatV4.api],
  ['LeaveGroup', leaveGroupV4.api],
  ['OffsetFetch', offsetFetchV6.api],
  ['OffsetCommit', offsetCommitV7.api],
]

/** @param offered as the broker answers to ApiVersions */
export function versionProblem(offered: Offered, address: string): HubError | undefined {
  const ranges = new Map(offered.map((one) => [one.apiKey, one]))
  for (const [name, { key, version }] of NEEDED) {
    const range = ranges.get(key)
    if (range !== undefined && range.minVersion <= version && version <= range.maxVersion) continue
    const spoken = range === undefined ? `does not know ${name}` : `speaks ${name} in versions ${range.minVersion} to ${range.maxVersion}` // prettier-ignore
    const isNewer = range !== undefined && range.minVersion > version
    return new HubError('HUB_SOURCE_PROTOCOL', `${address}: the broker ${spoken}, and the hub in version ${version}`, {
      hint: isNewer ? 'Update the hub.' : `Use Apache Kafka ${OLDEST} or newer.`,
    })
  }
  return undefined
}
