// Looking at buckets and making events in them, at a real MinIO: a look takes nothing from the hub and leaves nothing behind,
// and what is emitted reaches the hub as an object that was put.

import { mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { GetBucketNotificationConfigurationCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'

import { storedEvents } from '../../src/hub/inboxes.ts'
import { HubError } from '../../src/sdk/index.ts'
import type { Emitter, EventMessage, OutgoingEvent, ProbeReport, Tools } from '../../src/sdk/index.ts'
import { HttpListener } from '../../test/http-listener.ts'
import { Look, toolsOf } from '../../test/tools-rig.ts'
import type { ToolsOptions } from '../../test/tools-rig.ts'
import connector from './connector.ts'
import { MemoryState, ack, bucketName, keysOf, sourceAt, standForFile } from './rig.ts'
import type { Stand } from './rig.ts'

const TEST_MS = 120_000
const KEYS = ['plain', 'with space', 'a+b', 'folder/sub/file.txt', '100%', '%2F', 'grün/✓ 😀.png', "it's=(1)&co?#*!"]
const { signal } = new AbortController()
const WITHOUT = { accessKey: undefined, secretKey: undefined }
let stand: Stand
await standForFile({}, (opened) => (stand = opened))

const bucket = (): Promise<string> => stand.bucket(bucketName())
const toolsAt = (config: Readonly<Record<string, unknown>> = {}, options?: ToolsOptions): Promise<Tools> => toolsOf(connector, { ...stand.config(), ...config }, options) // prettier-ignore

async function notified(): Promise<string> {
  const name = await bucket()
  await stand.notify(name)
  return name
}

async function notificationOf(name: string): Promise<unknown> {
  const { $metadata: _metadata, ...notification } = await stand.s3.send(new GetBucketNotificationConfigurationCommand({ Bucket: name })) // prettier-ignore
  return notification
}

async function refusal(doing: Promise<unknown>): Promise<HubError> {
  const thrown: unknown = await doing.then(() => new Error('it was done'), (error: unknown) => error) // prettier-ignore
  if (!(thrown instanceof HubError)) throw thrown
  return thrown
}

/** MinIO makes a record for each who is told, and stamps each: they may be a millisecond apart. */
function unstamped(message: EventMessage): unknown {
  const { Records: [record] } = JSON.parse(Buffer.from(message.body).toString()) as { Records: [{ readonly eventTime: string }] } // prettier-ignore
  expect(message.timestampMs).toBe(Date.parse(record.eventTime))
  return { ...message, timestampMs: 0, body: { ...record, eventTime: '' } }
}

/** All that a look shows by itself. */
async function seenBy(
  tools: Tools,
  name: string,
): Promise<{ readonly seen: readonly EventMessage[]; readonly caution: string | undefined }> {
  // prettier-ignore
  await using peek = await tools.peek([{ kind: 'topic', topic: name }], signal)
  const seen: EventMessage[] = []
  for await (const event of peek.events()) seen.push(event)
  return { seen, caution: peek.caution }
}

/** Takes everything, and knows a bucket `photos`; what a test answers itself comes first. */
async function fakeMinio(
  answer: (url: string) => readonly [number, string] | 'nothing' | undefined,
): Promise<HttpListener> {
  // prettier-ignore
  const fake = new HttpListener((request, response) => {
    request.resume()
    const own = answer(request.url ?? '')
    if (own === 'nothing') return
    const [status, body] = own ?? [200, '<ListAllMyBucketsResult></ListAllMyBucketsResult>']
    response.writeHead(status, { 'content-type': 'application/xml' }).end(body)
  })
  await fake.start()
  return fake
}

const DENIED = [403, '<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>'] as const

describe('a look in webhook mode', { timeout: TEST_MS }, () => {
  test('sees the events that the hub beside it gets, field by field, and takes none of them', async () => {
    const photos = await notified()
    const before = await notificationOf(photos)
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([photos])
    await using look = await Look.open(await toolsAt(), [photos])
    expect(look.caution).toBe("What waits in the queue directory of MinIO's target cannot be seen; new events are seen as they happen, also those that the notification of a bucket does not send to the hub") // prettier-ignore
    for (const key of KEYS) await stand.put(photos, key)
    await look.saw(KEYS.length)
    await rig.arrived(KEYS.length)
    expect(keysOf(rig)).toEqual(KEYS)
    expect(look.seen.map(unstamped)).toEqual(rig.arrivals.map(({ message }) => unstamped(message)))
    expect(await notificationOf(photos)).toEqual(before)
  })

  test('sees what happens while no hub is there, which the hub gets afterwards, in order', async () => {
    const photos = await notified()
    {
      await using look = await Look.open(await toolsAt({ prefix: 'in/' }), [`${photos}:s3:ObjectCreated:*`])
      for (const key of ['in/1', 'out/2', 'in/3']) await stand.put(photos, key)
      await look.saw(2)
      expect(look.seen.map(({ headers }) => headers['X-Minio-Key'])).toEqual(['in/1', 'in/3'])
    }
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([photos])
    await rig.arrived(3)
    expect(keysOf(rig)).toEqual(['in/1', 'out/2', 'in/3'])
  })

  test('begins with what the hub has on its disk, and leaves it there', async () => {
    const photos = await notified()
    using folder = mkdtempDisposableSync(join(tmpdir(), 'minio-tools-'))
    const inboxPath = join(folder.path, 'inbox.db')
    const config = { acknowledge: 'stored' }
    {
      await using rig = await sourceAt(stand, config, { inboxPath }).opened([photos])
      for (const key of ['1', '2', '3']) await stand.put(photos, key)
      await rig.arrived(3)
      await ack(rig.arrivals[0])
    }
    const stored = (): readonly EventMessage[] => [...storedEvents(folder.path, 'minio')]
    {
      await using look = await Look.open(await toolsAt(config, { stored: stored() }), [photos])
      await look.saw(2)
      await stand.put(photos, '4')
      await look.saw(3)
      expect(look.means).toContain('read from its disk')
      expect(look.seen.map(({ headers }) => headers['X-Minio-Key'])).toEqual(['2', '3', '4'])
    }
    expect(stored()).toHaveLength(2)
    await using rig = await sourceAt(stand, config, { inboxPath }).opened([photos])
    await rig.arrived(3)
    expect(keysOf(rig)).toEqual(['2', '3', '4'])
  })

  test('without credentials sees what is on the disk, and says that it sees nothing else', async () => {
    const stored = [{ id: 'minio:1', source: 'minio', topic: 'photos:s3:ObjectCreated:Put', body: Buffer.from('{}'), headers: {}, attempt: 1, timestampMs: 1 }] // prettier-ignore
    const { seen, caution } = await seenBy(await toolsAt(WITHOUT, { stored }), 'photos')
    expect(seen).toEqual(stored)
    expect(caution).toContain('nor can new events without credentials: set accessKey and secretKey')
  })

  test('of a build that tells nothing to those who listen says so, and shows what is on the disk', async () => {
    await using silent = await fakeMinio((url) => (url.startsWith('/photos') ? 'nothing' : undefined))
    const config = { url: silent.url, connectTimeout: '5s' }
    const { seen, caution } = await seenBy(await toolsAt(config), 'photos')
    expect(seen).toEqual([])
    expect(caution).toContain('bucket photos: it sends nothing to those who listen; builds of MinIO that do not flush the listen API') // prettier-ignore
    const listening = await refusal(seenBy(await toolsAt({ ...config, receive: 'listen' }), 'photos'))
    expect([listening.code, listening.hint]).toEqual(['HUB_SOURCE_UNREACHABLE', expect.stringContaining('receive: webhook')]) // prettier-ignore
  })

  test('with wrong credentials, of a bucket that is missing, or without the right to listen is refused by name', async () => {
    const wrong = await refusal(seenBy(await toolsAt({ secretKey: 'wrong' }), 'photos'))
    expect([wrong.code, wrong.hint]).toEqual(['HUB_SOURCE_AUTH', expect.stringContaining('secretKey')])
    const missing = await refusal(seenBy(await toolsAt(), 'not-there'))
    expect([missing.code, missing.hint]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('mc mb')])
    await using fake = await fakeMinio((url) => (url.startsWith('/photos') ? DENIED : undefined))
    const denied = await refusal(seenBy(await toolsAt({ url: fake.url }), 'photos'))
    expect([denied.code, denied.hint]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('s3:ListenBucketNotification')]) // prettier-ignore
  })
})

