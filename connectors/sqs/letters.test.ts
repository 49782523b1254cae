// Where an event goes that a function did not take: to the dead-letter queue where the queue has one, else to the hub.

import type { Message } from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'

import type { DeadLetter, Delivery } from '../../src/sdk/index.ts'
import { awsError, startFront } from './front.ts'
import { letterAttributes } from './letters.ts'
import { Place, ack, placeForEachTest } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const text = (value: string): { readonly DataType: string; readonly StringValue: string } => ({ DataType: 'String', StringValue: value }) // prettier-ignore

function letterOf({ message }: Pick<Delivery, 'message'>, reason = 'answered 500 after 3 attempts'): DeadLetter {
  return { message, function: 'billing.prod', reason, status: 500, attempts: 3, failedAtMs: Date.UTC(2026, 0, 2) }
}

function reject(delivery: Delivery, reason?: string): Promise<string> {
  return delivery.settle({ kind: 'reject', reason: 'a test', letters: [letterOf(delivery, reason)] })
}

describe('dead letters', { timeout: 60_000 }, () => {
  test('go to the queue of the redrive policy with the reason and the attributes of the message', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    await place.send(queue, 'bad', { attributes: { raw: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) } } }) // prettier-ignore
    const source = await place.source().opened([queue])
    const [delivery] = await source.arrived(1)
    expect(delivery?.reject).toBe('broker')
    expect(await reject(delivery as Delivery)).toBe('settled')
    const [letter, ...more] = await place.receive(letters)
    expect(more).toEqual([])
    expect(letter?.Body).toBe('bad')
    const attributes = letter?.MessageAttributes ?? {}
    expect(Object.fromEntries(Object.entries(attributes).map(([name, { DataType: type, StringValue: value }]) => [name, `${type} ${value}`]))).toEqual({
      raw: 'Binary undefined',
      'hub-function': 'String billing.prod',
      'hub-reason': 'String answered 500 after 3 attempts',
      'hub-attempts': 'Number 3',
      'hub-status': 'Number 500',
      'hub-failed-at': 'String 2026-01-02T00:00:00.000Z',
      'hub-connector': 'String sqs',
      'hub-event-id': `String ${delivery?.message.id}`,
      'hub-queue': `String ${queue}`,
      'hub-event': expect.stringContaining('String {"headers":{"X-SQS-Message-ID":') as string,
    }) // prettier-ignore
    expect(await place.count(queue)).toBe(0)
  })

  test('are the hub’s where the queue has no redrive policy, or the configuration says so', async () => {
    const letters = await place.queue()
    const [plain, other] = [await place.queue(), await place.queue({ letters })]
    for (const queue of [plain, other]) await place.send(queue, 'bad')
    const source = await place.source({ deadLetters: 'hub' }).opened([other])
    const auto = await place.source().opened([plain])
    for (const rig of [source, auto]) {
      const [delivery] = await rig.arrived(1)
      expect(delivery?.reject).toBe('hub')
      expect(await delivery?.settle({ kind: 'reject', reason: 'kept by the hub', letters: [] })).toBe('settled')
    }
    expect(await Promise.all([plain, other, letters].map((queue) => place.count(queue)))).toEqual([0, 0, 0])
  })

  test('of a FIFO queue stay in their group', async () => {
    const letters = await place.queue({ fifo: true })
    const queue = await place.queue({ fifo: true, letters })
    await place.send(queue, 'bad', { group: 'customer-7' })
    const source = await place.source().opened([queue])
    const [delivery] = await source.arrived(1)
    await reject(delivery as Delivery)
    expect((await place.receive(letters)).map(({ Attributes: system }) => system?.MessageGroupId)).toEqual([
      'customer-7',
    ])
  })

  test('that cannot be written leave their event where it is, to come again', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    await place.send(queue, 'bad')
    await using front = await startFront(place.server.port)
    front.answer = ({ operation }) => (operation === 'SendMessage' ? awsError('AccessDenied') : undefined)
    const source = await place.source({ endpoint: front.url }).opened([queue])
    const [delivery] = await source.arrived(1)
    await expect(reject(delivery as Delivery)).rejects.toMatchObject({ code: 'HUB_DEAD_LETTER_FAILED', canRetry: true })
    expect(await place.count(letters)).toBe(0)
    const again = (await source.arrived(2))[1]
    front.answer = () => undefined
    expect(await reject(again as Delivery)).toBe('settled')
    expect([await place.count(letters), await place.count(queue)]).toEqual([1, 0])
  })

  test('too long for the reason beside them go without', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    // As long as ElasticMQ takes it.
    await place.send(queue, 'x'.repeat(262_144))
    await using front = await startFront(place.server.port)
    front.answer = ({ operation, input }) => operation === 'SendMessage' && Object.keys(input['MessageAttributes'] ?? {}).length > 0 ? awsError('InvalidParameterValue', 'One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.') : undefined // prettier-ignore
    const source = await place.source({ endpoint: front.url }).opened([queue])
    const [delivery] = await source.arrived(1)
    expect(await reject(delivery as Delivery)).toBe('settled')
    expect((await place.receive(letters)).map(({ Body: body = '' }) => body.length)).toEqual([262_144])
    expect(source.log.lines.some((line) => line.includes('sqs.letter-bare'))).toBe(true)
  })

  test('asked for at the queue, a queue without a redrive policy is refused, and the error says how to give it one', async () => {
    const [queue, letters] = [await place.queue(), await place.queue()]
    const source = place.source({ deadLetters: 'queue' })
    await expect(source.opened([queue])).rejects.toMatchObject({ code: 'HUB_SOURCE_FORBIDDEN', hint: expect.stringContaining('set-queue-attributes') as string }) // prettier-ignore
    const other = await place.source({ deadLetters: 'queue' }).opened([await place.queue({ letters })])
    expect(other.ending).toBeUndefined()
  })

  test('a reason of any characters can be sent', async () => {
    const letters = await place.queue()
    const queue = await place.queue({ letters })
    await place.send(queue, 'bad')
    const source = await place.source().opened([queue])
    const [delivery] = await source.arrived(1)
    await reject(delivery as Delivery, 'NUL \0, half \ud800')
    expect((await place.receive(letters))[0]?.MessageAttributes?.['hub-reason']?.StringValue).toBe('NUL �, half �')
    expect(await ack(delivery)).toBe('settled')
  })
})

