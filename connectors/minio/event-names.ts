// The events that MinIO knows, by group, and which of them a topic asks for. Pure.

import { nearest } from '../../src/sdk/index.ts'

/** MinIO's own list; `s3:<group>:*` stands for all of a group. Those of buckets come to no one who reads a bucket. */
const EVENTS: Readonly<Record<string, readonly string[]>> = {
  ObjectCreated: ['CompleteMultipartUpload', 'Copy', 'DeleteTagging', 'Post', 'Put', 'PutLegalHold', 'PutRetention', 'PutTagging'],
  ObjectRemoved: ['Delete', 'DeleteAllVersions', 'DeleteMarkerCreated', 'NoOP'],
  ObjectAccessed: ['Attributes', 'Get', 'GetLegalHold', 'GetRetention', 'Head'],
  Replication: ['OperationCompletedReplication', 'OperationFailedReplication', 'OperationMissedThreshold', 'OperationNotTracked', 'OperationReplicatedAfterThreshold'],
  ObjectRestore: ['Completed', 'Post'],
  ObjectTransition: ['Complete', 'Failed'],
  Scanner: ['BigPrefix', 'LargeVersions', 'ManyVersions'],
  LifecycleDelMarkerExpiration: ['Delete'],
} // prettier-ignore

/** This one has no `*` at MinIO. */
const SINGLE = 'LifecycleDelMarkerExpiration'

/** What a bucket alone asks for: all but reading (`topicMatches` leaves the same out). */
export const EVENTS_OF_A_BUCKET: readonly string[] = Object.keys(EVENTS)
  .filter((group) => group !== 'ObjectAccessed')
  .map((group) => (group === SINGLE ? `s3:${group}:Delete` : `s3:${group}:*`))

const KNOWN = Object.entries(EVENTS).flatMap(([group, names]) =>
  [...names, ...(group === SINGLE ? [] : ['*'])].map((name) => `s3:${group}:${name}`),
)

/** Why MinIO would refuse this event, as a sentence; undefined when it would not. */
export function eventProblem(event: string): string | undefined {
  if (KNOWN.includes(event)) return undefined
  const near = nearest(event, KNOWN)
  return `MinIO has no event ${event}${near === undefined ? '' : `; did you mean ${near}?`}`
}
