// Going through dead-letter queues, at a real server: what the hub has put there is told as it was, what SQS or anybody else
// has put there does no harm, what is removed is removed, and everything else is given back.

import { SendMessageBatchCommand } from '@aws-sdk/client-sqs'
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'

import { HubError, parseConfig, systemClock } from '../../src/sdk/index.ts'
import type { DeadLetter, HeldLetter, Tools } from '../../src/sdk/index.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import { letterBodies, withLetters } from '../../test/tools-rig.ts'
import { openAccess } from './access.ts'
import { CREDENTIALS, REGION } from './broker.ts'
import { awsError, startFront } from './front.ts'
import type { Answer } from './front.ts'
import { lettersOf } from './letter-message.ts'
import { LetterPlace } from './letter-place.ts'
import { manifest } from './manifest.ts'
import { Place, ack, placeForEachTest } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const TEST_MS = 120_000
const FAILED_AT_MS = Date.UTC(2026, 0, 2)
const { signal } = new AbortController()
const text = (value: string): MessageAttributeValue => ({ DataType: 'String', StringValue: value })

interface Failed {
  readonly queue: string
  readonly letters: string
  /** As the hub gave them up, in order. */
  readonly given: readonly DeadLetter[]
}

interface Sent {
  readonly body: string
  readonly group?: string
  readonly attributes?: Readonly<Record<string, MessageAttributeValue>>
}

/** Messages that a source has rejected, so that they are dead letters now. */
async function fail(messages: readonly Sent[], { fifo = false, unwrap = 'none' } = {}): Promise<Failed> {
  const letters = await place.queue({ fifo })
  const queue = await place.queue({ fifo, letters })
  for (const { body, ...more } of messages) await place.send(queue, body, more)
  await using source = await place.source({ unwrap }).opened([queue])
  const given: DeadLetter[] = []
  for (let index = 0; index < messages.length; index += 1) {
    const delivery = (await source.arrived(index + 1))[index]
    if (delivery === undefined) throw new Error('it has arrived')
    const { message } = delivery
    const letter = { message, function: 'billing.prod', reason: 'answered 500 after 3 attempts', status: 500, attempts: 3, failedAtMs: FAILED_AT_MS } // prettier-ignore
    expect(await delivery.settle({ kind: 'reject', reason: 'a test', letters: [letter] })).toBe('settled')
    given.push(letter)
  }
  return { queue, letters, given }
}

const list = (tools: Tools, queue: string): Promise<readonly DeadLetter[]> => withLetters(tools, { topics: [queue] }, (letters) => letters.map(({ letter }) => letter)) // prettier-ignore

