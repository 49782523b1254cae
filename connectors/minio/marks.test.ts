// How far is known: what a catch-up begins with after a restart, whatever was settled in which order.

import { expect, test } from 'vitest'

import { ManualClock, readS3Document } from '../../src/sdk/index.ts'
import { MemoryState } from '../../test/source-rig.ts'
import { Mark, Marks, changeOf } from './marks.ts'

const BUCKET = 'photos'
const change = (key: string, changedMs: number) => ({ key, versionId: undefined, changedMs })

interface Rig {
  readonly marks: Marks
  readonly clock: ManualClock
}

function rig(state: MemoryState): Rig {
  const clock = new ManualClock()
  return { clock, marks: new Marks(state.store, clock, (error) => expect.fail(String(error))) }
}

test('it begins where the bucket was first listened to, and that is no gap', async () => {
  const state = new MemoryState()
  const { marks } = rig(state)
  expect(await marks.open(BUCKET, 1000)).toBeUndefined()
  await marks.close()
  expect(await rig(state).marks.open(BUCKET, 5000)).toBe(1000)
})

test('that is written down at once, for whoever follows one that is killed', async () => {
  const state = new MemoryState()
  expect(await rig(state).marks.open(BUCKET, 1000)).toBeUndefined()
  expect(await rig(state).marks.open(BUCKET, 5000)).toBe(1000)
})

test('it moves over what is settled, and never over what is not', async () => {
  const state = new MemoryState()
  const { marks, clock } = rig(state)
  await marks.open(BUCKET, 1000)
  for (const one of [change('a', 2000), change('b', 3000), change('c', 4000)])
    expect(marks.take(BUCKET, one)).toBe(true)
  marks.settled(BUCKET, change('a', 2000))
  marks.settled(BUCKET, change('c', 4000))
  await clock.advance(1000)
  const next = rig(state).marks
  expect(await next.open(BUCKET, 9000)).toBe(2000)
  // Settled ones are not brought again, the open one is.
  expect(next.take(BUCKET, change('a', 2000))).toBe(false)
  expect(next.take(BUCKET, change('b', 3000))).toBe(true)
  expect(next.take(BUCKET, change('c', 4000))).toBe(false)
})

test('it stays where it is while a catch-up goes on, and when that has failed', async () => {
  const state = new MemoryState()
  const first = rig(state).marks
  await first.open(BUCKET, 1000)
  await first.close()
  const { marks } = rig(state)
  expect(await marks.open(BUCKET, 9000)).toBe(1000)
  marks.take(BUCKET, change('live', 9500))
  marks.settled(BUCKET, change('live', 9500))
  await marks.close()
  const third = rig(state).marks
  expect(await third.open(BUCKET, 10_000)).toBe(1000)
  third.complete(BUCKET)
  third.take(BUCKET, change('later', 9900))
  third.settled(BUCKET, change('later', 9900))
  await third.close()
  expect(await rig(state).marks.open(BUCKET, 11_000)).toBe(9900)
})

test('a record and a listing tell of the same change alike', () => {
  const document = (object: object, eventName = 's3:ObjectCreated:Put'): string => JSON.stringify({ Records: [{ eventName, s3: { bucket: { name: BUCKET }, object: { key: 'a', ...object } } }] }) // prettier-ignore
  const changed = (text: string): unknown => {
    const read = readS3Document(text, 'plain')
    return read.kind === 'records' && read.records[0] !== undefined ? changeOf(read.records[0]) : 'no record'
  }
  // 2026-01-05T10:00:00.123456789Z in nanoseconds, as MinIO writes it.
  const sequencer = (BigInt(Date.UTC(2026, 0, 5, 10)) * 1_000_000n + 123_456_789n).toString(16).toUpperCase()
  const changedMs = Date.UTC(2026, 0, 5, 10) + 123
  expect(changed(document({ sequencer }))).toEqual({ key: 'a', versionId: undefined, changedMs })
  expect(changed(document({ sequencer, versionId: 'null' }))).toEqual({ key: 'a', versionId: undefined, changedMs })
  expect(changed(document({ sequencer, versionId: 'v1' }))).toEqual({ key: 'a', versionId: 'v1', changedMs })
  expect(changed(document({ sequencer }, 's3:ObjectRemoved:Delete'))).toBeUndefined()
  expect(changed(document({ sequencer }, 's3:ObjectCreated:PutTagging'))).toBeUndefined()
  expect(changed(document({ sequencer: 'not hexadecimal' }))).toBeUndefined()
})

test('nothing is left behind by a close', async () => {
  const { marks, clock } = rig(new MemoryState())
  await marks.open(BUCKET, 1000)
  marks.settled(BUCKET, change('a', 2000))
  expect(clock.pending).toBe(1)
  await marks.close()
  expect(clock.pending).toBe(0)
})

test('what is remembered has a bound, however long there is a gap or something is open', () => {
  for (const [hasGap, openMs] of [
    [true, undefined],
    [false, 1500],
  ] as const) {
    const mark = new Mark({ markMs: 1000, seen: [] })
    mark.hasGap = hasGap
    if (openMs !== undefined) mark.unsettled.set('open', openMs)
    for (let index = 0; index < 20_000; index++) mark.settle(String(index), 2000 + index)
    expect([mark.settled.size, mark.advance().markMs]).toEqual([10_000, 1000])
    mark.hasGap = false
    mark.settle('open', openMs ?? 1500)
    expect(mark.advance().markMs).toBe(21_999)
  }
})
