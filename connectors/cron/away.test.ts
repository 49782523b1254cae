// What `cron next --simulate-down` says is what the source does: both over the same schedules, absences and settings.

import fc from 'fast-check'
import { expect, test } from 'vitest'

import { simulateAbsence } from '../../src/cli/away.ts'
import type { AwaySettings, Fates } from '../../src/cli/away.ts'
import { ManualClock, instanceConfig, jitterOf, parseSchedule } from '../../src/sdk/index.ts'
import type { Delivery, ScheduleSubscription, Source } from '../../src/sdk/index.ts'
import connector from './connector.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Some hours before the clocks of Europe go forward, and back. */
const SPRING = Date.UTC(2026, 2, 28, 21)
const AUTUMN = Date.UTC(2026, 9, 24, 21)
const EXPRESSIONS = ['*/7 * * * *', '@hourly', '@every 90m', '*/30 * * * *', '15 1-3 * * *', 'CRON_TZ=Europe/London 30 1 * * *', 'CRON_TZ=Europe/Berlin 30 2 * * *', 'CRON_TZ=Europe/Berlin */20 * * * *', 'CRON_TZ=Australia/Lord_Howe 45 1 * * *', '0 0 30 2 *'] // prettier-ignore

/** `planned @ handed out`, with a mark on what is made up for; what a policy took away is behind it. */
interface Made {
  readonly handedOut: readonly string[]
  readonly overlapped: readonly number[]
  readonly replaced: readonly number[]
  readonly missed: number
}

/** A source with a function that takes its time, closed from `fromMs` to `untilMs`. */
class RealRun {
  readonly #handedOut: string[] = []
  readonly #skips: Record<string, number[]> = {}
  #missed = 0
  readonly #clock: ManualClock
  readonly #subscription: ScheduleSubscription
  readonly #settings: AwaySettings
  readonly #state = new Map<string, string>()

  constructor(clock: ManualClock, subscription: ScheduleSubscription, settings: AwaySettings) {
    this.#clock = clock
    this.#subscription = subscription
    this.#settings = settings
  }

  async made(fromMs: number, untilMs: number, endMs: number): Promise<Made> {
    await this.#running(fromMs - 1)
    await this.#clock.advance(untilMs - this.#clock.now())
    await this.#running(endMs)
    const skipped = (text: string): readonly number[] => this.#skips[text] ?? []
    return {
      handedOut: this.#handedOut,
      overlapped: skipped('the earlier fire is not settled yet and overlap is forbid'),
      replaced: skipped('a later fire replaces it').toSorted((one, other) => one - other),
      missed: this.#missed,
    }
  }

