import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { LeaseCandidate } from '../../src/kubernetes/lease-candidate.ts'
import type { LeaseRecord, LeaseTiming } from '../../src/kubernetes/lease-candidate.ts'
import { LeaseWorld } from './lease-world.ts'
import type { Fault } from './lease-world.ts'

const TIMING: LeaseTiming = { durationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 }

const lease = (holder: string, version: string, transitions = 0): LeaseRecord => ({ holder, version, transitions, durationMs: 15_000 }) // prettier-ignore

function candidate(): LeaseCandidate {
  return new LeaseCandidate('a', TIMING)
}

describe('a candidate', () => {
  test('looks first, and makes the Lease where there is none', () => {
    const one = candidate()
    expect(one.next(0)).toEqual({ kind: 'read' })
    one.saw(undefined, 5)
    const create = { holder: 'a', transitions: 0, acquires: true, version: undefined }
    expect(one.next(5)).toEqual({ kind: 'write', wish: create })
    one.wrote(lease('a', '1'), 5, 9)
    expect([one.isHeld(9), one.heldUntilMs, one.epoch]).toEqual([true, 10_005, 0])
  })

  test('counts from before its write was sent, and renews every retry period', () => {
    const one = candidate()
    one.saw(undefined, 0)
    one.wrote(lease('a', '1'), 1000, 3000)
    expect(one.next(2999)).toEqual({ kind: 'wait', ms: 1 })
    const renewal = { holder: 'a', transitions: 0, acquires: false, version: '1' }
    expect(one.next(3000)).toEqual({ kind: 'write', wish: renewal })
    expect([one.isHeld(10_999), one.isHeld(11_000)]).toEqual([true, false])
  })

  test('takes a foreign Lease only when it has seen no change of it for its whole duration', () => {
    const one = candidate()
    one.saw(lease('b', '1', 4), 100_000)
    expect(one.next(100_000)).toEqual({ kind: 'wait', ms: 2000 })
    expect(one.next(102_000)).toEqual({ kind: 'read' })
    one.saw(lease('b', '2', 4), 102_000)
    one.saw(lease('b', '2', 4), 116_999)
    expect(one.next(116_999)).toEqual({ kind: 'wait', ms: 1 })
    const take = { holder: 'a', transitions: 5, acquires: true, version: '2' }
    expect(one.next(117_000)).toEqual({ kind: 'write', wish: take })
  })

  test('takes one that was released at once', () => {
    const one = candidate()
    one.saw(lease('', '7', 4), 0)
    expect(one.next(0)).toEqual({ kind: 'write', wish: { holder: 'a', transitions: 5, acquires: true, version: '7' } })
  })

  test('holds nothing on the strength of a look: a take without an answer begins with a write that has one', () => {
    const one = candidate()
    one.saw(lease('', '7', 4), 0)
    one.lostTrack()
    expect(one.next(3000)).toEqual({ kind: 'read' })
    one.saw(lease('a', '8', 5), 3001)
    expect(one.isHeld(3001)).toBe(false)
    expect(one.next(3001)).toEqual({ kind: 'write', wish: { holder: 'a', transitions: 5, acquires: false, version: '8' } }) // prettier-ignore
    one.wrote(lease('a', '9', 5), 3001, 3002)
    expect([one.isHeld(3002), one.epoch]).toEqual([true, 5])
  })

  test('goes on holding when a renewal is in doubt, and stops the moment it sees somebody else', () => {
    const one = candidate()
    one.saw(undefined, 0)
    one.wrote(lease('a', '1'), 0, 1)
    one.lostTrack()
    expect(one.isHeld(9999)).toBe(true)
    one.saw(lease('b', '2', 1), 5000)
    expect(one.isHeld(5000)).toBe(false)
  })

  test('waits for the holder of a Lease that was deleted under it', () => {
    const one = candidate()
    one.saw(lease('b', '1', 4), 1000)
    one.saw(undefined, 3000)
    expect(one.next(3000)).toEqual({ kind: 'wait', ms: 2000 })
    one.saw(undefined, 15_999)
    expect(one.next(15_999)).toEqual({ kind: 'wait', ms: 1 })
    expect(one.next(16_000).kind).toBe('write')
  })

  test('goes above an epoch that something was written under', () => {
    const one = candidate()
    one.saw(undefined, 0)
    one.wrote(lease('a', '1', 0), 0, 1)
    one.giveUp(41)
    expect(one.isHeld(2)).toBe(false)
    expect(one.next(2)).toEqual({
      kind: 'write',
      wish: { holder: 'a', transitions: 42, acquires: false, version: '1' },
    })
  })

  test('has nothing to release when it holds nothing or does not know', () => {
    const one = candidate()
    expect(one.release()).toBeUndefined()
    one.saw(lease('b', '1', 4), 0)
    expect(one.release()).toBeUndefined()
    const other = candidate()
    other.saw(undefined, 0)
    other.wrote(lease('a', '1', 3), 0, 1)
    expect(other.release()).toEqual({ holder: '', transitions: 3, acquires: true, version: '1' })
    expect(other.isHeld(2)).toBe(false)
  })
})

