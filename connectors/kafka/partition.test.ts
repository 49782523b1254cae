import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { Partition } from './partition.ts'
import type { Fetched, Handed } from './partition.ts'
import { decodeProgress } from './progress.ts'

const AHEAD_MAX = 100

function records(from: number, count: number): readonly Fetched[] {
  return Array.from({ length: count }, (_, index) => ({ offset: BigInt(from + index), timestampMs: 1000 + from + index, key: null, value: null, headers: [] })) // prettier-ignore
}

function filled(count: number, { from = 0, metadata = '', aheadMax = AHEAD_MAX } = {}): Partition {
  const partition = new Partition('t', 0, BigInt(from), metadata, aheadMax)
  partition.accept(records(from, count), BigInt(from + count))
  return partition
}

function handOutAll(partition: Partition): Handed[] {
  const all: Handed[] = []
  for (let next = partition.handOut(); next !== undefined; next = partition.handOut()) all.push(next.handed)
  return all
}

/** Of the offsets that were not settled when this was committed. */
function restart(
  { offset, metadata }: { readonly offset: bigint; readonly metadata: string },
  end: number,
): readonly number[] {
  // prettier-ignore
  const next = new Partition('t', 0, offset, metadata, 10_000)
  next.accept(records(Number(offset), end - Number(offset)), BigInt(end))
  return handOutAll(next).map((handed) => Number(handed.offset))
}

describe('a partition', () => {
  test('commits behind the last of a contiguous run, and says what is settled beyond', async () => {
    const partition = filled(5)
    const handed = handOutAll(partition)
    const settling = [4, 1, 0].map((index) => partition.settle(handed[index] as Handed))
    const commit = partition.commit()
    expect([commit.offset, decodeProgress(commit.metadata).settled]).toEqual([2n, [2]])
    expect(partition.outstanding).toBe(5)
    partition.confirmed(commit)
    expect(await Promise.all(settling)).toEqual(['settled', 'settled', 'settled'])
    expect(partition.outstanding).toBe(2)
  })

  test('commits over gaps and markers once nothing is open', () => {
    const partition = new Partition('t', 0, 10n, null, AHEAD_MAX)
    partition.accept(records(12, 1), 20n)
    expect(partition.commit().offset).toBe(12n)
    const [handed] = handOutAll(partition)
    expect(partition.commit().offset).toBe(12n)
    void partition.settle(handed as Handed)
    expect(partition.commit().offset).toBe(20n)
  })

  test('takes more records at once than a call takes arguments', () => {
    const partition = filled(300_000, { aheadMax: 1 })
    expect([partition.waiting, partition.position]).toEqual([300_000, 300_000n])
  })

  test('a commit that failed is carried by the next one', async () => {
    const partition = filled(2)
    const handed = handOutAll(partition)
    const settling = partition.settle(handed[0] as Handed)
    partition.failed(partition.commit())
    const again = partition.commit()
    expect(again.carries).toEqual([handed[0]])
    partition.confirmed(again)
    expect(await settling).toBe('settled')
  })

  test('pauses when its oldest unsettled record is too far behind, and goes on when it settles', () => {
    const partition = filled(10, { aheadMax: 4 })
    const handed = handOutAll(partition)
    expect([handed.length, partition.paused]).toEqual([4, true])
    void partition.settle(handed[1] as Handed)
    expect(partition.paused).toBe(true)
    void partition.settle(handed[0] as Handed)
    expect([partition.paused, handOutAll(partition).length]).toEqual([false, 2])
  })

  test('goes on behind records that are gone from the log, and keeps those that were fetched before', () => {
    const partition = filled(3)
    const [first] = handOutAll(partition)
    partition.accept(records(3, 2), 5n)
    partition.moveTo(50n)
    partition.accept(records(50, 1), 51n)
    expect(partition.commit().offset).toBe(first?.offset)
    expect(handOutAll(partition).map(({ offset }) => offset)).toEqual([3n, 4n, 50n])
  })

  test('tries of unsettled records are handed on, and are there at the next start', () => {
    const partition = filled(3)
    const handed = handOutAll(partition)
    ;(handed[1] as Handed).tries = 7
    void partition.settle(handed[0] as Handed)
    const { offset, metadata } = partition.commit()
    const next = new Partition('t', 0, offset, metadata, AHEAD_MAX)
    // Kept even if it restarts again before it came to the record.
    expect(decodeProgress(next.commit().metadata).tries).toEqual(new Map([[0, 7]]))
    next.accept(records(1, 2), 3n)
    expect(next.handOut()?.handed.tries).toBe(7)
  })

  test('taken away: what is out is withdrawn, and nothing of it can be settled', async () => {
    const partition = filled(3)
    const handed = handOutAll(partition)
    const withdrawn: bigint[] = []
    for (const one of handed) one.withdraw = () => withdrawn.push(one.offset)
    const pending = partition.settle(handed[0] as Handed)
    const flying = partition.commit()
    const unsent = partition.settle(handed[1] as Handed)
    partition.takeAway()
    partition.failed(flying)
    expect(withdrawn).toEqual([2n])
    expect(await Promise.all([pending, unsent, partition.settle(handed[2] as Handed)])).toEqual([
      'stale',
      'stale',
      'stale',
    ])
    await partition.quiet()
    expect(partition.handOut()).toBeUndefined()
  })

  test('is quiet when everything that was handed out is confirmed', async () => {
    const partition = filled(2)
    const [first, second] = handOutAll(partition) as [Handed, Handed]
    let quiet = false
    const waiting = partition.quiet().then(() => (quiet = true))
    void partition.settle(first)
    partition.confirmed(partition.commit())
    void partition.settle(second)
    await Promise.resolve()
    expect(quiet).toBe(false)
    partition.confirmed(partition.commit())
    await waiting
  })

  test('after any commit a restart gives out exactly what was not settled, however often it restarts', () => {
    const order = fc.shuffledSubarray(Array.from({ length: 40 }, (_, index) => index))
    fc.assert(
      fc.property(fc.array(order, { minLength: 1, maxLength: 4 }), (rounds) => {
        let from = { offset: 0n, metadata: '' }
        const settled = new Set<number>()
        for (const round of rounds) {
          const partition = new Partition('t', 0, from.offset, from.metadata, 10_000)
          partition.accept(records(Number(from.offset), 40 - Number(from.offset)), 40n)
          const handed = new Map(handOutAll(partition).map((one) => [Number(one.offset), one]))
          expect([...handed.keys()]).toEqual(Array.from({ length: 40 }, (_, index) => index).filter((index) => !settled.has(index))) // prettier-ignore
          for (const index of round) {
            const one = handed.get(index)
            if (one === undefined) continue
            void partition.settle(one)
            settled.add(index)
          }
          from = partition.commit()
        }
        expect(restart(from, 40)).toEqual(Array.from({ length: 40 }, (_, index) => index).filter((index) => !settled.has(index))) // prettier-ignore
      }),
      { numRuns: 200 },
    )
  })
})
