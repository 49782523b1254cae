// MinIO listened to by replicas that take turns, since each of them would get every event. Real MinIO, real API server, hubs as
// processes.

import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { KubernetesApi } from '../servers/kubernetes-api.ts'
import { noKubernetes } from '../servers/kubernetes.ts'
import { noMinio, startMinio } from '../servers/minio.ts'
import { sharedKubernetes } from '../servers/shared-kubernetes.ts'
import { TurnsRig, everyFault } from './turns-rig.ts'
import type { Parts, Story } from './turns-rig.ts'

const missing = (await noKubernetes()) ?? (await noMinio())

interface Notification {
  readonly Records: readonly { readonly s3: { readonly object: { readonly key: string } } }[]
}

describe.skipIf(missing !== undefined)(`MinIO on replicas${missing === undefined ? '' : ` (${missing})`}`, () => {
  let api: KubernetesApi
  beforeAll(() => (api = sharedKubernetes()))
  afterAll(() => api[Symbol.dispose]())

  /** Every fault while objects are put into a bucket. */
  async function played(
    more: Readonly<Record<string, string>>,
    isComplete?: (story: Story) => boolean,
  ): Promise<Story & Parts> {
    await using minio = await startMinio()
    const { url, accessKey, secretKey } = minio
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    using clients = new DisposableStack()
    const s3 = clients.adopt(new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials }), (client) => client.destroy()) // prettier-ignore
    await s3.send(new CreateBucketCommand({ Bucket: 'photos' }))
    await using rig = await TurnsRig.open(api, {
      connector: 'minio',
      env: { HUB_MINIO_URL: url, HUB_MINIO_ACCESS_KEY: accessKey, HUB_MINIO_SECRET_KEY: secretKey, HUB_MINIO_RECEIVE: 'listen', ...more },
      topic: 'photos:s3:ObjectCreated:*',
      publish: async (number) => void (await s3.send(new PutObjectCommand({ Bucket: 'photos', Key: String(number), Body: '-' }))),
      numberOf: (body) => Number((JSON.parse(body) as Notification).Records[0]?.s3.object.key),
    }) // prettier-ignore
    const parts = await everyFault(rig)
    return { ...(await rig.end(isComplete)), ...parts }
  }

  test(
    'is listened to by one at a time, nothing comes twice, and what is published in a turn arrives',
    { timeout: 300_000 },
    async () => {
      const { killed, frozen, stopped, ...story } = await played({})
      expect(story.holders).toEqual([killed, frozen, stopped, frozen])
      expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
      expect(story.repeated).toEqual(new Map())
    },
  )

  test('with catchUp, what was put between two turns is found by the next one', { timeout: 300_000 }, async () => {
    const { killed, frozen, stopped, beforeStop, ...story } = await played({ HUB_MINIO_CATCH_UP: 'changed' }, ({ missing: lost }) => lost.length === 0) // prettier-ignore
    expect(story.holders).toEqual([killed, frozen, stopped, frozen])
    expect(story.invokers).toEqual([killed, frozen, stopped, frozen])
    expect(story.missing).toEqual([])
    // What one has not written down as settled when it is killed or frozen is found again, never by itself.
    const again = [...story.repeated.values()].map((hubs) => hubs.join())
    expect(again.filter((hubs) => hubs !== `${killed},${frozen}` && hubs !== `${frozen},${stopped}`)).toEqual([])
    expect([...story.repeated.keys()].filter((number) => number > beforeStop)).toEqual([])
  })
})
