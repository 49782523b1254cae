// Replicas of the cron connector over simulated time: schedules of a second for minutes, under any faults at any moments.

import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { ScheduleSubscription } from '../../src/sdk/index.ts'
import { TurnsWorld } from './turns-world.ts'
import type { Made, WorldFault } from './turns-world.ts'

const EVERY_SECOND: ScheduleSubscription = { kind: 'schedule', function: 'once.prod', expression: '@every 1s', overlap: 'allow', catchUp: 'none', jitterMs: 0 } // prettier-ignore
const SCHEDULES = [EVERY_SECOND, { ...EVERY_SECOND, function: 'always.prod', catchUp: 'all' } as const]
const RUN_MS = 240_000
const KINDS: readonly WorldFault[] = ['pause', 'go-on', 'kill', 'stop', 'cut', 'join', 'lose-answers', 'delay', 'deliver-late'] // prettier-ignore

const scenario = fc.record({
  // Wall clocks that are seconds apart: nobody's fires may be made twice for that.
  offsets: fc.array(fc.integer({ min: -4000, max: 4000 }), { minLength: 3, maxLength: 3 }),
  faults: fc.array(fc.record({ afterMs: fc.integer({ min: 100, max: 25_000 }), kind: fc.constantFrom(...KINDS), replica: fc.nat(2) }), { minLength: 5, maxLength: 25 }), // prettier-ignore
})

async function play({ offsets, faults }: typeof scenario extends fc.Arbitrary<infer T> ? T : never): Promise<{
  readonly made: readonly Made[]
  readonly untilMs: number
}> {
  const world = new TurnsWorld(SCHEDULES, offsets)
  let leftMs = RUN_MS
  for (const { afterMs, kind, replica } of faults) {
    await world.run(Math.min(afterMs, leftMs))
    leftMs -= Math.min(afterMs, leftMs)
    world.strike(kind, replica)
  }
  await world.run(leftMs)
  world.calm()
  // Whatever was delayed, a take-over and all that was late.
  await world.run(60_000)
  const untilMs = world.clock.now() - 10_000
  await world.end()
  return { made: world.made, untilMs }
}

test('make every planned fire with catch-up all, at most once with none, and each in one turn at a time', async () => {
  let turns = 0
  let repeats = 0
  await fc.assert(
    fc.asyncProperty(scenario, async (input) => {
      const { made, untilMs } = await play(input)
      const of = (name: string): readonly Made[] => made.filter((one) => one.function === name)

      // Tried again in one turn it is the same one.
      const once = Map.groupBy(of('once.prod'), ({ plannedMs }) => plannedMs)
      for (const tries of once.values()) expect(new Set(tries.map(({ epoch }) => epoch)).size).toBe(1)

      const always = Map.groupBy(of('always.prod'), ({ plannedMs }) => plannedMs)
      const firstMs = Math.min(...always.keys())
      const missing: number[] = []
      for (let atMs = firstMs; atMs <= untilMs; atMs += 1000) if (!always.has(atMs)) missing.push((atMs - firstMs) / 1000) // prettier-ignore
      expect(missing).toEqual([])
      for (const fires of always.values()) {
        const [first, ...again] = Map.groupBy(fires, ({ epoch }) => epoch).values()
        expect(again.flat().every(({ caughtUp }) => caughtUp)).toBe(true)
        expect(first).toBeDefined()
        repeats += again.length
      }

      // Nobody begins anything once somebody else has begun something in a later turn.
      const epochs = made.map(({ epoch }) => epoch)
      expect(epochs).toEqual(epochs.toSorted((one, other) => one - other))
      const holders = Map.groupBy(made, ({ epoch }) => epoch)
      for (const fires of holders.values()) expect(new Set(fires.map(({ replica }) => replica)).size).toBe(1)
      turns += holders.size
    }),
    { numRuns: 25 },
  )
  // The scenarios are worth something.
  expect(turns).toBeGreaterThan(30)
  expect(repeats).toBeGreaterThan(0)
}, 240_000)
