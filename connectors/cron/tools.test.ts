// The tools of cron: what they see is what a hub would be handed.

import { expect, test } from 'vitest'

import { ManualClock, instanceConfig } from '../../src/sdk/index.ts'
import type { EventMessage, ScheduleSubscription, SourceLog, Tools } from '../../src/sdk/index.ts'
import { MemoryState, SourceRig, until } from '../../test/source-rig.ts'
import connector from './connector.ts'

const HOUR_MS = 3_600_000
const WANTED: readonly ScheduleSubscription[] = [
  wanted('@hourly', { function: 'a.prod', catchUp: 'all' }),
  wanted('CRON_TZ=Europe/Berlin 30 9 * * *', { function: 'b.prod', jitterMs: 60_000 }),
  wanted('*/20 * * * *', { function: 'c.prod', overlap: 'forbid', catchUp: 'last' }),
]

function wanted(expression: string, more: Partial<ScheduleSubscription>): ScheduleSubscription {
  return { kind: 'schedule', function: 'f', expression, overlap: 'allow', catchUp: 'none', jitterMs: 0, ...more }
}

async function toolsAt(clock: ManualClock, lines: string[] = []): Promise<Tools> {
  const say = (level: string) => (event: string) => void lines.push(`${level} ${event}`)
  const log: SourceLog = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  const tools = await connector.tools?.(instanceConfig(connector.manifest, {}), { instance: 'cron', clock, log, stored: () => [], recall: () => undefined }) // prettier-ignore
  if (tools === undefined) throw new Error('cron has no tools')
  return tools
}

/** Reads until the signal ends it. */
async function read(events: AsyncIterable<EventMessage>, seen: EventMessage[]): Promise<void> {
  for await (const event of events) seen.push(event)
}

test('a peek sees the fires that a hub beside it is handed, field by field, and the hub keeps its own', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const state = new MemoryState()
  await using hub = new SourceRig(connector, {}, { clock, state })
  hub.ackAll = true
  await hub.source.connect(new AbortController().signal)
  await hub.source.subscribe(WANTED, new AbortController().signal)
  const stop = new AbortController()
  const read1 = hub.source.deliveries(stop.signal)
  const handed: EventMessage[] = []
  const reading = (async (): Promise<void> => {
    for await (const delivery of read1) {
      handed.push(delivery.message)
      await delivery.settle({ kind: 'ack' })
    }
  })()
  const lines: string[] = []
  await using peek = await (await toolsAt(clock, lines)).peek(WANTED, stop.signal)
  expect([peek.means, peek.caution]).toEqual([expect.stringContaining('as they come due'), undefined])
  const seen: EventMessage[] = []
  const looking = read(peek.events(), seen)
  await clock.advance(9 * HOUR_MS)
  // 9 of the hour, 1 of 08:30 UTC with its jitter, 27 of every 20 minutes.
  expect(seen).toHaveLength(37)
  expect(seen).toEqual(handed)
  // The hub's own marks are where they were written by the hub, and nobody else wrote one.
  expect([...state.keys()].toSorted()).toEqual(['settled a.prod/@hourly', 'settled c.prod/*/20 * * * *'])
  expect([...state.values()]).toEqual([String(clock.now()), String(clock.now())])
  expect(lines).toEqual([])
  stop.abort()
  await Promise.all([reading, looking])
})

test('a peek leaves nothing behind: what a hub missed before is still missed after it', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const state = new MemoryState()
  const { signal } = new AbortController()
  const first = new SourceRig(connector, {}, { clock, state })
  await first.source.connect(signal)
  await first.source.subscribe(WANTED.slice(0, 1), signal)
  await first.source.close()
  await clock.advance(2.5 * HOUR_MS)
  const before = new Map(state)
  const stop = new AbortController()
  const peek = await (await toolsAt(clock)).peek(WANTED.slice(0, 1), stop.signal)
  const seen: EventMessage[] = []
  const looking = read(peek.events(), seen)
  await clock.advance(HOUR_MS)
  expect(seen.map(({ id }) => id)).toEqual(['cron:a.prod/@hourly@2026-01-01T03:00:00Z'])
  stop.abort()
  await looking
  await peek[Symbol.asyncDispose]()
  expect([clock.pending, new Map(state)]).toEqual([0, before])
  await using second = new SourceRig(connector, {}, { clock, state })
  await second.source.connect(signal)
  await second.source.subscribe(WANTED.slice(0, 1), signal)
  const caughtUp: string[] = []
  void (async () => {
    for await (const { message } of second.source.deliveries(signal)) caughtUp.push(message.id)
  })()
  await until(() => caughtUp.length === 3, 'the three missed fires are made up for')
})

test('a reader that takes its time is no overlap, and loses no fire', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const stop = new AbortController()
  await using peek = await (await toolsAt(clock)).peek(WANTED.slice(2), stop.signal)
  const events = peek.events()[Symbol.asyncIterator]()
  const first = events.next()
  await clock.advance(HOUR_MS)
  const ids = [await first, await events.next(), await events.next()].map(({ value }) => (value as EventMessage).id)
  expect(ids.map((id) => id.slice(-9, -1))).toEqual(['00:20:00', '00:40:00', '01:00:00'])
  stop.abort()
})

test('nothing can be published to a schedule', async () => {
  const tools = await toolsAt(new ManualClock())
  expect(Object.keys(tools)).toEqual(['peek'])
})
