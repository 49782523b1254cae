// Webhook mode against a real MinIO: what it posts, what it is answered, and what its queue directory keeps.

import { request as send } from 'node:http'

import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'

import { TOKEN, ack, bucketName, keysOf, sourceAt, standForFile, until } from './rig.ts'
import type { Stand } from './rig.ts'

const TEST_MS = 120_000
const KEYS = ['plain', 'with space', 'a+b', 'folder/sub/file.txt', '100%', '%2F', 'grün/✓ 😀.png', "it's=(1)&co?#"]
let stand: Stand
await standForFile({}, (opened) => (stand = opened))

async function bucket(): Promise<string> {
  const name = await stand.bucket(bucketName())
  await stand.notify(name)
  return name
}

describe('an event', () => {
  test(
    'says what happened to which object, in headers and in a document of its own',
    { timeout: TEST_MS },
    async () => {
      const photos = await bucket()
      await using rig = sourceAt(stand)
      await rig.opened([photos])
      await stand.put(photos, 'cat.jpg', 'meow')
      const [delivery] = await rig.arrived(1)
      const { message } = delivery ?? {}
      expect(message).toMatchObject({
        source: 'minio',
        topic: `${photos}:s3:ObjectCreated:Put`,
        contentType: 'application/json',
        orderingKey: `${photos}/cat.jpg`,
        attempt: 1,
        headers: {
          'X-Minio-Event-Name': 's3:ObjectCreated:Put',
          'X-Minio-Bucket': photos,
          'X-Minio-Key': 'cat.jpg',
          'X-Minio-Size': '4',
          // MD5 of the body.
          'X-Minio-Etag': '4a4be40c96ac6314e91d93f38043a634',
        },
      })
      const document = JSON.parse(Buffer.from(message?.body ?? []).toString()) as object
      expect(Object.keys(document)).toEqual(['Records'])
      expect(Math.abs(Date.now() - (message?.timestampMs ?? 0))).toBeLessThan(TEST_MS)
      await ack(delivery)
    },
  )

  test('has the key as the object is called, whatever is in it', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([photos])
    for (const key of KEYS) await stand.put(photos, key)
    await rig.arrived(KEYS.length)
    expect(keysOf(rig)).toEqual(KEYS)
    const { headers } = rig.arrivals.at(-2)?.message ?? { headers: {} }
    expect(headers).toMatchObject({
      'X-Minio-Key': Buffer.from('grün/✓ 😀.png').toString('base64'),
      'X-Minio-Key-Enc': 'b64',
    })
  })

  test('of a removal comes too, and to those who asked for it', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([`${photos}:s3:ObjectRemoved:*`])
    await stand.put(photos, 'gone')
    await stand.s3.send(new DeleteObjectCommand({ Bucket: photos, Key: 'gone' }))
    await rig.arrived(1)
    expect(rig.arrivals.map(({ message }) => message.topic)).toEqual([`${photos}:s3:ObjectRemoved:Delete`])
    expect(rig.arrivals[0]?.message.headers).not.toHaveProperty('X-Minio-Size')
    expect(rig.counts['minio_unwanted_total']).toBe(1)
  })

  test('is left out by prefix and suffix, of the bucket before the general ones', { timeout: TEST_MS }, async () => {
    const [one, two] = [await bucket(), await bucket()]
    await using rig = sourceAt(stand, { prefix: 'in/', filters: [{ bucket: two, suffix: '.jpg' }] })
    rig.ackAll = true
    await rig.opened([one, two])
    for (const key of ['in/a', 'out/a', 'in/b.jpg']) for (const name of [one, two]) await stand.put(name, key)
    await rig.arrived(3)
    await until(() => rig.counts['minio_unwanted_total'] === 3, 'the others are left out')
    expect(rig.arrivals.map(({ message }) => message.orderingKey)).toEqual([`${one}/in/a`, `${one}/in/b.jpg`, `${two}/in/b.jpg`]) // prettier-ignore
  })
})

describe("MinIO's queue directory", () => {
  test('keeps what happens while no hub is there, over a restart of MinIO too', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await stand.put(photos, 'first')
    await stand.minio.kill()
    await stand.minio.start()
    await stand.put(photos, 'second')
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([photos])
    await rig.arrived(2)
    expect(keysOf(rig)).toEqual(['first', 'second'])
  })

  test('sends again what was not settled, and the next instance knows it by its id', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using first = await sourceAt(stand).opened([photos])
    await stand.put(photos, 'one')
    const [unsettled] = await first.arrived(1)
    await first.source.close()
    expect(await ack(unsettled)).toBe('stale')
    await using second = sourceAt(stand)
    second.ackAll = true
    await second.opened([photos])
    const [again] = await second.arrived(1)
    expect(again?.message.id).toBe(unsettled?.message.id)
  })

  test('holds the following events back until the first one is settled', { timeout: TEST_MS }, async () => {
    const photos = await bucket()
    await using rig = await sourceAt(stand).opened([photos])
    for (const key of ['one', 'two']) await stand.put(photos, key)
    const [one] = await rig.arrived(1)
    expect(keysOf(rig)).toEqual(['one'])
    await ack(one)
    await rig.arrived(2)
    expect(keysOf(rig)).toEqual(['one', 'two'])
    await ack(rig.arrivals[1])
  })
})