describe('dead letters', { timeout: TEST_MS }, () => {
  test('are told as the hub gave them up: function, reason, and the event with everything that it had', async () => {
    const attributes = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`a${index}`, text(`v${index}`)]))
    const { queue, letters, given } = await fail([
      { body: 'plain' },
      { body: 'grün\r\n✓', attributes: { 'Content-Type': text('text/x-plain') } },
      { body: 'packed', attributes: { raw: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) }, wide: text('ü'), c: text('c') } }, // prettier-ignore
      { body: 'with one too many', attributes },
    ])
    await withLetters(await place.tools(), { topics: [queue] }, (held, box) => {
      const told = new Map(held.map(({ letter }) => [Buffer.from(letter.message.body).toString(), letter]))
      expect(held).toHaveLength(4)
      for (const letter of given) expect(told.get(Buffer.from(letter.message.body).toString())).toEqual(letter)
      for (const { id } of held) expect(id).toMatch(new RegExp(`^${letters}/[0-9a-f-]{36}$`))
      expect(box.place).toBe(`queue ${letters} at ${place.server.url}`)
      expect(box.caution).toContain('counts as received once more and is hidden from others until this ends')
      expect(box.caution).not.toContain('redrive policy of its own')
    })
  })

  test('of an opened envelope and of a record keep what the envelope said', async () => {
    const notification = { Type: 'Notification', MessageId: 'm1', TopicArn: 'arn:aws:sns:eu-west-1:1:orders', Subject: 'hi', Message: 'inner', Timestamp: '2026-01-01T00:00:00.000Z', MessageAttributes: { 'content-type': { Type: 'String', Value: 'text/x-inner' } } } // prettier-ignore
    const sns = await fail([{ body: JSON.stringify(notification) }], { unwrap: 'sns' })
    expect(await list(await place.tools({ unwrap: 'sns' }), sns.queue)).toEqual(sns.given)
    expect(sns.given[0]?.message).toMatchObject({ contentType: 'text/x-inner', headers: { 'X-Sns-Subject': 'hi' } })
    const s3 = await fail([{ body: JSON.stringify({ Records: [recordOf('a')] }) }], { unwrap: 's3' })
    expect(await list(await place.tools({ unwrap: 's3' }), s3.queue)).toEqual(s3.given)
    expect(s3.given[0]?.message.headers['X-S3-Key']).toBe('a')
  })

  test('of a FIFO queue are told with their group', async () => {
    const { queue, given } = await fail([{ body: '1', group: 'a' }, { body: '2', group: 'b' }], { fifo: true }) // prettier-ignore
    await withLetters(await place.tools(), { topics: [queue] }, (held, box) => {
      expect(held.map(({ letter }) => letter).toSorted(byBody)).toEqual(given)
      expect(box.caution).toContain('no more than the first ten letters of a group')
    })
  })

  test('that are removed are gone, exactly these; all others are given back untouched', async () => {
    const { queue, letters, given } = await fail(['1', '2', '3', '4'].map((body) => ({ body })))
    const tools = await place.tools()
    const removed = await withLetters(tools, { topics: [queue] }, async (held) => {
      const [first, second] = held as [HeldLetter, HeldLetter]
      await Promise.all([first.remove(), second.remove()])
      // Again is nothing.
      await first.remove()
      return letterBodies([first, second])
    })
    const left = given.filter(({ message: { body } }) => !removed.includes(Buffer.from(body).toString()))
    expect((await list(tools, queue)).toSorted(byBody)).toEqual(left)
    // Visible for anybody else, too.
    expect((await place.receive(letters)).map(({ Body: body = '' }) => body).toSorted(byText)).toEqual(letterBodies(left.map((letter) => ({ letter })))) // prettier-ignore
  })

  test('that come while they are read are left for the next time, however many', async () => {
    const { queue } = await fail([{ body: 'before' }])
    await using front = await startFront(place.server.port)
    let receives = 0
    front.answer = ({ operation, input }) => {
      if (operation === 'ReceiveMessage' && (receives += 1) > 1) return messagesAnswer(1, Date.now() + 3_600_000)
      return operation === 'ChangeMessageVisibilityBatch' ? doneAnswer(input) : undefined
    }
    const told = await list(await place.tools({ endpoint: front.url }), queue)
    expect(told.map(({ message: { body } }) => Buffer.from(body).toString())).toEqual(['before'])
    expect(receives).toBeLessThan(10)
  })

  test('of nobody and of nothing that makes sense are told without a function', async () => {
    const { queue, letters } = await fail([{ body: 'ours' }])
    await place.send(letters, 'foreign', { attributes: { tenant: text('acme') } })
    for (const attributes of [
      { 'hub-letter': text('{"hub-') },
      { 'hub-letter': text('[1]') },
      { 'hub-event': text('{}') },
      { 'hub-letter': text('{"hub-function":7}') },
    ])
      // prettier-ignore
      await place.send(letters, 'garbage', { attributes })
    const all = await list(await place.tools(), queue)
    expect(all.map(({ function: name, message }) => `${name} ${Buffer.from(message.body).toString()}`).toSorted(byText)).toEqual([
      ' foreign', ' garbage', ' garbage', ' garbage', ' garbage', 'billing.prod ours',
    ]) // prettier-ignore
    expect(all.find(({ function: name }) => name === '')).toMatchObject({ reason: 'it was not put here by a hub', attempts: 0 }) // prettier-ignore
    expect(all.find(({ message }) => Buffer.from(message.body).toString() === 'foreign')?.message).toMatchObject({ source: 'sqs', topic: letters, headers: { 'X-SQS-Attr-tenant': 'acme' } }) // prettier-ignore
  })

  test('that SQS itself has moved there are of no function', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters, receivesMax: 1 })
    await place.send(queue, 'tried', { attributes: { tenant: text('acme') } })
    const source = await place.source({ visibilityTimeout: '1s' }).opened([queue])
    const [delivery] = await source.arrived(1)
    await source[Symbol.asyncDispose]()
    // This receive finds it used up.
    await expect.poll(async () => (await place.receive(queue)).length + (await place.count(letters)), { timeout: 30_000 }).toBe(1) // prettier-ignore
    const [letter] = await list(await place.tools(), queue)
    expect(letter).toMatchObject({ function: '', attempts: 0 })
    expect(Buffer.from(letter?.message.body ?? []).toString()).toBe('tried')
    expect(letter?.message.headers['X-SQS-Message-ID']).toBe(delivery?.message.headers['X-SQS-Message-ID'])
    expect(letter?.message.headers['X-SQS-Attr-tenant']).toBe('acme')
  })

  test('of several records in one message are as many, and removed with the last', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    await place.send(letters, JSON.stringify({ Records: ['a', 'b'].map(recordOf) }))
    const tools = await place.tools({ unwrap: 's3' })
    await withLetters(tools, { topics: [queue] }, async (held, box) => {
      expect(held.map(({ letter }) => letter.message.headers['X-S3-Key'])).toEqual(['a', 'b'])
      expect(held.map(({ id }) => id.slice(-2))).toEqual(['#1', '#2'])
      expect(box.removal).toContain('removed with the last of them')
      await held[0]?.remove()
      expect(await place.count(letters)).toBe(1)
      await held[1]?.remove()
      expect(await place.count(letters)).toBe(0)
    })
  })

  test('of a queue with a redrive policy of its own are read with a warning of its numbers', async () => {
    const last = await place.queue()
    const letters = await place.queue({ letters: last, receivesMax: 7 })
    const queue = await place.queue({ letters })
    await withLetters(await place.tools(), { topics: [queue] }, (_, box) => {
      expect(box.caution).toContain(`queue ${letters} has a redrive policy of its own and moves a letter away after 7 receives`) // prettier-ignore
    })
  })

  test('many are all told, once each, also to who removes them while they come', async () => {
    const letters = await place.queue()
    for (let at = 0; at < 120; at += 10)
      await place.client.send(new SendMessageBatchCommand({ QueueUrl: place.urlOf(letters), Entries: Array.from({ length: 10 }, (_, index) => ({ Id: String(index), MessageBody: String(at + index) })) })) // prettier-ignore
    const tools = await place.tools({ deadLetters: 'hub' })
    expect(new Set(await withLetters(tools, { places: [letters] }, letterBodies)).size).toBe(120)
    const box = await tools.letters?.({ places: [letters], topics: [] }, signal)
    if (box === undefined) throw new Error('there is a box')
    const removals: Promise<void>[] = []
    for await (const letter of box.letters(signal)) removals.push(letter.remove())
    await Promise.all(removals)
    await box[Symbol.asyncDispose]()
    expect([removals.length, await place.count(letters)]).toEqual([120, 0])
  })

  test('removed from a FIFO queue make room for those behind them', async () => {
    const letters = await place.queue({ fifo: true })
    for (let index = 0; index < 25; index += 1) await place.send(letters, String(index))
    const box = await (await place.tools()).letters?.({ places: [letters], topics: [] }, signal)
    if (box === undefined) throw new Error('there is a box')
    const removals: Promise<void>[] = []
    const bodies: string[] = []
    for await (const letter of box.letters(signal)) {
      bodies.push(...letterBodies([letter]))
      removals.push(letter.remove())
    }
    await Promise.all(removals)
    await box[Symbol.asyncDispose]()
    expect(bodies).toEqual(Array.from({ length: 25 }, (_, index) => String(index)))
    expect(await place.count(letters)).toBe(0)
  })
})

