// Listen mode against a real MinIO: what it tells, what happens when the connection goes, and what a catch-up finds.

import { DeleteObjectCommand, GetObjectCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'

import { HttpListener } from '../../test/http-listener.ts'
import { startTcpProxy } from '../../test/servers/tcp-proxy.ts'
import { MemoryState, ack, bucketName, keysOf, sourceAt, standForFile, until } from './rig.ts'
import type { Stand } from './rig.ts'

const TEST_MS = 120_000
const KEYS = ['plain', 'with space', 'a+b', 'folder/sub/file.txt', '100%', '%2F', 'grün/✓ 😀.png', "it's=(1)&co?#"]
const receive = 'listen'
let stand: Stand
await standForFile({}, (opened) => (stand = opened))

const bucket = (): Promise<string> => stand.bucket(bucketName())

describe('an event', () => {
  test('has the key as the object is called, whatever is in it', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand, { receive })
    rig.ackAll = true
    await rig.opened([photos])
    for (const key of KEYS) await stand.put(photos, key)
    await rig.arrived(KEYS.length)
    expect(keysOf(rig)).toEqual(KEYS)
  })

  test('comes by prefix and suffix, and of a removal too', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand, { receive, prefix: 'in put/', suffix: '.jpg' })
    rig.ackAll = true
    await rig.opened([photos])
    for (const key of ['out/a.jpg', 'in put/a.txt', 'in put/a.jpg']) await stand.put(photos, key)
    await stand.s3.send(new DeleteObjectCommand({ Bucket: photos, Key: 'in put/a.jpg' }))
    await rig.arrived(2)
    expect(rig.arrivals.map(({ message }) => message.topic.slice(photos.length + 1))).toEqual(['s3:ObjectCreated:Put', 's3:ObjectRemoved:Delete']) // prettier-ignore
    expect(keysOf(rig)).toEqual(['in put/a.jpg', 'in put/a.jpg'])
  })

  test('of reading comes only to those who ask for it by name', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await stand.put(photos, 'a')
    await using rig = sourceAt(stand, { receive })
    rig.ackAll = true
    await rig.opened([photos, `${photos}:s3:ObjectAccessed:Get`])
    const { Body } = await stand.s3.send(new GetObjectCommand({ Bucket: photos, Key: 'a' }))
    await Body?.transformToByteArray()
    await rig.arrived(1)
    expect(rig.arrivals[0]?.message.topic).toBe(`${photos}:s3:ObjectAccessed:Get`)
  })
})

describe('a connection', () => {
  test('that MinIO ends is lost, and another one is made when MinIO is back', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = await sourceAt(stand, { receive }).opened([photos])
    await stand.minio.kill()
    expect(await rig.lost()).toMatchObject({ code: 'HUB_SOURCE_LOST', canRetry: true })
    expect(await rig.refused()).toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true })
    await stand.minio.start()
    await rig.reconnect([photos])
    await stand.put(photos, 'after')
    await rig.arrived(1)
    expect(keysOf(rig)).toEqual(['after'])
    expect(await ack(rig.arrivals[0])).toBe('settled')
  })

  test('that falls silent is lost', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using proxy = await startTcpProxy(stand.minio.port)
    await using rig = sourceAt(stand, { receive, url: `http://127.0.0.1:${proxy.port}`, keepAlive: '2s' })
    await rig.opened([photos])
    proxy.silence(true)
    expect((await rig.lost()).code).toBe('HUB_SOURCE_LOST')
    proxy.cut()
    proxy.silence(false)
  })

  test('that is taken and never begins is a named error that says what to do', { timeout: TEST_MS }, async () => {
    await using silent = new HttpListener((request, response) => {
      if (request.url?.startsWith('/?') === true) response.end('<ListAllMyBucketsResult></ListAllMyBucketsResult>')
    })
    await silent.start()
    await using rig = sourceAt(stand, { receive, url: silent.url, connectTimeout: '5s' })
    const problem: unknown = await rig.opened(['photos']).catch((error: unknown) => error)
    expect(problem).toMatchObject({ code: 'HUB_SOURCE_UNREACHABLE', canRetry: true, hint: expect.stringContaining('receive: webhook') }) // prettier-ignore
  })

  test('is not read while the hub is full', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand, { receive }, { unsettledMax: 2 })
    await rig.opened([photos])
    for (const key of ['a', 'b', 'c']) await stand.put(photos, key)
    await rig.arrived(2)
    await until(() => rig.gauges['minio_paused']?.()[0]?.value === 1, 'the connection is not read')
    expect(rig.log.lines.join()).toContain('minio.paused')
    await ack(rig.arrivals[0])
    await rig.arrived(3)
    expect(keysOf(rig)).toEqual(['a', 'b', 'c'])
    expect(rig.gauges['minio_paused']?.()[0]?.value).toBe(0)
  })
})

describe('a refusal', () => {
  test('of the bucket leaves the others working, and names the fix', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = await sourceAt(stand, { receive }).opened([photos, 'not-there'])
    expect(rig.log.lines.find((line) => line.includes('minio.refused'))).toContain('mc mb <alias>/not-there')
    await stand.put(photos, 'a')
    await rig.arrived(1)
    const alone = await sourceAt(stand, { receive })
      .opened(['not-there'])
      .catch((error: unknown) => error)
    expect(alone).toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', canRetry: false })
  })

  test('of the credentials is named, and is nothing to wait for', async () => {
    for (const config of [{ secretKey: 'wrong' }, { accessKey: 'nobody' }]) {
      await using rig = sourceAt(stand, { receive, ...config })
      expect(await rig.refused()).toMatchObject({ code: 'HUB_SOURCE_AUTH', canRetry: false })
    }
  })

  test('of an event that MinIO does not have names the nearest one', async () => {
    await using rig = sourceAt(stand, { receive })
    const problem: unknown = await rig.opened(['photos:s3:ObjectCreated:Putt']).catch((error: unknown) => error)
    expect(problem).toMatchObject({ code: 'HUB_TOPIC_INVALID', message: expect.stringContaining('did you mean s3:ObjectCreated:Put?') }) // prettier-ignore
  })
})

