import fc from 'fast-check'
import { expect, test } from 'vitest'

import type { Outcome } from '../../src/invoke/outcome.ts'
import { Rig, UNREACHABLE, answered, message, trigger } from './rig.ts'

const FUNCTIONS = ['a', 'b', 'c']

const outcome = fc.constantFrom<'ok' | 'fail' | 'reject' | 'away' | 'slow'>(
  'ok',
  'ok',
  'fail',
  'reject',
  'away',
  'slow',
)

const plan = fc.record({
  inFlightMax: fc.integer({ min: 1, max: 5 }),
  heldMax: fc.integer({ min: 0, max: 10 }),
  totalMax: fc.integer({ min: 1, max: 5 }),
  bytesMax: fc.integer({ min: 1, max: 200 }),
  concurrency: fc.integer({ min: 1, max: 3 }),
  retry: fc.constantFrom<'held' | 'immediate' | 'delayed'>('held', 'immediate', 'delayed'),
  drainAfterMs: fc.option(fc.integer({ min: 0, max: 8000 })),
  durable: fc.boolean(),
  outcomes: fc.array(outcome, { minLength: 1, maxLength: 20 }),
  events: fc.array(
    fc.record({
      functions: fc.subarray(FUNCTIONS),
      key: fc.option(fc.constantFrom('k', 'l')),
      bytes: fc.integer({ min: 0, max: 50 }),
      filtered: fc.boolean(),
      withdrawAfterMs: fc.option(fc.integer({ min: 0, max: 5000 }), { freq: 4 }),
    }),
    { maxLength: 30 },
  ),
})

test('whatever happens: books balance, each event is settled once, limits and order hold', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async (given) => {
      const { inFlightMax, heldMax, totalMax, concurrency, durable, retry, events } = given
      const rig = new Rig({
        inFlightMax,
        heldMax,
        totalMax,
        unsettledBytesMax: given.bytesMax,
        capabilities: { retry, reject: 'hub', durable },
      })
      const running = new Map<string, number>()
      const laneOf = new Map<string, number>()
      let runningMax = 0
      let step = 0
      let closed = false
      const problems: string[] = []
      // A gate that closes stays so until its probe answers; here nobody listens there, so an outage is a pause instead.
      rig.gate.close()
      const { invoker } = rig
      const invoke = invoker.invoke.bind(invoker)
      invoker.invoke = async (invocation): Promise<Outcome> => {
        const { function: name, message: event } = invocation
        const now = (running.get(name) ?? 0) + 1
        running.set(name, now)
        const total = [...running.values()].reduce((sum, one) => sum + one, 0)
        runningMax = Math.max(runningMax, total)
        if (now > concurrency) problems.push(`${name} runs ${now} times`)
        if (event.orderingKey !== undefined) {
          const lane = `${name} ${event.orderingKey}`
          const index = Number(event.id)
          if (index < (laneOf.get(lane) ?? -1)) problems.push(`${event.id} after ${laneOf.get(lane)} in ${lane}`)
          laneOf.set(lane, index)
        }
        const result = await invoke(invocation)
        running.set(name, (running.get(name) ?? 0) - 1)
        return result
      }
      invoker.script = () => {
        const kind = given.outcomes[step++ % given.outcomes.length]
        if (kind === 'slow') return undefined
        if (kind === 'away' && step < 100) return UNREACHABLE
        return answered(kind === 'fail' ? 500 : kind === 'reject' ? 400 : 200)
      }
      rig.triggers = (event) => {
        const own = events[Number(event.id)]
        const filter = { expression: 'no', test: () => ({ kind: 'fail' }) as const }
        return (own?.functions ?? []).map((name, index) =>
          trigger(name, { concurrency, ...(own?.filtered === true && index === 0 ? { filter } : {}) }),
        )
      }
      const run = rig.run()
      for (const [index, { key, bytes, withdrawAfterMs }] of events.entries()) {
        const cancel = new AbortController()
        rig.push(
          message(`${index}`, { body: new Uint8Array(bytes), ...(key === null ? {} : { orderingKey: key }) }),
          withdrawAfterMs === null ? {} : { signal: cancel.signal },
        )
        if (withdrawAfterMs !== null) rig.clock.after(withdrawAfterMs, () => cancel.abort())
      }
      const finishSlow = (): void => {
        for (const end of invoker.open.values()) end(answered(200))
      }
      if (given.drainAfterMs === null) {
        for (
          let round = 0;
          round < 400 && (rig.ledger.counts.received < events.length || rig.dispatcher.unsettled > 0);
          round++
        ) {
          await rig.clock.advance(500)
          finishSlow()
          if (rig.dispatcher.unsettled > inFlightMax + heldMax) problems.push('too many unsettled')
        }
        await rig.clock.advance(6000)
        if (rig.ledger.counts.received !== events.length) problems.push('not everything was pulled')
      } else {
        await rig.clock.advance(given.drainAfterMs)
        void rig.dispatcher.drain(1000).then(() => (closed = true))
        rig.stop.abort()
        rig.source.end()
        await rig.clock.advance(6000)
        if (!closed) problems.push('the drain did not end')
      }
      rig.stop.abort()
      rig.source.end()
      await run
      expect(problems).toEqual([])
      expect(runningMax).toBeLessThanOrEqual(Math.min(totalMax, inFlightMax))
      expect(rig.ledger.imbalance).toBe(0)
      expect(rig.ledger.counts.inFlight).toBe(0)
      expect(rig.limits.total.used).toBe(0)
      for (const { inFlight } of rig.limits.functions()) expect(inFlight).toBe(0)
      expect(rig.clock.pending).toBe(0)
      const ids = rig.settled.map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      const { acked, filtered, unmatched, deadLettered, returned, received } = rig.ledger.counts
      expect(acked + filtered + unmatched + deadLettered + returned).toBe(received)
      expect(ids.length).toBeGreaterThanOrEqual(acked + filtered + unmatched + deadLettered)
    }),
    { numRuns: 150 },
  )
})