describe('a look in listen mode', { timeout: TEST_MS }, () => {
  const receive = 'listen'

  test('sees what a hub that listens beside it gets, field by field', async () => {
    const photos = await bucket()
    await using rig = sourceAt(stand, { receive })
    rig.ackAll = true
    await rig.opened([photos])
    await using look = await Look.open(await toolsAt({ receive }), [photos])
    expect(look.caution).toBe('MinIO keeps nothing for those who listen: what happened before now is not seen')
    for (const key of KEYS) await stand.put(photos, key)
    await look.saw(KEYS.length)
    await rig.arrived(KEYS.length)
    expect(look.seen.map(unstamped)).toEqual(rig.arrivals.map(({ message }) => unstamped(message)))
  })

  test('begins with what a catch-up would bring, and leaves it to the hub', async () => {
    const photos = await bucket()
    const config = { receive, catchUp: 'changed' }
    const state = new MemoryState()
    {
      await using first = sourceAt(stand, config, { state })
      first.ackAll = true
      await first.opened([photos])
      await stand.put(photos, 'seen')
      await first.arrived(1)
    }
    await stand.put(photos, 'missed')
    const before = new Map(state)
    {
      await using look = await Look.open(await toolsAt(config, { state }), [photos])
      await look.saw(1)
      expect(look.caution).toContain('what a catch-up finds that has changed')
      expect(look.seen.map(({ headers }) => [headers['X-Minio-Key'], headers['X-Minio-Caught-Up']])).toEqual([['missed', 'true']]) // prettier-ignore
    }
    expect(new Map(state)).toEqual(before)
    await using second = await sourceAt(stand, config, { state }).opened([photos])
    await second.arrived(1)
    expect(keysOf(second)).toEqual(['missed'])
  })
})

