// Looking at queues and publishing to them, at a real server: what a look shows, what it leaves to the hub and what it costs,
// and that what is emitted arrives as it was given.

import { CreateQueueCommand, GetQueueAttributesCommand, ListQueuesCommand } from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'

import { HubError } from '../../src/sdk/index.ts'
import type { Emitter, EventMessage, OutgoingEvent } from '../../src/sdk/index.ts'
import { LogRecord } from '../../test/conformance/recording.ts'
import { Look } from '../../test/tools-rig.ts'
import { awsError, startFront } from './front.ts'
import type { Front } from './front.ts'
import { Place, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const TEST_MS = 120_000
const COUNT = 'X-SQS-Receive-Count'
const { signal } = new AbortController()
const text = (value: string): { readonly DataType: string; readonly StringValue: string } => ({ DataType: 'String', StringValue: value }) // prettier-ignore

/** But for what counts deliveries, which a look adds to. */
function uncounted(message: EventMessage): unknown {
  return { ...message, attempt: 0, headers: { ...message.headers, [COUNT]: '0' } }
}

/** How often a message was received. */
function receivesOf({ attempt, headers }: EventMessage): number {
  expect(headers[COUNT]).toBe(String(attempt))
  return attempt
}

async function refusal(doing: Promise<unknown>): Promise<HubError> {
  const thrown: unknown = await doing.then(() => new Error('it was done'), (error: unknown) => error) // prettier-ignore
  if (!(thrown instanceof HubError)) throw thrown
  return thrown
}

async function visible(queue: string): Promise<number> {
  const { Attributes: counts } = await place.client.send(new GetQueueAttributesCommand({ QueueUrl: place.urlOf(queue), AttributeNames: ['ApproximateNumberOfMessages'] })) // prettier-ignore
  return Number(counts?.['ApproximateNumberOfMessages'])
}

describe('a look', { timeout: TEST_MS }, () => {
  test('shows what waits and what comes, field by field; afterwards a hub gets all of it, received as often as was said', async () => {
    const queue = await place.queue()
    const attributes = { tenant: text('acme'), 'Content-Type': text('application/json'), raw: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) } } // prettier-ignore
    for (const body of ['1', '2', '3']) await place.send(queue, body, { attributes })
    const before = (await place.client.send(new ListQueuesCommand({}))).QueueUrls
    let seen: readonly EventMessage[]
    {
      await using look = await Look.open(await place.tools(), [queue])
      await look.saw(3)
      await place.send(queue, '4')
      await look.saw(4)
      expect(look.caution).toContain('each that is shown counts as received once more, twice where nobody takes it meanwhile') // prettier-ignore
      expect(look.caution).not.toContain('dead-letter')
      seen = look.seen
    }
    expect(await visible(queue)).toBe(4)
    expect((await place.client.send(new ListQueuesCommand({}))).QueueUrls).toEqual(before)
    expect(seen.map(receivesOf)).toEqual([1, 1, 1, 1])
    const rig = await place.source().opened([queue])
    await rig.arrived(4)
    const byId = (left: EventMessage, right: EventMessage): number => (left.id < right.id ? -1 : 1)
    const got = rig.arrivals.map(({ message }) => message)
    expect(seen.toSorted(byId).map(uncounted)).toEqual(got.toSorted(byId).map(uncounted))
    // Once or twice by the look, and now by the hub.
    for (const message of got) expect([2, 3]).toContain(receivesOf(message))
  })

  test('shows each message once, however long it goes on and nobody takes them', async () => {
    const queue = await place.queue()
    for (let index = 0; index < 25; index += 1) await place.send(queue, String(index))
    await using front = await startFront(place.server.port)
    {
      await using look = await Look.open(await place.tools({ endpoint: front.url }), [queue])
      await look.saw(25)
      // Only an empty queue is received from without a message: all are hidden by then.
      await until(() => front.calls.filter(({ operation }) => operation === 'ReceiveMessage').length >= 8, 'it looks again') // prettier-ignore
      await until(() => front.calls.at(-1)?.operation === 'ReceiveMessage', 'nothing is left to hide')
      expect(new Set(look.bodies).size).toBe(25)
      expect(look.seen).toHaveLength(25)
    }
    const received = (await place.receive(queue)).map(({ Attributes: system }) => Number(system?.ApproximateReceiveCount)) // prettier-ignore
    expect(received).toHaveLength(25)
    // Twice by the look, and now; once more where a machine that stalls lets one lapse.
    for (const count of received) expect([3, 4]).toContain(count)
  })

  test('beside a hub that is consuming takes nothing from it', async () => {
    const queue = await place.queue()
    const rig = place.source()
    rig.ackAll = true
    await rig.opened([queue])
    await using look = await Look.open(await place.tools(), [queue])
    for (let index = 0; index < 20; index += 1) await place.send(queue, String(index))
    // While the look goes on.
    await rig.arrived(20)
    expect(new Set(rig.bodies).size).toBe(20)
    expect(look.caution).toBeDefined()
  })

  test('of a FIFO queue shows the messages of a group in their order, and leaves it to the hub', async () => {
    const queue = await place.queue({ fifo: true })
    for (let index = 0; index < 5; index += 1)
      for (const group of ['a', 'b']) await place.send(queue, `${group}${index}`, { group })
    {
      await using look = await Look.open(await place.tools(), [queue])
      await look.saw(10)
      for (const group of ['a', 'b']) expect(look.seen.filter(({ orderingKey }) => orderingKey === group).map(({ body }) => Buffer.from(body).toString())).toEqual([0, 1, 2, 3, 4].map((index) => `${group}${index}`)) // prettier-ignore
      expect(look.caution).toContain('in a FIFO queue a group waits')
    }
    const rig = place.source()
    rig.ackAll = true
    await rig.opened([queue])
    await rig.arrived(10)
    for (const group of ['a', 'b']) expect(rig.bodies.filter((body) => body.startsWith(group))).toEqual([0, 1, 2, 3, 4].map((index) => `${group}${index}`)) // prettier-ignore
  })

  test('is never the receive that moves a message away: it ends before, and says so with the numbers', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters, receivesMax: 4 })
    for (const body of ['1', '2', '3']) await place.send(queue, body)
    const log = new LogRecord()
    {
      await using look = await Look.open(await place.tools({}, { log }), [queue])
      await look.saw(3)
      expect(look.caution).toContain(`queue ${queue} moves a message to its dead-letter queue instead of giving it out for the 5th time (maxReceiveCount 4), so it is looked at until a message has been received 3 times`) // prettier-ignore
    }
    // Again, as people do: the first of them is received for the third or fourth time.
    for (let again = 0; again < 4; again += 1) {
      await using look = await Look.open(await place.tools({}, { log }), [queue])
      await look.saw(1)
      await until(() => log.lines.some((line) => line.includes('sqs.look-ended')) || look.seen.length === 3, 'it ends') // prettier-ignore
      if (log.lines.some((line) => line.includes('sqs.look-ended'))) break
    }
    expect(log.lines.join('\n')).toMatch(
      /is not looked at any further: a message has been received [34] times now, of 4/,
    )
    expect([await place.count(letters), await visible(queue)]).toEqual([0, 3])
    // Each is still given out to the hub.
    const rig = place.source()
    rig.ackAll = true
    await rig.opened([queue])
    await rig.arrived(3)
    expect(new Set(rig.bodies).size).toBe(3)
    expect(await place.count(letters)).toBe(0)
  })

  test.each([1, 2])('leaves a queue alone that gives out a message %i times only', async (receivesMax) => {
    const letters = await place.queue()
    const queue = await place.queue({ letters, receivesMax })
    await place.send(queue, 'precious')
    const tools = await place.tools()
    await using peek = await tools.peek([{ kind: 'topic', topic: queue }], signal)
    expect(peek.caution).toContain(`queue ${queue} is not looked at: it gives out a message ${receivesMax === 1 ? 'once' : '2 times'} only`) // prettier-ignore
    const seen: EventMessage[] = []
    for await (const event of peek.events()) seen.push(event)
    expect(seen).toEqual([])
    expect((await place.receive(queue)).map(({ Attributes: system }) => system?.ApproximateReceiveCount)).toEqual(['1']) // prettier-ignore
  })

  test('needs to know the redrive policy: it does not look at what it may do harm to', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    front.answer = ({ operation }) => (operation === 'GetQueueAttributes' ? awsError('AccessDenied') : undefined)
    const tools = await place.tools({ endpoint: front.url })
    const error = await refusal(tools.peek([{ kind: 'topic', topic: queue }], signal))
    expect([error.code, error.hint]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('sqs:GetQueueAttributes')]) // prettier-ignore
    expect(front.calls.filter(({ operation }) => operation === 'ReceiveMessage')).toEqual([])
  })

  test('that may not give back what it receives ends at once', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    front.answer = ({ operation }) => (operation === 'ChangeMessageVisibilityBatch' ? awsError('AccessDenied', 'no', 403) : undefined) // prettier-ignore
    const tools = await place.tools({ endpoint: front.url })
    await using peek = await tools.peek([{ kind: 'topic', topic: queue }], signal)
    const error = await refusal(peek.events()[Symbol.asyncIterator]().next())
    expect([error.code, error.hint]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('sqs:ChangeMessageVisibility')]) // prettier-ignore
    expect(front.calls.filter(({ operation }) => operation === 'ReceiveMessage')).toHaveLength(1)
  })

  test('names a queue that is missing, and looks at the others', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    const log = new LogRecord()
    await using look = await Look.open(await place.tools({}, { log }), ['not-there', queue])
    await look.saw(1)
    expect(log.lines.join('\n')).toContain('aws sqs create-queue --queue-name not-there')
    const tools = await place.tools()
    expect((await refusal(tools.peek([{ kind: 'topic', topic: 'not-there' }], signal))).code).toBe('HUB_SOURCE_FORBIDDEN') // prettier-ignore
  })

  test('goes on after a receive that fails, and ends by name when none works any more', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    let failures = 0
    front.answer = ({ operation }) => (operation === 'ReceiveMessage' && (failures += 1) <= 2 ? awsError('RequestThrottled') : undefined) // prettier-ignore
    await place.send(queue, 'event')
    const tools = await place.tools({ endpoint: front.url })
    await using look = await Look.open(tools, [queue])
    await look.saw(1)
    front.answer = ({ operation }) => (operation === 'ReceiveMessage' ? awsError('ExpiredToken') : undefined)
    await using peek = await tools.peek([{ kind: 'topic', topic: queue }], signal)
    expect((await refusal(peek.events()[Symbol.asyncIterator]().next())).code).toBe('HUB_SOURCE_AUTH')
  })
})