describe('with acknowledge: stored', () => {
  test(
    'MinIO is answered when the events are kept, and their functions are called later',
    { timeout: TEST_MS },
    async () => {
      const photos = await bucket()
      await using rig = await sourceAt(stand, { acknowledge: 'stored' }).opened([photos])
      for (const key of ['one', 'two', 'three']) await stand.put(photos, key)
      await rig.arrived(3)
      expect(keysOf(rig)).toEqual(['one', 'two', 'three'])
      await until(() => rig.counts['minio_requests_total'] === 3, 'three answers before anything is settled')
    },
  )
})

describe('a request', () => {
  /** On a connection of its own. */
  const post = (body: string, headers: Readonly<Record<string, string>>, path = '/minio', method = 'POST') =>
    new Promise<number | undefined>((resolve, reject) => {
      const request = send(
        { host: '127.0.0.1', port: stand.ports[0], path, method, headers, agent: false },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        },
      )
      request.once('error', reject)
      request.end(body)
    })
  const authorization = `Bearer ${TOKEN}`

  test.each([
    ['no token', '{}', {}, 403],
    ['another token', '{}', { authorization: 'Bearer wrong' }, 403],
    ['the token in another scheme', '{}', { authorization: `Basic ${TOKEN}` }, 403],
    ['the token and nothing else, as a probe', '', { authorization }, 200],
    ['no notification', '{"hello":1}', { authorization }, 400],
    ['what is no JSON', 'hello', { authorization }, 400],
    ["Amazon's test message", '{"Event":"s3:TestEvent","Bucket":"b"}', { authorization }, 200],
    ['an event of a bucket that nobody wants', JSON.stringify({ Records: [{ eventName: 's3:ObjectCreated:Put', s3: { bucket: { name: 'other' }, object: { key: 'a' } } }] }), { authorization }, 200],
    ['more than listen.bodyMax', `"${'x'.repeat(2000)}"`, { authorization }, 413],
  ])('with %s is answered', async (_, body, headers, status) => {
    await using rig = await sourceAt(stand, { listen: { ...(stand.config()['listen'] as object), bodyMax: '1KiB' } }).opened(['photos'])
    expect(await post(body, headers)).toBe(status)
    expect(rig.arrivals).toEqual([])
    expect(rig.log.lines.join()).not.toContain(TOKEN)
  }) // prettier-ignore

  test('with several records is answered when all of them are settled; one that comes twice is one', async () => {
    await using rig = await sourceAt(stand).opened(['photos'])
    const record = (key: string): object => ({ eventName: 's3:ObjectCreated:Put', s3: { bucket: { name: 'photos' }, object: { key, sequencer: '1' } } }) // prettier-ignore
    const both = JSON.stringify({ Records: [record('a'), record('b')] })
    const answers: (number | undefined)[] = []
    const again = (): void => void post(both, { authorization }).then((status) => answers.push(status))
    again()
    await rig.arrived(2)
    again()
    await ack(rig.arrivals[0])
    expect(answers).toEqual([])
    await ack(rig.arrivals[1])
    await until(() => answers.length === 2, 'both requests are answered')
    expect(answers).toEqual([200, 200])
    // Its answer was lost: it is sent once more.
    expect(await post(both, { authorization })).toBe(200)
    expect(keysOf(rig)).toEqual(['a', 'b'])
  })

  test('is answered with 503 by a source that is told to stop, so that MinIO keeps the event', async () => {
    await using rig = await sourceAt(stand).opened(['photos'])
    const body = JSON.stringify({ Records: [{ eventName: 's3:ObjectCreated:Put', s3: { bucket: { name: 'photos' }, object: { key: 'a' } } }] }) // prettier-ignore
    const answer = post(body, { authorization })
    await rig.arrived(1)
    await rig.source.close()
    expect(await answer).toBe(503)
  })

  test('to another path or with another method is refused', async () => {
    await using _ = await sourceAt(stand).opened(['photos'])
    expect(await post('', { authorization }, '/elsewhere')).toBe(404)
    expect(await post('', { authorization }, '/minio', 'GET')).toBe(405)
  })
})

describe('a port', () => {
  test('that is taken is a named error, and waited for', async () => {
    await using _ = await sourceAt(stand).opened(['photos'])
    await using second = sourceAt(stand)
    expect(await second.refused()).toMatchObject({ code: 'HUB_SOURCE_LISTEN', canRetry: true })
  })
})
