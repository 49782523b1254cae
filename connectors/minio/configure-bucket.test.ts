// What configureBucket does to the notifications of a real MinIO, and what it leaves alone.

import { GetBucketNotificationConfigurationCommand, PutBucketNotificationConfigurationCommand } from '@aws-sdk/client-s3' // prettier-ignore
import type { QueueConfiguration } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'

import { MemoryState, bucketName, keysOf, sourceAt, standForFile } from './rig.ts'
import type { Stand } from './rig.ts'

const TEST_MS = 120_000
let stand: Stand
await standForFile({ targets: 2 }, (opened) => (stand = opened))

const config = (): Record<string, unknown> => ({ configureBucket: true, targetArn: stand.arn() })
const FOREIGN: QueueConfiguration = {
  Id: 'somebody-elses',
  QueueArn: 'arn:minio:sqs::hub1:webhook',
  Events: ['s3:ObjectRemoved:Delete'],
  Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: 'theirs/' }] } },
}

async function entries(bucket: string): Promise<readonly QueueConfiguration[]> {
  const { QueueConfigurations = [] } = await stand.s3.send(new GetBucketNotificationConfigurationCommand({ Bucket: bucket })) // prettier-ignore
  return QueueConfigurations
}

test('adds an entry of its own, keeps it over a restart, removes it with the topic, and touches no other', { timeout: TEST_MS }, async () => {
  const photos = await stand.bucket(bucketName())
  await stand.s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: photos, NotificationConfiguration: { QueueConfigurations: [FOREIGN] } }))
  const theirs = await entries(photos)
  const state = new MemoryState()
  {
    await using rig = sourceAt(stand, { ...config(), prefix: 'in/' }, { state })
    rig.ackAll = true
    await rig.opened([`${photos}:s3:ObjectCreated:*`])
    const [first, own, ...more] = await entries(photos)
    expect(more).toEqual([])
    expect(first).toEqual(theirs[0])
    expect(own).toMatchObject({ Id: 'connector-hub-minio', QueueArn: stand.arn(), Events: ['s3:ObjectCreated:*'] })
    expect(own?.Filter?.Key?.FilterRules).toEqual([{ Name: 'prefix', Value: 'in/' }])
    await stand.put(photos, 'in/a')
    await rig.arrived(1)
    expect(keysOf(rig)).toEqual(['in/a'])
    const lines = rig.log.lines.length
    await rig.subscribe([`${photos}:s3:ObjectCreated:*`])
    expect(rig.log.lines.slice(lines).filter((line) => line.includes('minio.configured'))).toEqual([])
  }
  expect(await entries(photos)).toHaveLength(2)
  // The topic went while the hub was away.
  await using rig = await sourceAt(stand, config(), { state }).opened([])
  expect(await entries(photos)).toEqual(theirs)
  expect(rig.log.lines.join()).toContain('was removed from bucket')
}) // prettier-ignore

test('asks for what a topic that is added wants as well', { timeout: TEST_MS }, async () => {
  const photos = await stand.bucket(bucketName())
  await using rig = await sourceAt(stand, config()).opened([`${photos}:s3:ObjectCreated:Put`])
  await rig.subscribe([`${photos}:s3:ObjectCreated:Put`, `${photos}:s3:ObjectRemoved:*`])
  expect((await entries(photos)).map(({ Events }) => Events?.toSorted())).toEqual([['s3:ObjectCreated:Put', 's3:ObjectRemoved:*']]) // prettier-ignore
  // All that a bucket alone stands for is known to this MinIO.
  await rig.subscribe([photos])
  expect(await entries(photos)).toHaveLength(1)
})

test('names a target that MinIO does not have, and how it is declared', { timeout: TEST_MS }, async () => {
  const photos = await stand.bucket(bucketName())
  await using rig = sourceAt(stand, { ...config(), targetArn: 'arn:minio:sqs::nobody:webhook' })
  const problem: unknown = await rig.opened([photos]).catch((error: unknown) => error)
  expect(problem).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('MINIO_NOTIFY_WEBHOOK_ENABLE_') }) // prettier-ignore
})

test('a probe says where a bucket sends its events, and that a bucket is missing', { timeout: TEST_MS }, async () => {
  const photos = await stand.bucket(bucketName())
  await stand.notify(photos)
  await using rig = sourceAt(stand)
  const { server, topics } = await rig.source.probe([photos, 'not-there'], new AbortController().signal)
  expect(server).toContain(stand.minio.url)
  expect(topics.map(({ topic, ok }) => [topic, ok])).toEqual([[photos, true], ['not-there', false]]) // prettier-ignore
  expect(topics[0]?.detail).toContain(stand.arn())
  expect(topics[1]?.fix).toContain('mc mb')
})