describe('an event that is emitted', { timeout: TEST_MS }, () => {
  const event = (topic: string, more: Partial<OutgoingEvent> = {}): OutgoingEvent => ({ topic, body: Buffer.from('body'), headers: {}, ...more }) // prettier-ignore
  const emitterAt = async (config: Readonly<Record<string, unknown>> = {}): Promise<Emitter> => {
    const emitter = await (await toolsAt(config)).emitter?.(signal)
    if (emitter === undefined) throw new Error('it has no emitter')
    return emitter
  }

  test('is an object that was put, with its content type and its metadata, and reaches the hub', async () => {
    const photos = await notified()
    await using rig = sourceAt(stand)
    rig.ackAll = true
    await rig.opened([photos])
    await using emitter = await emitterAt()
    const at = await emitter.emit(event(`${photos}:s3:ObjectCreated:Put`, { key: 'a b/ü.txt', contentType: 'text/x-plain', headers: { Tenant: 'acme', 'X-Amz-Meta-Trace': '1' } })) // prettier-ignore
    expect(at).toBe(`${photos}/a b/ü.txt`)
    await rig.arrived(1)
    expect(keysOf(rig)).toEqual(['a b/ü.txt'])
    const { Records: [record] } = JSON.parse(rig.bodies[0] ?? '') as { Records: [{ s3: { object: object } }] } // prettier-ignore
    expect(record.s3.object).toMatchObject({ size: 4, contentType: 'text/x-plain', userMetadata: { 'X-Amz-Meta-Tenant': 'acme', 'X-Amz-Meta-Trace': '1' } }) // prettier-ignore
    const head = await stand.s3.send(new HeadObjectCommand({ Bucket: photos, Key: 'a b/ü.txt' }))
    expect([head.ContentType, head.Metadata]).toEqual(['text/x-plain', { tenant: 'acme', trace: '1' }])
    expect(emitter.place).toBe(`MinIO at ${stand.minio.url.replace(/\/?$/, '')}`)
  })

  test('has a name of its own under the prefix and suffix of the configuration, and keeps its place', async () => {
    const photos = await notified()
    const config = { filters: [{ bucket: photos, prefix: 'in/', suffix: '.jpg' }] }
    await using rig = sourceAt(stand, config)
    rig.ackAll = true
    await rig.opened([photos])
    await using emitter = await emitterAt(config)
    expect(emitter.inFlightMax).toBe(1)
    const places: string[] = []
    for (let index = 0; index < 5; index += 1) places.push(await emitter.emit(event(photos)))
    for (const place of places) expect(place).toMatch(new RegExp(`^${photos}/in/connector-hub-emit-[0-9a-f-]{36}\\.jpg$`)) // prettier-ignore
    await rig.arrived(5)
    expect(keysOf(rig).map((key) => `${photos}/${key}`)).toEqual(places)
    const left = await refusal(emitter.emit(event(photos, { key: 'out/a.jpg' })))
    expect([left.code, left.message]).toEqual(['HUB_USAGE', expect.stringContaining('begin with "in/" and end with ".jpg"')]) // prettier-ignore
  })

  test.each([
    ['photos:s3:ObjectRemoved:Delete', {}, 'not s3:ObjectRemoved:Delete', 'mc rm'],
    ['photos:s3:ObjectAccessed:Get', {}, 'not s3:ObjectAccessed:Get', 'Emit to photos'],
    ['photos:s3:ObjectCreated:Putt', {}, 'did you mean', 's3:ObjectCreated:Put'],
    ['Photos', {}, 'lower-case', 'bucket'],
    ['photos', { key: '' }, '1 to 1024 bytes', '--key'],
    ['photos', { headers: { a: 'ü' } }, 'a cannot be metadata', 'ASCII'],
    ['photos', { headers: { 'X-Minio-Key': 'a' } }, 'is made by MinIO or the hub', 'X-Amz-Meta-<Name>'],
    ['photos', { headers: { 'Content-Type': 'a' } }, 'is no metadata', '--content-type'],
    ['photos', { headers: { A: '1', 'x-amz-meta-a': '2' } }, 'is given twice', 'once'],
    ['photos', { headers: { a: 'x'.repeat(2048) } }, '2048 bytes at most, and this has 2049', 'body'],
  ] as const)('to %s with %j is refused', async (topic, more, message, hint) => {
    await using emitter = await emitterAt()
    const error = await refusal(emitter.emit(event(topic, more)))
    expect([error.code, error.message, error.hint]).toEqual(['HUB_USAGE', expect.stringContaining(message), expect.stringContaining(hint)]) // prettier-ignore
  })

  test('is not taken without a bucket, a right, credentials or a server, which is said with what mends it', async () => {
    await using emitter = await emitterAt()
    const missing = await refusal(emitter.emit(event('not-there')))
    expect([missing.code, missing.hint]).toEqual(['HUB_EMIT_FAILED', expect.stringContaining('mc mb <alias>/not-there')]) // prettier-ignore
    const invalid = await refusal(emitter.emit(event(await bucket(), { key: '../a' })))
    expect(invalid.code).toBe('HUB_EMIT_FAILED')
    await using fake = await fakeMinio((url) => (url.startsWith('/photos') ? DENIED : undefined))
    await using denied = await emitterAt({ url: fake.url })
    expect(await refusal(denied.emit(event('photos')))).toMatchObject({ code: 'HUB_EMIT_FAILED', hint: expect.stringContaining('allows s3:PutObject on the bucket photos') as string }) // prettier-ignore
    expect(await refusal(emitterAt(WITHOUT))).toMatchObject({ code: 'HUB_USAGE', hint: 'Set accessKey and secretKey.' })
    expect((await refusal(emitterAt({ secretKey: 'wrong' }))).code).toBe('HUB_SOURCE_AUTH')
    expect((await refusal(emitterAt({ url: 'http://127.0.0.1:1' }))).code).toBe('HUB_SOURCE_UNREACHABLE')
  })
})