  async #running(untilMs: number): Promise<void> {
    const { signal } = new AbortController()
    const source = this.#source()
    await source.connect(signal)
    await source.subscribe([this.#subscription], signal)
    const reading = this.#read(source, signal)
    await this.#clock.advance(untilMs - this.#clock.now())
    await source.close()
    await reading
  }

  async #read(source: Source, signal: AbortSignal): Promise<void> {
    for await (const delivery of source.deliveries(signal)) {
      const { timestampMs, headers } = delivery.message
      this.#handedOut.push(
        `${timestampMs}@${this.#clock.now()}${headers['X-Cron-Caught-Up'] === 'true' ? ' made up' : ''}`,
      )
      await this.#invoke(delivery)
    }
  }

  async #invoke(delivery: Delivery): Promise<void> {
    const { takesMs } = this.#settings
    if (takesMs === 0) await delivery.settle({ kind: 'ack' })
    else this.#clock.after(takesMs, () => void delivery.settle({ kind: 'ack' }))
  }

  #source(): Source {
    const state = this.#state
    const quiet = (): void => undefined
    const { catchUpWindow, catchUpMax } = this.#settings
    return connector.create(instanceConfig(connector.manifest, { catchUpWindow: `${catchUpWindow}ms`, catchUpMax }), {
      instance: 'cron',
      clock: this.#clock,
      state: {
        get: (key) => Promise.resolve(state.get(key)),
        set: (key, value) => Promise.resolve(void state.set(key, value)),
        delete: (key) => Promise.resolve(void state.delete(key)),
        keys: () => Promise.resolve([...state.keys()]),
      },
      inbox: () => {
        throw new Error('a schedule has no use for an inbox')
      },
      unsettledMax: 10_000,
      log: { debug: quiet, info: (event, text) => this.#log(event, text), warn: quiet, error: quiet },
      counter: () => ({ add: (count, { reason } = {}) => void (this.#missed += reason === 'missed' ? count : 0) }),
      gauge: quiet,
    })
  }

  #log(event: string, text: string): void {
    const [, at, why] = / at (\S+): (.*)$/.exec(text) ?? []
    if (event === 'cron.skipped') (this.#skips[String(why)] ??= []).push(Date.parse(String(at)))
  }
}

function simulated(fates: Fates, endMs: number): Made {
  const all = [...fates].flatMap(([plannedMs, list]) => list.map((fate) => ({ plannedMs, fate })))
  const handedOut = all.flatMap(({ plannedMs, fate }) =>
    (fate.kind === 'on-time' || fate.kind === 'made-up') && fate.atMs <= endMs
      ? [{ plannedMs, atMs: fate.atMs, made: fate.kind === 'made-up' ? ' made up' : '' }]
      : [],
  )
  const skipped = (kind: 'overlap' | 'replaced'): readonly number[] =>
    all.flatMap(({ plannedMs, fate }) => (fate.kind === kind && fate.atMs <= endMs ? [plannedMs] : []))
  return {
    handedOut: handedOut
      .toSorted((one, other) => one.atMs - other.atMs || one.plannedMs - other.plannedMs)
      .map(({ plannedMs, atMs, made }) => `${plannedMs}@${atMs}${made}`),
    overlapped: skipped('overlap'),
    replaced: skipped('replaced'),
    missed: all.filter(({ fate }) => fate.kind === 'dropped').length,
  }
}

const scenario = fc.record({
  expression: fc.constantFrom(...EXPRESSIONS),
  startMs: fc.constantFrom(SPRING, AUTUMN),
  // Past whole minutes, so that nothing hangs on which of two things at one instant is first.
  afterMinutes: fc.integer({ min: 1, max: 400 }),
  awayMinutes: fc.integer({ min: 0, max: 500 }),
  catchUp: fc.constantFrom('none', 'last', 'all'),
  overlap: fc.constantFrom('allow', 'forbid', 'replace'),
  jitterMs: fc.constantFrom(0, 10 * MINUTE_MS),
  takesMs: fc.constantFrom(0, 4 * MINUTE_MS + 1, 25 * MINUTE_MS + 1, 100 * MINUTE_MS + 1),
  catchUpWindow: fc.constantFrom(HOUR_MS, 4 * HOUR_MS, 24 * HOUR_MS),
  catchUpMax: fc.constantFrom(1, 3, 100),
})

test('every fire is made, made up for, dropped, skipped or replaced when and where the simulation says so', async () => {
  const kinds = new Set<string>()
  await fc.assert(
    fc.asyncProperty(scenario, async ({ expression, startMs, afterMinutes, awayMinutes, ...rest }) => {
      const subscription: ScheduleSubscription = { kind: 'schedule', function: 'f.prod', expression, catchUp: rest.catchUp, overlap: rest.overlap, jitterMs: rest.jitterMs } // prettier-ignore
      const settings: AwaySettings = { ...rest, jitterMs: jitterOf(subscription) }
      // Counted in 1 ms steps, what is done never meets what is due.
      fc.pre(settings.jitterMs === 0 || settings.takesMs === 0 || settings.jitterMs % 1000 >= 200)
      const fromMs = startMs + afterMinutes * MINUTE_MS
      const untilMs = fromMs + awayMinutes * MINUTE_MS
      const endMs = untilMs + 3 * HOUR_MS
      const fates = simulateAbsence(parseSchedule(expression), { fromMs, untilMs }, settings, startMs, endMs)
      for (const list of fates.values()) for (const { kind } of list) kinds.add(kind)
      const real = await new RealRun(new ManualClock(startMs), subscription, settings).made(fromMs, untilMs, endMs)
      const expected = simulated(fates, endMs)
      expect(real.handedOut).toEqual(expected.handedOut)
      expect(real.overlapped).toEqual(expected.overlapped)
      expect(real.replaced).toEqual(expected.replaced)
      // With `none` the source does not know what it has missed; a fire that was begun before may be missed besides.
      const countsTheSame = settings.catchUp !== 'none' && settings.takesMs === 0
      expect(countsTheSame ? real.missed : expected.missed).toBe(expected.missed)
    }),
    { numRuns: 400 },
  )
  expect([...kinds].toSorted()).toEqual(['cut-off', 'dropped', 'made-up', 'on-time', 'overlap', 'replaced'])
})