describe('several candidates, whatever the network, their clocks and the scheduler do', () => {
  const RUN_MS = 300_000
  const CALM_MS = 120_000
  const fault = fc.record<Fault>({
    atMs: fc.integer({ min: 0, max: RUN_MS }),
    replica: fc.nat(2),
    kind: fc.constantFrom('pause', 'go-on', 'cut', 'join'),
  })
  const scenario = fc.record({
    seed: fc.nat(),
    // Of 15 s and 10 s: one clock may run half as fast again as another.
    rates: fc.array(fc.double({ min: 0.82, max: 1.22, noNaN: true }), { minLength: 3, maxLength: 3 }),
    offsets: fc.array(fc.integer({ min: 0, max: 10 ** 9 }), { minLength: 3, maxLength: 3 }),
    faults: fc.array(fault, { maxLength: 40 }),
    loss: fc.constantFrom(0, 0.1, 0.4),
  })

  function play(input: typeof scenario extends fc.Arbitrary<infer T> ? T : never, Kind = LeaseCandidate): LeaseWorld {
    const replicas = ['a', 'b', 'c'].map((name, index) => ({
      name,
      candidate: new Kind(name, TIMING),
      offsetMs: input.offsets[index] as number,
      rate: input.rates[index] as number,
    }))
    const calm = replicas.flatMap((_, replica): Fault[] => [{ atMs: RUN_MS, replica, kind: 'go-on' }, { atMs: RUN_MS, replica, kind: 'join' }]) // prettier-ignore
    const world = new LeaseWorld(replicas, randomOf(input.seed), input.loss)
    world.run(RUN_MS + CALM_MS, [...input.faults, ...calm])
    return world
  }

  test('never two hold the Lease at one time, and each holder has an epoch of its own, above the earlier ones', () => {
    let holders = 0
    fc.assert(
      fc.property(scenario, (input) => {
        const { violations, holdings } = play(input)
        expect(violations).toEqual([])
        const epochs = holdings.map(({ epoch }) => epoch)
        expect(epochs).toEqual([...new Set(epochs)].toSorted((one, other) => one - other))
        holders += holdings.length
      }),
      { numRuns: 600 },
    )
    // The scenarios are worth something: the Lease changes hands.
    expect(holders).toBeGreaterThan(1000)
  }, 120_000)

  test('somebody holds it when all is well again', () => {
    fc.assert(
      fc.property(scenario, (input) => {
        const { holdings } = play({ ...input, loss: 0 })
        expect(holdings.length).toBeGreaterThan(0)
      }),
      { numRuns: 100 },
    )
  }, 120_000)

  test.each([
    [
      'counts from the answer instead of from before the write',
      class extends LeaseCandidate {
        override wrote(record: LeaseRecord, _sentAtMs: number, nowMs: number): void {
          super.wrote(record, nowMs, nowMs)
        }
      },
    ],
    [
      'takes its name in the Lease for a renewal',
      class extends LeaseCandidate {
        override saw(record: LeaseRecord | undefined, nowMs: number): void {
          if (record !== undefined && this.holder === record.holder && this.isHeld(nowMs))
            super.wrote(record, nowMs, nowMs) // prettier-ignore
          else super.saw(record, nowMs)
        }
      },
    ],
    [
      'waits for less than the holder trusts in',
      class extends LeaseCandidate {
        override saw(record: LeaseRecord | undefined, nowMs: number): void {
          super.saw(record === undefined ? undefined : { ...record, durationMs: 7000 }, nowMs)
        }
      },
    ],
  ])(
    'one that %s is found out',
    (_, Kind) => {
      const verdict = fc.check(
        fc.property(scenario, (input) => play(input, Kind).violations.length === 0),
        { numRuns: 20_000, seed: 7, endOnFailure: true },
      )
      expect(verdict.failed).toBe(true)
    },
    120_000,
  )
})

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