describe('an event that is emitted', { timeout: TEST_MS }, () => {
  const event = (topic: string, body = 'event', more: Partial<OutgoingEvent> = {}): OutgoingEvent => ({ topic, body: Buffer.from(body), headers: {}, ...more }) // prettier-ignore
  const emitterOf = async (config: Readonly<Record<string, unknown>> = {}): Promise<Emitter> => {
    const emitter = await (await place.tools(config)).emitter?.(signal)
    if (emitter === undefined) throw new Error('it has no emitter')
    return emitter
  }

  test('arrives with its headers, content type and group, and is told by its message id', async () => {
    const queue = await place.queue({ fifo: true })
    await using emitter = await emitterOf()
    const at = await emitter.emit(event(queue, '{"a":"ü"}', { key: 'customer-7', contentType: 'application/json', headers: { tenant: 'acme', 'X-SQS-Attr-Trace': '1' } })) // prettier-ignore
    const rig = await place.source().opened([queue])
    const [delivery] = await rig.arrived(1)
    const message = delivery?.message
    expect(rig.bodies).toEqual(['{"a":"ü"}'])
    expect(message).toMatchObject({ topic: queue, contentType: 'application/json', orderingKey: 'customer-7', attempt: 1 }) // prettier-ignore
    expect(message?.headers).toMatchObject({ 'X-SQS-Attr-tenant': 'acme', 'X-SQS-Attr-Trace': '1', 'X-SQS-Group-ID': 'customer-7' }) // prettier-ignore
    expect(at).toBe(`${queue}/${message?.headers['X-SQS-Message-ID']}@${message?.headers['X-SQS-Sequence-Number']}`)
    expect(emitter.place).toBe(place.server.url.replace(/\/?$/, ''))
  })

  test('many at once keep their order in a FIFO queue, and the same again is another one', async () => {
    const queue = `by-content-${process.pid}.fifo`
    await place.client.send(new CreateQueueCommand({ QueueName: queue, Attributes: { FifoQueue: 'true', ContentBasedDeduplication: 'true' } })) // prettier-ignore
    await using emitter = await emitterOf()
    const bodies = Array.from({ length: 20 }, (_, index) => String(index % 3))
    expect(emitter.inFlightMax).toBe(10)
    for (let index = 0; index < bodies.length; index += emitter.inFlightMax)
      await Promise.all(bodies.slice(index, index + emitter.inFlightMax).map((body) => emitter.emit(event(queue, body, { key: 'k' })))) // prettier-ignore
    const rig = place.source()
    rig.ackAll = true
    await rig.opened([queue])
    await rig.arrived(20)
    expect(rig.bodies).toEqual(bodies)
  })

  test('that fails in a FIFO queue takes those with it that wait behind it, and none after', async () => {
    const queue = await place.queue({ fifo: true })
    await using front = await startFront(place.server.port)
    let sent = 0
    front.answer = ({ operation }) => (operation === 'SendMessage' && (sent += 1) === 2 ? awsError('RequestThrottled') : undefined) // prettier-ignore
    await using emitter = await emitterOf({ endpoint: front.url })
    const results = await Promise.allSettled(['1', '2', '3'].map((body) => emitter.emit(event(queue, body, { key: 'k' })))) // prettier-ignore
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    const error = (results[2] as PromiseRejectedResult).reason as HubError
    expect([error.code, error.hint]).toEqual(['HUB_EMIT_FAILED', 'Send less in a second, with --rate.'])
    await emitter.emit(event(queue, '4', { key: 'k' }))
    expect((await place.receive(queue)).map(({ Body: body }) => body)).toEqual(['1', '4'])
  })

  test('goes to a standard queue without a key', async () => {
    const queue = await place.queue()
    await using emitter = await emitterOf()
    expect(await emitter.emit(event(queue))).toMatch(new RegExp(`^${queue}/[0-9a-f-]{36}$`))
    expect(await place.count(queue)).toBe(1)
  })

  test.each([
    ['nothing', { body: Buffer.alloc(0) }, 'empty message', '--data'],
    ['bytes that are no text', { body: Buffer.from([0xff, 0xfe]) }, 'not UTF-8', 'base64'],
    ['a control character', { body: Buffer.from('a\u0001') }, 'control characters', 'base64'],
    ['more than any queue takes', { body: Buffer.alloc(2 ** 20, 'x'), headers: { a: 'b' } }, 'takes messages of 1MiB, attributes included, and this one has 1048584 bytes', 'MaximumMessageSize'], // prettier-ignore
    ['eleven attributes', { headers: Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`h${index}`, 'v'])), contentType: 'a/b' }, '10 attributes at most, and these are 11', 'fewer'], // prettier-ignore
    ['an empty value', { headers: { a: '' } }, 'attribute a is empty', 'Leave it out'],
    ['a name of AWS', { headers: { 'AWS.Trace': 'x' } }, 'AWS.Trace is no name of an attribute', 'letters'],
    ['two of a name', { headers: { Tenant: 'x', 'X-SQS-Attr-tenant': 'y' } }, 'the same attribute', 'once'],
    ['what SQS says itself', { headers: { 'X-SQS-Message-ID': 'x' } }, 'is made by the hub', 'X-SQS-Attr-<Name>'],
    ['a content type among the headers', { headers: { 'content-type': 'x' } }, 'no header of its own', '--content-type'], // prettier-ignore
    ['a group with a space', { key: 'a b' }, 'is no message group', '128'],
  ] as const)('is refused with %s', async (_, more, message, hint) => {
    const queue = await place.queue()
    await using emitter = await emitterOf()
    const error = await refusal(emitter.emit(event(queue, 'event', more)))
    expect([error.code, error.message, error.hint]).toEqual(['HUB_USAGE', expect.stringContaining(message), expect.stringContaining(hint)]) // prettier-ignore
    expect(await place.count(queue)).toBe(0)
  })

  test('is refused with more than the queue takes, by its attributes or by SQS', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    front.answer = ({ operation }) => (operation === 'GetQueueAttributes' ? { status: 200, body: { Attributes: { MaximumMessageSize: '1024' } } } : undefined) // prettier-ignore
    await using emitter = await emitterOf({ endpoint: front.url })
    expect(await refusal(emitter.emit(event(queue, 'x'.repeat(1025))))).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining('takes messages of 1KiB') as string }) // prettier-ignore
    await emitter.emit(event(queue, 'x'.repeat(1024)))
    front.answer = ({ operation }) => (operation === 'SendMessage' ? awsError('InvalidParameterValue', 'One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.') : undefined) // prettier-ignore
    expect(await refusal(emitter.emit(event(queue)))).toMatchObject({ code: 'HUB_USAGE', message: expect.stringContaining('Message must be shorter than 262144 bytes') as string }) // prettier-ignore
  })

  test('takes its key as the group of a standard queue, too, where the server has those', async () => {
    const queue = await place.queue()
    await using emitter = await emitterOf()
    await emitter.emit(event(queue, 'event', { key: 'customer-7' }))
    const rig = await place.source().opened([queue])
    const [delivery] = await rig.arrived(1)
    expect(delivery?.message.orderingKey).toBe('customer-7')
  })

  test('is refused without a group in a FIFO queue', async () => {
    const queue = await place.queue({ fifo: true })
    await using emitter = await emitterOf()
    const error = await refusal(emitter.emit(event(queue)))
    expect([error.code, error.hint]).toEqual(['HUB_USAGE', 'Set it with --key.'])
  })

  test('is not taken without a queue, without the right, or without a server, which is said with what mends it', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    await using emitter = await emitterOf({ endpoint: front.url })
    const missing = await refusal(emitter.emit(event('not-there')))
    expect([missing.code, missing.hint]).toEqual(['HUB_SOURCE_FORBIDDEN', expect.stringContaining('aws sqs create-queue --queue-name not-there')]) // prettier-ignore
    front.answer = ({ operation }) => (operation === 'SendMessage' ? awsError('AccessDenied', 'no', 403) : undefined)
    const forbidden = await refusal(emitter.emit(event(queue)))
    expect([forbidden.code, forbidden.hint]).toEqual(['HUB_EMIT_FAILED', expect.stringContaining(`Allow sqs:SendMessage on ${queue}`)]) // prettier-ignore
    expect((await refusal(emitterOf({ endpoint: 'http://127.0.0.1:1' }))).code).toBe('HUB_SOURCE_UNREACHABLE')
    front.answer = () => awsError('InvalidClientTokenId', 'no', 403)
    expect((await refusal(emitterOf({ endpoint: front.url }))).code).toBe('HUB_SOURCE_AUTH')
  })
})