describe('a box', { timeout: TEST_MS }, () => {
  const refusal = async (
    tools: Tools,
    from: { readonly places?: readonly string[]; readonly topics?: readonly string[] },
  ): Promise<HubError> => {
    // prettier-ignore
    const thrown: unknown = await Promise.resolve(tools.letters?.({ places: from.places ?? [], topics: from.topics ?? [] }, signal)).catch((error: unknown) => error)
    if (!(thrown instanceof HubError)) throw new Error('it opened')
    return thrown
  }

  test('is not there where the hub keeps the dead letters, or no queue has a redrive policy', async () => {
    const letters = await place.queue()
    const [plain, queue] = [await place.queue(), await place.queue({ letters })]
    const hub = await place.tools({ deadLetters: 'hub' })
    expect(await hub.letters?.({ places: [], topics: [queue] }, signal)).toBeUndefined()
    const auto = await place.tools()
    expect(await auto.letters?.({ places: [], topics: [plain] }, signal)).toBeUndefined()
  })

  test('has to be told where, when no function has a topic', async () => {
    const error = await refusal(await place.tools(), {})
    expect([error.code, error.hint]).toEqual(['HUB_USAGE', 'Name the dead-letter queue with --place.'])
  })

  test('of a queue that is missing names it', async () => {
    const error = await refusal(await place.tools(), { places: ['not-there'] })
    expect([error.code, error.message]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('not-there does not exist')]) // prettier-ignore
  })

  test('whose letter cannot be removed says so, and the letter can be removed again', async () => {
    const { queue, letters } = await fail([{ body: 'kept' }])
    await using front = await startFront(place.server.port)
    const tools = await place.tools({ endpoint: front.url })
    await withLetters(tools, { topics: [queue] }, async ([letter]) => {
      front.answer = ({ operation }) => (operation === 'DeleteMessageBatch' ? awsError('AccessDenied', 'no', 403) : undefined) // prettier-ignore
      await expect(letter?.remove()).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('sqs:DeleteMessage') as string }) // prettier-ignore
      expect(await place.count(letters)).toBe(1)
      front.answer = () => undefined
      await letter?.remove()
      expect(await place.count(letters)).toBe(0)
    })
  })

  test('leaves the messages of the source queue alone', async () => {
    const { queue } = await fail([{ body: 'dead' }])
    await place.send(queue, 'alive')
    await list(await place.tools(), queue)
    const rig = await place.source().opened([queue])
    const [delivery] = await rig.arrived(1)
    expect([rig.bodies, delivery?.message.attempt]).toEqual([['alive'], 1])
    expect(await ack(delivery)).toBe('settled')
  })

  test('is bounded: beyond it, it says that more are there, and reads on when some were removed', async () => {
    const letters = await place.queue()
    for (let index = 0; index < 50; index += 1) await place.send(letters, String(index))
    const log = new LogRecord()
    const config = parseConfig(manifest.fields, { endpoint: place.server.url, region: REGION, ...CREDENTIALS })
    using access = await openAccess(
      config,
      { instance: 'sqs', clock: systemClock, log, stored: () => [], recall: () => undefined },
      signal,
    )
    const queue = { topic: letters, name: letters, url: place.urlOf(letters), isFifo: false, receivesMax: undefined }
    const first = new LetterPlace(queue, access, 30)
    const held: HeldLetter[] = []
    for await (const letter of first.letters(signal)) held.push(letter)
    await first.end()
    // Asked for ten at a time.
    expect(held.length).toBeGreaterThanOrEqual(30)
    expect(held.length).toBeLessThan(40)
    expect(log.lines.join('\n')).toContain('30 letters are held, and no more are read')
    const second = new LetterPlace(queue, access, 30)
    let count = 0
    for await (const letter of second.letters(signal)) {
      count += 1
      await letter.remove()
    }
    await second.end()
    expect([count, await place.count(letters)]).toEqual([50, 0])
  })
})