describe('a probe', { timeout: TEST_MS }, () => {
  const probe = async (
    config: Readonly<Record<string, unknown>>,
    topics: readonly string[] = [],
  ): Promise<ProbeReport> => {
    // prettier-ignore
    await using rig = sourceAt(stand, config)
    return await rig.source.probe(topics, signal)
  }

  test.each(['webhook', 'listen'])('in %s mode names what is wrong with the connection', async (receive) => {
    expect(await refusal(probe({ receive, secretKey: 'wrong' }))).toMatchObject({ code: 'HUB_SOURCE_AUTH', hint: expect.stringContaining('secretKey') as string }) // prettier-ignore
    expect((await refusal(probe({ receive, url: 'http://127.0.0.1:1' }))).code).toBe('HUB_SOURCE_UNREACHABLE')
    const https = stand.minio.url.replace('http:', 'https:')
    expect((await refusal(probe({ receive, url: https }))).code).toBe('HUB_SOURCE_TLS')
  })

  test('says of each topic whether the bucket sends it anywhere, and how it is told to', async () => {
    const [sent, nowhere, removals] = [await notified(), await bucket(), await bucket()]
    await stand.notify(removals, ['s3:ObjectRemoved:*'])
    const { topics } = await probe({}, [sent, nowhere, `${removals}:s3:ObjectCreated:Put`, `${removals}:s3:ObjectRemoved:Delete`, 'not-there', 'photos:s3:ObjectCreated:Putt']) // prettier-ignore
    const fix = (name: string): unknown => expect.stringContaining(`mc event add <alias>/${name}`)
    expect(topics).toMatchObject([
      { ok: true, detail: `the bucket sends events to ${stand.arn()}` },
      { ok: false, code: 'HUB_TOPIC_MISSING', detail: `the bucket ${nowhere} sends its events nowhere`, fix: fix(nowhere) }, // prettier-ignore
      { ok: false, code: 'HUB_TOPIC_MISSING', detail: `the bucket ${removals} sends events, and none of this topic`, fix: fix(removals) }, // prettier-ignore
      { ok: true },
      { ok: false, code: 'HUB_TOPIC_MISSING', fix: expect.stringContaining('mc mb') as string },
      { ok: false, code: 'HUB_TOPIC_INVALID' },
    ])
    const wouldSet = await probe({ configureBucket: true }, [nowhere])
    expect(wouldSet.topics).toMatchObject([{ ok: true, detail: 'configureBucket sets arn:minio:sqs::hub:webhook' }])
  })

  test('names the right that is missing', async () => {
    await using fake = await fakeMinio((url) => (url.startsWith('/photos') ? DENIED : undefined))
    for (const [receive, action] of [['webhook', 's3:GetBucketNotification'], ['listen', 's3:ListenBucketNotification']] as const) // prettier-ignore
      expect((await probe({ receive, url: fake.url }, ['photos'])).topics).toMatchObject([{ ok: false, code: 'HUB_SOURCE_FORBIDDEN', fix: expect.stringContaining(action) as string }]) // prettier-ignore
  })

  test('of a build that tells nothing to those who listen (answered as by one) says which to use', async () => {
    await using silent = await fakeMinio((url) => (url.startsWith('/photos') ? 'nothing' : undefined))
    const { topics } = await probe({ receive: 'listen', url: silent.url, connectTimeout: '5s' }, ['photos'])
    expect(topics).toMatchObject([{ ok: false, code: 'HUB_SOURCE_UNREACHABLE', fix: expect.stringContaining('use another release, or receive: webhook') as string }]) // prettier-ignore
  })
})
