// A quorum queue that is read in order goes on where its last reader was: what that one held comes first, however late the
// broker notices that it is gone. On real servers.

import amqp from 'amqplib'
import { describe, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { noRabbit, startRabbit } from '../../test/servers/rabbitmq.ts'
import { SourceRig } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { Place, ack, placeForEachTest, until } from './rig.ts'

const QUORUM = { 'x-queue-type': 'quorum' }
const ORDERED = { orderingKey: 'queue' }
/** What a consumer that may be a replica is waited for, and two heartbeats of the default. */
const SHARED_MS = 2000
const ALONE_MS = SHARED_MS + 20_000

let place: Place
await placeForEachTest((opened) => (place = opened))

const numbers = (from: number, to: number): readonly string[] => Array.from({ length: to - from }, (_, index) => String(from + index)) // prettier-ignore

async function sent(queue: string, from: number, to: number): Promise<void> {
  for (const body of numbers(from, to)) await place.send(queue, body)
}

/** Another connection, that has the first messages and does not settle them. */
async function holder(queue: string, count: number): Promise<{ close(): Promise<void> }> {
  const model = await amqp.connect(place.vhost.url)
  const channel = await model.createChannel()
  await channel.prefetch(count)
  let held = 0
  await channel.consume(queue, () => void (held += 1))
  await until(() => held === count, `${count} messages are held`)
  return { close: () => model.close() }
}

/** Time goes on until it happens. @returns how much, in milliseconds */
async function passes(clock: ManualClock, condition: () => boolean, what: string, stepMs = 20): Promise<number> {
  const began = clock.monotonic()
  await until(() => {
    void clock.advance(stepMs)
    return condition()
  }, what)
  return clock.monotonic() - began
}

/** For longer than for a replica. @returns what arrives once that one has gone: 20 messages */
async function waitsFor(
  before: { close(): Promise<void> },
  source: SourceRig,
  clock: ManualClock,
): Promise<readonly string[]> {
  const began = clock.monotonic()
  await passes(clock, () => clock.monotonic() - began > ALONE_MS / 2, 'time')
  expect(source.arrivals).toHaveLength(0)
  await before.close()
  await passes(clock, () => source.arrivals.length >= 20, 'all arrive', 1)
  return source.bodies
}

describe('a quorum queue with an ordering key', () => {
  test('is read once the consumer before is gone, from what that one had', async () => {
    await place.queue('orders', QUORUM)
    await sent('orders', 0, 30)
    const before = await holder('orders', 10)
    const clock = new ManualClock()
    await using source = await place.source(ORDERED, { clock }).opened(['orders'])
    source.ackAll = true
    expect(source.arrivals).toHaveLength(0)
    await before.close()
    await passes(clock, () => source.arrivals.length >= 30, 'all arrive', 1)
    expect(source.bodies).toEqual(numbers(0, 30))
    await source[Symbol.asyncDispose]()
    expect(await place.ready('orders')).toBe(0)
  })

  test('whose messages all are with the consumer before: the same', async () => {
    await place.queue('orders', QUORUM)
    await sent('orders', 0, 10)
    const before = await holder('orders', 10)
    const clock = new ManualClock()
    await using source = await place.source(ORDERED, { clock }).opened(['orders'])
    source.ackAll = true
    await sent('orders', 10, 12)
    await before.close()
    await passes(clock, () => source.arrivals.length >= 12, 'all arrive', 1)
    expect(source.bodies).toEqual(numbers(0, 12))
  })

  test('that another consumer keeps is shared after two seconds', async () => {
    await place.queue('orders', QUORUM)
    await sent('orders', 0, 30)
    await using clients = new AsyncDisposableStack()
    clients.adopt(await holder('orders', 10), (client) => client.close())
    const clock = new ManualClock()
    await using source = await place.source(ORDERED, { clock }).opened(['orders'])
    source.ackAll = true
    expect(await passes(clock, () => source.arrivals.length >= 20, 'what is left arrives')).toBeGreaterThanOrEqual(SHARED_MS) // prettier-ignore
    expect(source.bodies).toEqual(numbers(10, 30))
  })

  test('that was ours alone is waited for as long as the broker may take to notice a lost connection', async () => {
    await place.queue('orders', QUORUM)
    const clock = new ManualClock()
    await using source = await place.source(ORDERED, { clock }).opened(['orders'])
    // The next question is when it reads.
    await passes(clock, () => source.source.backlog?.().length === 1, 'the queue was asked')
    await source.source.connect(new AbortController().signal)
    await sent('orders', 0, 20)
    // In place of a connection that the broker still believes in.
    const before = await holder('orders', 10)
    source.ackAll = true
    await source.connect(['orders'])
    expect(await waitsFor(before, source, clock)).toEqual(numbers(0, 20))
  })

  test('is waited for as long, too, where turns are taken: the last holder may hang', async () => {
    await place.queue('orders', QUORUM)
    await sent('orders', 0, 20)
    const before = await holder('orders', 10)
    const clock = new ManualClock()
    const term = { epoch: 2, signal: new AbortController().signal, held: () => true }
    await using source = await place.source(ORDERED, { clock, leadership: { term } }).opened(['orders'])
    source.ackAll = true
    expect(await waitsFor(before, source, clock)).toEqual(numbers(0, 20))
  })

  test('not wanted any more while it waits: gives back what it has', async () => {
    await place.queue('orders', QUORUM)
    await place.queue('others')
    await sent('orders', 0, 12)
    const before = await holder('orders', 10)
    await using source = await place.source(ORDERED, { clock: new ManualClock() }).opened(['orders', 'others'])
    await source.subscribe(['others'])
    await until(() => source.source.backlog?.().some(({ topic }) => topic === 'orders') !== true, 'it is left')
    await before.close()
    await expect.poll(() => place.ready('orders'), { timeout: 30_000 }).toBe(12)
    expect(source.arrivals).toHaveLength(0)
  })

  test('with a single active consumer is left to its broker: a second one waits, and nothing is said', async () => {
    await place.queue('orders', { ...QUORUM, 'x-single-active-consumer': true })
    await sent('orders', 0, 10)
    await using source = await place.source(ORDERED).opened(['orders'])
    source.ackAll = true
    await source.arrived(10)
    expect(source.bodies).toEqual(numbers(0, 10))
    expect(source.log.lines.filter((line) => /"level":"(warn|error)"/.test(line))).toEqual([])
  })

  test('and none of it at all: neither waited for nor got', async () => {
    await place.queue('orders', QUORUM)
    await sent('orders', 0, 12)
    await using clients = new AsyncDisposableStack()
    clients.adopt(await holder('orders', 10), (client) => client.close())
    await using source = await place.source({}, { clock: new ManualClock() }).opened(['orders'])
    await source.arrived(2)
    expect(source.bodies).toEqual(['10', '11'])
  })
})

test(
  'a server is killed and let in again as soon as its port is open: first what was held, then the rest',
  { timeout: 240_000 },
  async (context) => {
    const missing = await noRabbit()
    if (missing !== undefined) return context.skip(missing)
    await using server = await startRabbit()
    const model = await amqp.connect(server.url)
    const channel = await model.createConfirmChannel()
    await channel.assertQueue('orders', { durable: true, arguments: QUORUM })
    for (const body of numbers(0, 300)) channel.sendToQueue('orders', Buffer.from(body), { persistent: true })
    await channel.waitForConfirms()
    await model.close()
    await server.saved()
    await using source = await new SourceRig(connector, { url: server.url, ...ORDERED }, { unsettledMax: 64 }).opened(['orders']) // prettier-ignore
    await Promise.all((await source.arrived(64)).slice(0, 40).map((delivery) => ack(delivery)))
    await source.arrived(104)
    const settled = 40
    await server.kill()
    await source.lost()
    source.arrivals.length = 0
    source.ackAll = true
    const started = server.start()
    await source.reconnect(['orders'])
    await started
    // Some of the acknowledgements may have been lost with the server.
    await until(() => source.bodies.includes('299'), 'the last one arrives')
    const bodies = source.bodies.map(Number)
    expect(bodies).toEqual(bodies.toSorted((left, right) => left - right))
    expect(bodies[0]).toBeLessThanOrEqual(settled)
    expect(new Set(bodies).size).toBe(bodies.length)
  },
)