describe('a message of a dead-letter queue', () => {
  const origin = { instance: 'sqs', topic: 'dead', queueUrl: 'https://sqs.eu-west-1.amazonaws.com/1/dead', queueName: 'dead', receivedMs: 7, unwrap: 'none' } as const // prettier-ignore

  test('that SQS has moved is of the queue that it came from', () => {
    const [letter] = lettersOf({ MessageId: 'm', Body: 'x', Attributes: { DeadLetterQueueSourceArn: 'arn:aws:sqs:eu-west-1:1:orders', SentTimestamp: '5', ApproximateReceiveCount: '4' } }, origin) // prettier-ignore
    expect(letter).toMatchObject({ function: '', reason: 'SQS moved it here: it was received more often than the redrive policy of orders allows', failedAtMs: 5 }) // prettier-ignore
    expect(letter?.message).toMatchObject({ id: 'sqs:orders:m', topic: 'orders', headers: { 'X-SQS-Queue-URL': 'https://sqs.eu-west-1.amazonaws.com/1/orders' } }) // prettier-ignore
  })

  test('of an earlier hub, without what is kept of the event, is told as far as it goes', () => {
    const [letter] = lettersOf({ MessageId: 'm', Body: 'x', MessageAttributes: { 'hub-function': text('f.prod'), 'hub-event-id': text('sqs:orders:o'), 'hub-queue': text('orders'), 'Content-Type': text('a/b') }, Attributes: { SentTimestamp: '5' } }, origin) // prettier-ignore
    expect(letter).toEqual({
      function: 'f.prod',
      reason: 'no reason is told',
      attempts: 0,
      failedAtMs: 5,
      message: { id: 'sqs:orders:o', source: 'sqs', topic: 'orders', body: Buffer.from('x'), contentType: 'a/b', headers: { 'X-SQS-Attr-Content-Type': 'a/b' }, attempt: 1, timestampMs: 5 }, // prettier-ignore
    })
  })

  test('with headers that HTTP cannot carry loses these alone', () => {
    const event = JSON.stringify({ headers: { ok: 'yes', 'b ad': 'x', bad: 'a\r\nb: c', worse: 7 }, attempt: -1, timestampMs: 'x', contentType: 'a\nb', key: 9 }) // prettier-ignore
    const [letter] = lettersOf({ MessageId: 'm', Body: 'x', MessageAttributes: { 'hub-function': text('f'), 'hub-event': text(event), 'hub-attempts': text('many'), 'hub-status': text('no'), 'hub-failed-at': text('yesterday') } }, origin) // prettier-ignore
    expect(letter).toEqual({
      function: 'f',
      reason: 'no reason is told',
      attempts: 0,
      failedAtMs: 7,
      message: { id: 'sqs:dead:m', source: 'sqs', topic: 'dead', body: Buffer.from('x'), headers: { ok: 'yes' }, attempt: 1, timestampMs: 7 }, // prettier-ignore
    })
  })

  test('of S3 about nothing is told whole', () => {
    const body = JSON.stringify({ Event: 's3:TestEvent', Bucket: 'photos' })
    const [letter] = lettersOf({ MessageId: 'm', Body: body }, { ...origin, unwrap: 's3' })
    expect(Buffer.from(letter?.message.body ?? []).toString()).toBe(body)
  })
})