describe('attributes of a letter', () => {
  const message = { id: 'sqs:orders:1', source: 'sqs', topic: 'orders', body: Buffer.from('x'), headers: {}, attempt: 1, timestampMs: 0 } // prettier-ignore
  const original = (count: number): Message => ({ MessageAttributes: Object.fromEntries(Array.from({ length: count }, (_, index) => [`a${index}`, text(`v${index}`)])) }) // prettier-ignore
  const letter = letterOf({ message })

  test.each([0, 1])('%i of the message leave room for each of ours', (count) => {
    expect(Object.keys(letterAttributes(letter, original(count), 'orders'))).toHaveLength(count + 9)
  })

  test.each([2, 9])('with %i of the message ours are one', (count) => {
    const { 'hub-letter': packed, ...kept } = letterAttributes(letter, original(count), 'orders')
    expect(kept).toEqual(original(count).MessageAttributes)
    expect(JSON.parse(packed?.StringValue ?? '')).toEqual({
      'hub-function': 'billing.prod',
      'hub-reason': 'answered 500 after 3 attempts',
      'hub-attempts': 3,
      'hub-status': 500,
      'hub-failed-at': '2026-01-02T00:00:00.000Z',
      'hub-connector': 'sqs',
      'hub-event-id': 'sqs:orders:1',
      'hub-queue': 'orders',
      'hub-event': { headers: {}, timestampMs: 0, attempt: 1 },
    })
  })

  test('the tenth of the message gives way and is inside of ours', () => {
    const { 'hub-letter': packed, ...kept } = letterAttributes(letter, original(10), 'orders')
    expect(Object.keys(kept)).toHaveLength(9)
    expect(JSON.parse(packed?.StringValue ?? '')).toMatchObject({ attributes: { a9: 'v9' } })
  })

  test('those of an earlier letter are replaced', () => {
    const again = { MessageAttributes: { 'hub-reason': text('earlier'), 'hub-letter': text('{}'), tenant: text('acme') } } // prettier-ignore
    const attributes = letterAttributes(letter, again, 'orders')
    expect(attributes['hub-reason']?.StringValue).toBe('answered 500 after 3 attempts')
    expect(attributes['hub-letter']).toBeUndefined()
    expect(attributes['tenant']?.StringValue).toBe('acme')
  })
})
