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

/** MinIO's parser does not know the `*` of these. */
const WITHOUT_STAR = new Set(['Scanner', 'LifecycleDelMarkerExpiration'])

/** What MinIO has to be asked for to get the events of a topic; without an event, all but reading, as `topicMatches` has it. */
export function askedFor(event: string | undefined): readonly string[] {
  if (event === undefined)
    return Object.keys(EVENTS).flatMap((group) => (group === READING ? [] : askedFor(`s3:${group}:*`)))
  const [, group = '', name = ''] = event.split(':')
  if (name !== '*' || !WITHOUT_STAR.has(group)) return [event]
  return (EVENTS[group] ?? []).map((one) => `s3:${group}:${one}`)
}

const READING = 'ObjectAccessed'
const KNOWN = Object.entries(EVENTS).flatMap(([group, names]) => [...names, '*'].map((name) => `s3:${group}:${name}`))

/** Why MinIO would refuse this event, as a sentence; undefined when it would not. */
export function eventProblem(event: string): string | undefined {
  if (KNOWN.includes(event)) return undefined
  const near = nearest(event, KNOWN)
  return `MinIO has no event ${event}${near === undefined ? '' : `; did you mean ${near}?`}`
}