function byText(left: string, right: string): number {
  return left < right ? -1 : 1
}

function byBody(left: DeadLetter, right: DeadLetter): number {
  return Buffer.compare(Buffer.from(left.message.body), Buffer.from(right.message.body))
}

let made = 0

/** As SQS answers a receive. */
function messagesAnswer(count: number, sentAtMs: number): Answer {
  const message = (): object => ({ MessageId: `m${(made += 1)}`, ReceiptHandle: `h${made}`, Body: 'x', MD5OfBody: '9dd4e461268c8034f5c8564e155c67a6', Attributes: { SentTimestamp: String(sentAtMs) } }) // prettier-ignore
  return { status: 200, body: { Messages: Array.from({ length: count }, message) } }
}

/** As it answers a batch that works. */
function doneAnswer({ Entries: entries }: Readonly<Record<string, unknown>>): Answer {
  return { status: 200, body: { Successful: (entries as readonly { readonly Id: string }[]).map(({ Id: id }) => ({ Id: id })), Failed: [] } } // prettier-ignore
}

/** Of a notification of S3. */
function recordOf(key: string): object {
  return { eventName: 'ObjectCreated:Put', eventTime: '2026-01-01T00:00:00.000Z', responseElements: { 'x-amz-request-id': 'R' }, s3: { bucket: { name: 'photos' }, object: { key, size: 1, eTag: 'e', sequencer: '01' } } } // prettier-ignore
}
