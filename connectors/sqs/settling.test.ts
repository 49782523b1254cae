// A settlement is what SQS has confirmed, entry by entry; everything else is said.

import { describe, expect, test, vi } from 'vitest'

import { awsError, startFront } from './front.ts'
import type { Call, Front } from './front.ts'
import { Place, WAIT, ack, placeForEachTest, until } from './rig.ts'

let place: Place
await placeForEachTest((opened) => (place = opened))

const entriesOf = ({ input }: Call): { readonly Id: string }[] => input['Entries'] as { readonly Id: string }[]
const deletesOf = ({ calls }: Front): Call[] => calls.filter(({ operation }) => operation === 'DeleteMessageBatch')

/** Answers the first delete that is asked for, for every entry. */
function firstDelete(front: Front, result: (id: string) => object): void {
  let isFirst = true
  front.answer = (call) => {
    if (call.operation !== 'DeleteMessageBatch' || !isFirst) return undefined
    isFirst = false
    return { status: 200, body: { Successful: [], Failed: entriesOf(call).map(({ Id }) => ({ Id, ...result(Id) })) } }
  }
}

describe('settling', { timeout: 60_000 }, () => {
  test('deletes go in batches of up to ten, and no event is settled before its own is confirmed', async () => {
    const queue = await place.queue()
    for (let sent = 0; sent < 25; sent++) await place.send(queue, `event ${sent}`)
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(25)
    expect(await Promise.all(source.arrivals.map(ack))).toEqual(Array.from({ length: 25 }, () => 'settled'))
    expect(deletesOf(front).map((call) => entriesOf(call).length)).toEqual([10, 10, 5])
    expect(await place.count(queue)).toBe(0)
  })

  test('an entry that fails in a batch that succeeds is deleted again, until it is', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    firstDelete(front, () => ({ Code: 'InternalError', SenderFault: false, Message: 'The test says so.' }))
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(1)
    expect(await ack(source.arrivals[0])).toBe('settled')
    expect(deletesOf(front)).toHaveLength(2)
    expect(await place.count(queue)).toBe(0)
  })

  test('an entry that the answer leaves out was not deleted', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    let answered = 0
    front.answer = ({ operation }) =>
      operation === 'DeleteMessageBatch' && (answered += 1) === 1 ? { status: 200, body: {} } : undefined
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(1)
    expect(await ack(source.arrivals[0])).toBe('settled')
    expect(answered).toBe(2)
    expect(await place.count(queue)).toBe(0)
  })

  test('of a receipt that is not valid any more the settlement is stale, and it is counted and said', async () => {
    const queue = await place.queue()
    await place.send(queue, 'event')
    await using front = await startFront(place.server.port)
    firstDelete(front, () => ({ Code: 'ReceiptHandleIsInvalid', SenderFault: true, Message: 'The test says so.' }))
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(1)
    expect(await ack(source.arrivals[0])).toBe('stale')
    expect(deletesOf(front)).toHaveLength(1)
    expect(source.counts['sqs_lapsed_total']).toBe(1)
    expect(source.log.lines.some((line) => line.includes('sqs.lapsed'))).toBe(true)
  })

  test('deletes that are throttled or cut off are sent again; one that may not be made ends the connection by name', async () => {
    const queue = await place.queue()
    for (const body of ['throttled', 'forbidden']) await place.send(queue, body)
    await using front = await startFront(place.server.port)
    let refused = 0
    front.answer = ({ operation }) => (operation === 'DeleteMessageBatch' && (refused += 1) <= 2 ? awsError('RequestThrottled') : undefined) // prettier-ignore
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(2)
    expect(await ack(source.arrivals[0])).toBe('settled')
    expect(refused).toBe(3)
    front.answer = ({ operation }) => (operation === 'DeleteMessageBatch' ? awsError('AccessDenied') : undefined)
    expect(await ack(source.arrivals[1])).toBe('stale')
    const problem = await source.lost()
    expect([problem.code, problem.canRetry]).toEqual(['HUB_SOURCE_FORBIDDEN', false])
    expect(problem.hint).toContain('sqs:DeleteMessage')
    expect(await place.count(queue)).toBe(1)
  })

  test('what is held when the connection is lost is settled over the next one', async () => {
    const queue = await place.queue()
    for (let sent = 0; sent < 3; sent++) await place.send(queue, `event ${sent}`)
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url }).opened([queue])
    await source.arrived(3)
    front.answer = () => awsError('InternalError', 'The test says so.', 500)
    const early = ack(source.arrivals[0])
    const problem = await source.lost()
    expect([problem.code, problem.canRetry]).toEqual(['HUB_SOURCE_LOST', true])
    front.answer = () => undefined
    await source.reconnect([queue])
    expect([await early, source.log.lines.filter((line) => line.includes('lapsed'))]).toEqual(['settled', []])
    for (const arrival of source.arrivals.slice(1)) expect(await ack(arrival)).toBe('settled')
    expect(source.arrivals).toHaveLength(3)
    expect(await place.count(queue)).toBe(0)
  })
})

describe('receiving', { timeout: 60_000 }, () => {
  test('one receiver waits while a queue is quiet, more come with the messages, and all ask for what is needed', async () => {
    const queue = await place.queue()
    await using front = await startFront(place.server.port)
    const source = await place.source({ endpoint: front.url, visibilityTimeout: '90s' }, { unsettledMax: 40 }).opened([queue]) // prettier-ignore
    const open = (): Call[] => front.calls.filter(({ operation }) => operation === 'ReceiveMessage')
    await until(() => open().length === 1, 'the first poll')
    for (let sent = 0; sent < 60; sent++) await place.send(queue, `event ${sent}`)
    await source.arrived(40)
    for (const arrival of source.arrivals.slice()) await ack(arrival)
    await source.arrived(60)
    expect(open()[0]?.input).toMatchObject({
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 1,
      VisibilityTimeout: 90,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    })
    // Sixty messages by tens, and those that waited in vain.
    expect(open().length).toBeLessThan(60)
    await vi.waitFor(async () => expect(await place.receive(queue)).toEqual([]), WAIT)
  })
})
