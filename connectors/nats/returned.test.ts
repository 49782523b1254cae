// What a consumer has out with somebody who is gone, against a real server: it comes in the order of the stream and before
// anything new, in whatever order and however late the server delivers it again.

import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { ConsumerInfo, JetStreamManager, JsMsg } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { ManualClock } from '../../src/sdk/index.ts'
import { noNats, startNats } from '../../test/servers/nats.ts'
import type { NatsServer } from '../../test/servers/nats.ts'
import { SourceRig, ack, until } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'
import { consumerName } from './subjects.ts'

const ACK_WAIT_MS = 30_000
/** After it the source pulls, whatever is out. */
const OVERDUE_MS = ACK_WAIT_MS + 250
const EVENTS = ['0', '1', '2', '3', '4', '5']

const missing = await noNats()
let server: NatsServer
let client: NatsConnection
let manager: JetStreamManager
let tests = 0
let base = ''
let subject = ''

beforeAll(async () => {
  if (missing !== undefined) return
  server = await startNats()
  client = await connect({ servers: server.url, reconnect: false })
  manager = await jetstreamManager(client)
})
afterAll(async () => {
  await client?.close()
  await server?.[Symbol.asyncDispose]()
})
beforeEach(async (context) => {
  if (missing !== undefined) context.skip(missing)
  base = `t${(tests += 1)}`
  subject = `${base}.key`
  await manager.streams.add({ name: base, subjects: [`${base}.>`] })
  await manager.consumers.add(base, {
    durable_name: consumerName(base, subject),
    filter_subject: subject,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ACK_WAIT_MS * 1_000_000,
  })
  await publish(EVENTS)
})

async function publish(bodies: readonly string[]): Promise<void> {
  for (const body of bodies) await jetstream(client).publish(subject, body)
}

/** By an instance that then says what the test says, or nothing. Nothing is overdue before it gives up. */
async function takenAway(count: number): Promise<readonly JsMsg[]> {
  const consumer = await jetstream(client).consumers.get(base, consumerName(base, subject))
  const taken: JsMsg[] = []
  for await (const message of await consumer.fetch({ max_messages: count, expires: 20_000 })) taken.push(message)
  return taken
}

const rig = (options: RigOptions): SourceRig =>
  new SourceRig(connector, { servers: [server.url], durable: base, orderingToken: 2, ackWait: `${ACK_WAIT_MS}ms` }, options) // prettier-ignore

const info = (): Promise<ConsumerInfo> => manager.consumers.info(base, consumerName(base, subject))

/** A source that waits for what is out, in a time that stands still. */
async function waiting(out: number, clock: ManualClock, options: RigOptions = {}): Promise<SourceRig> {
  const source = await rig({ clock, ...options }).opened([subject])
  await until(() => source.log.lines.some((line) => line.includes(`${out} messages are out`)), 'the source waits')
  return source
}

/** Time goes on in small steps until it has happened, and not for as long as a whole wait. */
async function within(clock: ManualClock, condition: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = clock.monotonic() + ACK_WAIT_MS - 1000
  await expect.poll(async () => {
    if (clock.monotonic() < untilMs) await clock.advance(100)
    return await condition()
  }, { interval: 20, timeout: 60_000 }).toBe(true) // prettier-ignore
}

test('what the server delivers again in another order comes in the order of the stream', async () => {
  const clock = new ManualClock()
  const taken = await takenAway(4)
  await using source = await waiting(4, clock)
  // As when signs of life came for the first two alone: the others are overdue before them.
  for (const index of [2, 3, 0, 1]) taken[index]?.nak()
  await client.flush()
  await clock.advance(OVERDUE_MS)
  await within(clock, () => source.arrivals.length === EVENTS.length)
  expect(source.bodies).toEqual(EVENTS)
})

test('what the server finds overdue later than it is comes before what was pulled meanwhile', async () => {
  const clock = new ManualClock()
  const taken = await takenAway(3)
  await using source = await waiting(3, clock)
  await clock.advance(OVERDUE_MS)
  // It has pulled something new, and knows that it must not hand it out.
  await expect.poll(async () => (await info()).num_ack_pending, { timeout: 60_000 }).toBeGreaterThan(3)
  expect(source.bodies).toEqual([])
  for (const message of taken) message.nak()
  await client.flush()
  await within(clock, () => source.arrivals.length === EVENTS.length)
  expect(source.bodies).toEqual(EVENTS)
})

test('what a living instance holds for long is not waited for longer than twice ackWait', async () => {
  const clock = new ManualClock()
  await takenAway(3)
  await using source = await waiting(3, clock)
  await clock.advance(OVERDUE_MS)
  await expect.poll(async () => (await info()).num_ack_pending, { timeout: 60_000 }).toBeGreaterThan(3)
  expect(source.bodies).toEqual([])
  await expect.poll(async () => {
    await clock.advance(1000)
    return source.bodies
  }, { timeout: 60_000 }).toEqual(['3', '4', '5']) // prettier-ignore
  expect(source.log.lines.join('\n')).toContain('may still be out with another instance')
})

test('a living instance that goes on with others does not hold up one that joins', async () => {
  const clock = new ManualClock()
  await using living = await rig({ unsettledMax: 2 }).opened([subject])
  await living.arrived(2)
  await using joining = await waiting(2, clock)
  // It always has two out, and never the same for long.
  for (const count of [1, 2]) {
    await ack(living.arrivals[count - 1])
    await living.arrived(2 + count)
  }
  await within(clock, () => joining.arrivals.length > 0)
  expect(clock.monotonic()).toBeLessThan(ACK_WAIT_MS)
})

test('what was gathered of a subject that nobody wants any more is given back', async () => {
  const clock = new ManualClock()
  await takenAway(3)
  await using source = await waiting(3, clock)
  await clock.advance(OVERDUE_MS)
  await expect.poll(async () => (await info()).num_ack_pending, { timeout: 60_000 }).toBe(6)
  // Nobody wants it any more, though the source goes on.
  await source.subscribe([])
  const again = await takenAway(3)
  expect(again.map((message) => message.string())).toEqual(['3', '4', '5'])
})