describe('a probe', { timeout: TEST_MS }, () => {
  const probe = (front: Pick<Front, 'url'>, topics: readonly string[] = []) => place.source({ endpoint: front.url }).source.probe(topics, signal) // prettier-ignore

  test('says of each topic what is there, or its code and its fix', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    await place.send(queue, 'event')
    const { topics } = await probe(place.server, [queue, 'not-there'])
    expect(topics).toEqual([
      { topic: queue, ok: true, detail: `standard queue ${place.urlOf(queue)}, dead letters in ${letters}` },
      { topic: 'not-there', ok: false, code: 'HUB_TOPIC_MISSING', detail: `${place.server.url}: queue not-there does not exist here`, fix: expect.stringContaining('aws sqs create-queue --queue-name not-there') }, // prettier-ignore
    ])
    // Nothing was received.
    expect((await place.receive(queue)).map(({ Attributes: system }) => system?.ApproximateReceiveCount)).toEqual(['1']) // prettier-ignore
  })

  test.each([
    ['DeleteMessage', 'sqs:DeleteMessage'],
    ['ChangeMessageVisibility', 'sqs:ChangeMessageVisibility'],
    ['GetQueueUrl', 'sqs:GetQueueUrl'],
  ])('names the right to %s where it is missing', async (operation, action) => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    front.answer = (call) => (call.operation === operation ? awsError('AccessDenied', 'not authorized', 403) : undefined) // prettier-ignore
    const { topics } = await probe(front, [queue])
    expect(topics).toMatchObject([{ topic: queue, ok: false, code: 'HUB_SOURCE_FORBIDDEN', fix: expect.stringContaining(action) as string }]) // prettier-ignore
  })

  test.each([
    ['InvalidClientTokenId', 'HUB_SOURCE_AUTH', 'access key'],
    ['ExpiredToken', 'HUB_SOURCE_AUTH', 'temporary credentials'],
    ['RequestExpired', 'HUB_SOURCE_AUTH', 'Set the clock'],
  ] as const)('%s is %s', async (code, expected, hint) => {
    await using front = await startFront(place.server.port)
    front.answer = () => awsError(code, 'no', 403)
    const error = await refusal(probe(front))
    expect([error.code, error.hint]).toEqual([expected, expect.stringContaining(hint)])
  })

  test('of nobody says so', async () => {
    const error = await refusal(probe({ url: 'http://127.0.0.1:1' }))
    expect([error.code, error.hint]).toEqual(['HUB_SOURCE_UNREACHABLE', expect.stringContaining('Check endpoint')])
  })

  test('of a server that speaks the older protocol alone (answered as by ElasticMQ 1.4) names versions that will do', async () => {
    await using front = await startFront(place.server.port)
    front.answer = () => ({ status: 400, body: '<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>InvalidAction; see the SQS docs.</Message></Error></ErrorResponse>' }) // prettier-ignore
    const error = await refusal(probe(front))
    expect([error.code, error.hint]).toEqual(['HUB_SOURCE_PROTOCOL', expect.stringContaining('ElasticMQ from 1.5')])
  })
})
