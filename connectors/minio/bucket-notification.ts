// Sets up what MinIO sends to the hub's target: one entry of our own in a bucket's notification, and no other one touched.
// Called by webhook-source.ts with `configureBucket`.

import {
  GetBucketNotificationConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
} from '@aws-sdk/client-s3'
import type { Event, NotificationConfiguration, QueueConfiguration } from '@aws-sdk/client-s3'

import type { MinioClient } from './client.ts'
import type { Wish } from './wishes.ts'

export interface OwnEntry {
  /** Names the entry, so that it is found again: one for each connector instance. */
  readonly id: string
  readonly targetArn: string
}

/**
 * Makes the bucket's entry what is wished. Idempotent: what is as it should be is not written.
 * @param wish undefined: the entry is removed
 * @returns whether something was changed
 * @throws HubError HUB_SOURCE_*
 */
export async function configureBucket(
  client: MinioClient,
  bucket: string,
  wish: Wish | undefined,
  { id, targetArn }: OwnEntry,
  signal: AbortSignal,
): Promise<boolean> {
  const options = { abortSignal: signal }
  const current = await client.s3
    .send(new GetBucketNotificationConfigurationCommand({ Bucket: bucket }), options)
    .catch((error: unknown) => fail(error, 's3:GetBucketNotification'))
  const { $metadata: _, ...configuration } = current
  const queues = configuration.QueueConfigurations ?? []
  const own = queues.filter((queue) => queue.Id === id)
  const wanted = wish === undefined ? [] : [entryOf(wish, id, targetArn)]
  if (own.map(canonical).join() === wanted.map(canonical).join()) return false
  const next: NotificationConfiguration = {
    ...configuration,
    QueueConfigurations: [...queues.filter((queue) => queue.Id !== id), ...wanted],
  }
  const put = new PutBucketNotificationConfigurationCommand({ Bucket: bucket, NotificationConfiguration: next })
  await client.s3.send(put, options).catch((error: unknown) => fail(error, 's3:PutBucketNotification'))
  return true

  function fail(error: unknown, action: string): never {
    signal.throwIfAborted()
    throw client.problem(error, { bucket, action, targetArn })
  }
}

function entryOf({ events, prefix, suffix }: Wish, id: string, targetArn: string): QueueConfiguration {
  const rules = [
    ...(prefix === '' ? [] : [{ Name: 'prefix' as const, Value: prefix }]),
    ...(suffix === '' ? [] : [{ Name: 'suffix' as const, Value: suffix }]),
  ]
  return {
    Id: id,
    QueueArn: targetArn,
    // MinIO has some that are not in Amazon's list.
    Events: [...events] as Event[],
    ...(rules.length === 0 ? {} : { Filter: { Key: { FilterRules: rules } } }),
  }
}

/** Equal for entries that do the same. MinIO puts its region into ARNs. */
function canonical({ Id, QueueArn = '', Events = [], Filter }: QueueConfiguration): string {
  const rules = (Filter?.Key?.FilterRules ?? []).map(({ Name = '', Value = '' }) => `${Name.toLowerCase()} ${Value}`)
  const [, , , , target, kind] = QueueArn.split(':')
  return JSON.stringify([Id, target, kind, Events.toSorted(), rules.toSorted()])
}