describe('a catch-up', () => {
  const config = { receive, catchUp: 'changed' }

  test('brings what changed while no hub was there, once, and nothing of before', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    const state = new MemoryState()
    await stand.put(photos, 'long before')
    // To the second, MinIO says when it began.
    await new Promise((resolve) => void setTimeout(resolve, 1100))
    {
      await using first = sourceAt(stand, config, { state })
      first.ackAll = true
      await first.opened([photos])
      await stand.put(photos, 'seen')
      await first.arrived(1)
    }
    for (const key of ['missed 1', 'missed 2', 'gone']) await stand.put(photos, key)
    await stand.s3.send(new DeleteObjectCommand({ Bucket: photos, Key: 'gone' }))
    await using second = sourceAt(stand, config, { state })
    second.ackAll = true
    await second.opened([photos])
    await second.arrived(2)
    await stand.put(photos, 'live')
    await second.arrived(3)
    expect(keysOf(second)).toEqual(['missed 1', 'missed 2', 'live'])
    expect(second.arrivals.map(({ message }) => message.headers['X-Minio-Caught-Up'])).toEqual(['true', 'true', undefined]) // prettier-ignore
    expect(second.arrivals[0]?.message.headers).toMatchObject({ 'X-Minio-Size': '1', 'X-Minio-Event-Name': 's3:ObjectCreated:Put' }) // prettier-ignore
    await until(() => second.log.lines.some((line) => line.includes('cannot be seen')), 'it says what it cannot see')
  })

  test('does not bring what was told while the state was asked for', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    const state = new MemoryState()
    await (await sourceAt(stand, config, { state }).opened([photos])).source.close()
    await stand.put(photos, 'missed')
    await using witness = await sourceAt(stand, { receive }).opened([photos])
    state.store.get = async (key) => {
      await stand.put(photos, 'live')
      await witness.arrived(1)
      return state.get(key)
    }
    await using rig = sourceAt(stand, config, { state })
    rig.ackAll = true
    await rig.opened([photos])
    await until(() => rig.log.lines.some((line) => line.includes('minio.caught-up')), 'it is caught up')
    await stand.put(photos, 'last')
    await rig.arrived(3)
    expect(keysOf(rig).map(String).toSorted()).toEqual(['last', 'live', 'missed'])
  })

  test('brings what changed while the connection was lost', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using proxy = await startTcpProxy(stand.minio.port)
    await using rig = sourceAt(stand, { ...config, url: `http://127.0.0.1:${proxy.port}` })
    rig.ackAll = true
    await rig.opened([photos])
    await stand.put(photos, 'before')
    await rig.arrived(1)
    proxy.refuse(true)
    proxy.cut()
    await rig.lost()
    await stand.put(photos, 'meanwhile')
    proxy.refuse(false)
    await rig.reconnect([photos])
    await rig.arrived(2)
    expect(keysOf(rig)).toEqual(['before', 'meanwhile'])
  })

  test(
    'of a versioned bucket brings every version, and the markers of what was removed',
    { timeout: TEST_MS },
    async () => {
      const photos = await bucket()
      await stand.s3.send(
        new PutBucketVersioningCommand({ Bucket: photos, VersioningConfiguration: { Status: 'Enabled' } }),
      )
      const state = new MemoryState()
      await (await sourceAt(stand, config, { state }).opened([photos])).source.close()
      for (const body of ['1', '22']) await stand.put(photos, 'a', body)
      await stand.s3.send(new DeleteObjectCommand({ Bucket: photos, Key: 'a' }))
      await using rig = sourceAt(stand, config, { state })
      rig.ackAll = true
      await rig.opened([photos])
      await rig.arrived(3)
      const events = rig.arrivals.map(({ message: { headers } }) => [
        headers['X-Minio-Event-Name'],
        headers['X-Minio-Size'],
      ])
      expect(events).toEqual([['s3:ObjectCreated:Put', '1'], ['s3:ObjectCreated:Put', '2'], ['s3:ObjectRemoved:DeleteMarkerCreated', undefined]]) // prettier-ignore
      expect(new Set(rig.arrivals.map(({ message }) => message.headers['X-Minio-Version-Id'])).size).toBe(3)
    },
  )

  test('brings the oldest up to catchUpMax, and says how many it left out', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    const state = new MemoryState()
    await (await sourceAt(stand, config, { state }).opened([photos])).source.close()
    for (const key of ['z', 'y', 'x']) await stand.put(photos, key)
    await using rig = sourceAt(stand, { ...config, catchUpMax: 2 }, { state })
    rig.ackAll = true
    await rig.opened([photos])
    await rig.arrived(2)
    expect(keysOf(rig)).toEqual(['z', 'y'])
    await until(() => rig.log.lines.some((line) => line.includes('1 changes were beyond catchUpMax')), 'it says so')
    expect(rig.counts['minio_left_out_total']).toBe(1)
  })
})
