import { describe, expect, test } from 'vitest'

import { ManualClock, instanceConfig, jitterOf } from '../../src/sdk/index.ts'
import type { Delivery, FunctionResult, LogFields, ScheduleSubscription, Source, StateStore } from '../../src/sdk/index.ts' // prettier-ignore
import connector from './connector.ts'

const HOUR_MS = 3_600_000
const START = Date.UTC(2026, 0, 1)

class MemoryState implements StateStore {
  readonly values = new Map<string, string>()
  /** Makes the next writes fail. */
  broken = false
  get = (key: string): Promise<string | undefined> => Promise.resolve(this.values.get(key))
  keys = (): Promise<readonly string[]> => Promise.resolve([...this.values.keys()])
  delete = (key: string): Promise<void> => Promise.resolve(void this.values.delete(key))
  set = (key: string, value: string): Promise<void> => {
    if (this.broken) return Promise.reject(new Error('disk full'))
    this.values.set(key, value)
    return Promise.resolve()
  }
}

interface SetUp {
  readonly clock?: ManualClock
  readonly state?: MemoryState
  readonly unsettledMax?: number
  readonly config?: Readonly<Record<string, unknown>>
}

/** A source with a reader that keeps every delivery and settles none. */
class Running {
  readonly clock: ManualClock
  readonly state: MemoryState
  readonly source: Source
  readonly deliveries: Delivery[] = []
  readonly lines: string[] = []
  readonly counts: Record<string, number> = {}
  readonly abort = new AbortController()
  ended = false

  constructor({ clock = new ManualClock(START), state = new MemoryState(), unsettledMax = 50, config = {} }: SetUp) {
    this.clock = clock
    this.state = state
    const log = (level: string) => (event: string, text: string, _fields?: LogFields) => void this.lines.push(`${level} ${event} ${text}`) // prettier-ignore
    this.source = connector.create(instanceConfig(connector.manifest, config), {
      instance: 'cron',
      clock,
      state,
      inbox: () => {
        throw new Error('a schedule has no use for an inbox')
      },
      unsettledMax,
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      counter: (name) => ({
        add: (count, labels = {}) => {
          const key = [name, ...Object.values(labels)].join(' ')
          this.counts[key] = (this.counts[key] ?? 0) + count
        },
      }),
      gauge: () => undefined,
    })
  }

  async open(...wanted: readonly ScheduleSubscription[]): Promise<this> {
    await this.source.connect(this.abort.signal)
    await this.subscribe(...wanted)
    void this.#read()
    await this.clock.advance(0)
    return this
  }

  async subscribe(...wanted: readonly ScheduleSubscription[]): Promise<void> {
    await this.source.subscribe(wanted, this.abort.signal)
  }

  async settle(index: number, results?: readonly FunctionResult[]): Promise<string> {
    const result = await (this.deliveries[index] as Delivery).settle({ kind: 'ack' }, results)
    await this.clock.advance(0)
    return result
  }

  /** Settles everything as it is handed out. */
  autoSettle = false

  /** The planned times of all deliveries. */
  get times(): string[] {
    return this.deliveries.map(({ message }) => new Date(message.timestampMs).toISOString().slice(11, 19))
  }

  logged(start: string): string[] {
    return this.lines.filter((line) => line.startsWith(start))
  }

  async #read(): Promise<void> {
    for await (const delivery of this.source.deliveries(this.abort.signal)) {
      this.deliveries.push(delivery)
      if (this.autoSettle) await delivery.settle({ kind: 'ack' })
    }
    this.ended = true
  }
}

function schedule(expression: string, more: Partial<ScheduleSubscription> = {}): ScheduleSubscription {
  return { kind: 'schedule', function: 'env.prod', expression, overlap: 'allow', catchUp: 'none', jitterMs: 0, ...more }
}

const hourly = (more: Partial<ScheduleSubscription> = {}): ScheduleSubscription => schedule('@hourly', more)

describe('a fire', () => {
  test('is an event with the planned time, a deterministic id and the target, and no body', async () => {
    const running = await new Running({}).open(schedule('CRON_TZ=Europe/Berlin 0 9 * * *'))
    await running.clock.advance(8 * HOUR_MS - 1)
    expect(running.deliveries).toEqual([])
    await running.clock.advance(1)
    expect(running.deliveries.map(({ message }) => message)).toEqual([
      {
        id: 'cron:env.prod/CRON_TZ=Europe/Berlin 0 9 * * *@2026-01-01T08:00:00Z',
        source: 'cron',
        topic: 'cron-function',
        target: 'env.prod',
        body: new Uint8Array(0),
        headers: {
          'X-Cron-Schedule': 'CRON_TZ=Europe/Berlin 0 9 * * *',
          'X-Cron-Scheduled-At': '2026-01-01T08:00:00Z',
        },
        attempt: 1,
        timestampMs: START + 8 * HOUR_MS,
      },
    ])
    await running.source.close()
  })

  test('is logged with the lines of the OpenFaaS cron-connector', async () => {
    const running = await new Running({}).open(hourly())
    await running.clock.advance(2 * HOUR_MS)
    const result = { function: 'env.prod', headers: [], body: new Uint8Array(0), retries: 0, retriesMax: 0 }
    await running.settle(0, [{ ...result, status: 200, durationMs: 12.7 }])
    await running.settle(1, [{ ...result, status: 502, durationMs: 1254 }])
    await running.subscribe()
    expect(running.lines).toEqual([
      'info cron.added Added: env.prod [@hourly]',
      'info cron.invoking Invoking: env.prod [@hourly]',
      'info cron.invoking Invoking: env.prod [@hourly]',
      'info cron.response Response: env [200] (12ms)',
      'info cron.response Response: env [502] (1.25s)',
      'info cron.removed Removed: env.prod [@hourly]',
    ])
    expect(running.deliveries[0]?.responseBytesMax).toBeGreaterThan(0)
    await running.source.close()
  })

  test('is skipped in the spring gap and made once in the autumn hour that comes twice', async () => {
    const expression = 'CRON_TZ=Europe/London 30 1 * * *'
    const spring = await new Running({ clock: new ManualClock(Date.UTC(2026, 2, 28)) }).open(schedule(expression))
    await spring.clock.advance(72 * HOUR_MS)
    expect(spring.deliveries.map(({ message }) => message.headers['X-Cron-Scheduled-At'])).toEqual([
      '2026-03-28T01:30:00Z', '2026-03-30T00:30:00Z',
    ]) // prettier-ignore
    await spring.source.close()
    const autumn = await new Running({ clock: new ManualClock(Date.UTC(2026, 9, 24, 12)) }).open(schedule(expression))
    await autumn.clock.advance(24 * HOUR_MS)
    expect(autumn.times).toEqual(['00:30:00'])
    await autumn.source.close()
  })

  test('is delayed by a jitter that is stable per function and expression, and keeps its planned time', async () => {
    const jittered = hourly({ jitterMs: 60_000 })
    const amounts = new Set(Array.from({ length: 50 }, (_, index) => jitterOf({ ...jittered, function: `fn-${index}` }))) // prettier-ignore
    expect(amounts.size).toBeGreaterThan(40)
    for (const amount of amounts) expect(amount >= 0 && amount < 60_000).toBe(true)
    expect(jitterOf(jittered)).toBe(jitterOf(hourly({ jitterMs: 60_000, overlap: 'forbid' })))
    const running = await new Running({}).open(jittered)
    await running.clock.advance(HOUR_MS + jitterOf(jittered) - 1)
    expect(running.deliveries).toEqual([])
    await running.clock.advance(1)
    expect(running.times).toEqual(['01:00:00'])
    await running.source.close()
  })

  test('without a zone of its own goes by the configured one, and an unknown one is refused', async () => {
    const running = await new Running({ config: { zone: 'Asia/Tokyo' } }).open(schedule('0 12 * * *'))
    await running.clock.advance(3 * HOUR_MS)
    expect(running.times).toEqual(['03:00:00'])
    await running.source.close()
    expect(() => new Running({ config: { zone: 'Asia/Tokio' } })).toThrow('did you mean Asia/Tokyo?')
  })
})

describe('overlap', () => {
  test('allow makes every fire', async () => {
    const running = await new Running({}).open(hourly())
    await running.clock.advance(3 * HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:00:00', '03:00:00'])
    await running.source.close()
  })

  test('forbid skips while the earlier fire is unsettled, logs and counts it', async () => {
    const running = await new Running({}).open(hourly({ overlap: 'forbid' }))
    await running.clock.advance(3 * HOUR_MS)
    expect(running.times).toEqual(['01:00:00'])
    expect(running.counts).toEqual({ 'cron_skipped_total overlap': 2 })
    expect(running.logged('info cron.skipped')).toHaveLength(2)
    await running.settle(0)
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '04:00:00'])
    await running.source.close()
  })

  test('replace withdraws the earlier fire through its signal, then fires', async () => {
    const running = await new Running({ unsettledMax: 1 }).open(hourly({ overlap: 'replace' }))
    await running.clock.advance(2 * HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:00:00'])
    expect(running.deliveries.map(({ signal }) => signal?.aborted)).toEqual([true, false])
    expect(await running.settle(0)).toBe('stale')
    expect(await running.settle(1)).toBe('settled')
    expect(running.counts).toEqual({ 'cron_skipped_total replaced': 1 })
    await running.source.close()
  })

  test('of one schedule does not touch the other schedules of the function', async () => {
    const forbid = { overlap: 'forbid' } as const
    const running = await new Running({}).open(hourly(forbid), schedule('30 * * * *', forbid))
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['00:30:00', '01:00:00'])
    await running.source.close()
  })
})

describe('missed fires after a restart', () => {
  /** Runs from midnight with the fire of 01:00 settled, is away from 01:30 to 06:30, and runs again. */
  async function restarted(more: Partial<ScheduleSubscription>, config = {}): Promise<Running> {
    const first = await new Running({}).open(hourly(more))
    await first.clock.advance(1.5 * HOUR_MS)
    await first.settle(0)
    await first.source.close()
    await first.clock.advance(5 * HOUR_MS)
    return new Running({ clock: first.clock, state: first.state, config }).open(hourly(more))
  }

  test('none makes up for nothing and writes no state', async () => {
    const running = await restarted({ catchUp: 'none' })
    expect(running.deliveries).toEqual([])
    expect(running.state.values.size).toBe(0)
    await running.source.close()
  })

  test('last makes the latest one and reports the others', async () => {
    const running = await restarted({ catchUp: 'last' })
    expect(running.times).toEqual(['06:00:00'])
    expect(running.deliveries[0]?.message.headers['X-Cron-Caught-Up']).toBe('true')
    expect(running.counts).toEqual({ cron_caught_up_total: 1, 'cron_skipped_total missed': 4 })
    expect(running.logged('warn cron.missed')[0]).toContain('4 fires of env.prod [@hourly]')
    await running.source.close()
  })

  test('all makes every one in order, then goes on', async () => {
    const running = await restarted({ catchUp: 'all' })
    expect(running.times).toEqual(['02:00:00', '03:00:00', '04:00:00', '05:00:00', '06:00:00'])
    await running.clock.advance(HOUR_MS / 2)
    expect(running.times.at(-1)).toBe('07:00:00')
    expect(running.deliveries.at(-1)?.message.headers).not.toHaveProperty('X-Cron-Caught-Up')
    await running.source.close()
  })

  test('all is bounded by number, keeping the newest, and by age', async () => {
    const byNumber = await restarted({ catchUp: 'all' }, { catchUpMax: 2 })
    expect(byNumber.times).toEqual(['05:00:00', '06:00:00'])
    expect(byNumber.counts['cron_skipped_total missed']).toBe(3)
    await byNumber.source.close()
    const byAge = await restarted({ catchUp: 'all' }, { catchUpWindow: '3h' })
    expect(byAge.times).toEqual(['04:00:00', '05:00:00', '06:00:00'])
    await byAge.source.close()
  })

  test.each(['forbid', 'replace'] as const)(
    'with overlap %s, caught-up fires run one after another',
    async (overlap) => {
      const running = await restarted({ catchUp: 'all', overlap })
      expect(running.times).toEqual(['02:00:00'])
      await running.settle(0)
      expect(running.times).toEqual(['02:00:00', '03:00:00'])
      await running.settle(1)
      expect(running.times.at(-1)).toBe('04:00:00')
      await running.source.close()
    },
  )

  test('a fire that was handed out and not settled is made again with the same id', async () => {
    const first = await new Running({}).open(hourly({ catchUp: 'last' }))
    await first.clock.advance(HOUR_MS)
    await first.source.close()
    expect(await first.settle(0)).toBe('stale')
    const second = await new Running({ clock: first.clock, state: first.state }).open(hourly({ catchUp: 'last' }))
    expect(second.deliveries.map(({ message }) => message.id)).toEqual([first.deliveries[0]?.message.id])
    await second.settle(0)
    await second.source.close()
    const third = await new Running({ clock: first.clock, state: first.state }).open(hourly({ catchUp: 'last' }))
    expect(third.deliveries).toEqual([])
    await third.source.close()
  })

  test('a new schedule catches up on nothing, nor does one that was removed and added again', async () => {
    const running = await new Running({}).open(hourly({ catchUp: 'all' }))
    expect(running.deliveries).toEqual([])
    await running.subscribe()
    expect(running.state.values.size).toBe(0)
    await running.clock.advance(5 * HOUR_MS)
    await running.subscribe(hourly({ catchUp: 'all' }))
    await running.clock.advance(0)
    expect(running.deliveries).toEqual([])
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['06:00:00'])
    await running.source.close()
  })

  test('what cannot be written is not called settled, and is written with the next settlement', async () => {
    const running = await new Running({}).open(hourly({ catchUp: 'all' }))
    await running.clock.advance(2 * HOUR_MS)
    running.state.broken = true
    await expect(running.settle(0)).rejects.toThrow('disk full')
    running.state.broken = false
    await running.settle(1)
    await running.source.close()
    const next = await new Running({ clock: running.clock, state: running.state }).open(hourly({ catchUp: 'all' }))
    expect(next.deliveries).toEqual([])
    await next.source.close()
  })
})

describe('the wall clock', () => {
  test('jumping forward over fires, as after a sleep, follows the catch-up setting', async () => {
    const wanted = (['none', 'last', 'all'] as const).map((catchUp) => hourly({ catchUp, function: catchUp }))
    const running = await new Running({}).open(...wanted)
    running.clock.jump(4.5 * HOUR_MS)
    await running.clock.advance(15_000)
    const made = running.deliveries.map(({ message }) => `${message.target} ${message.headers['X-Cron-Scheduled-At']?.slice(11, 16)}`) // prettier-ignore
    expect(made.toSorted()).toEqual(['all 01:00', 'all 02:00', 'all 03:00', 'all 04:00', 'last 04:00'])
    expect(running.counts['cron_skipped_total missed']).toBe(4 + 3)
    await running.clock.advance(0.5 * HOUR_MS)
    expect(running.times.filter((time) => time === '05:00:00')).toHaveLength(3)
    await running.source.close()
  })

  test('a fire that is late by less than missedAfter is made, not missed', async () => {
    const running = await new Running({}).open(hourly())
    await running.clock.advance(HOUR_MS - 1000)
    running.clock.jump(31_000)
    await running.clock.advance(15_000)
    expect(running.times).toEqual(['01:00:00'])
    expect(running.counts).toEqual({})
    await running.source.close()
  })

  test('jumping back makes no fire a second time and is reported', async () => {
    const running = await new Running({}).open(hourly())
    await running.clock.advance(2 * HOUR_MS)
    running.clock.jump(-1.5 * HOUR_MS)
    await running.clock.advance(1.5 * HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:00:00'])
    expect(running.logged('warn cron.clock')).toHaveLength(1)
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:00:00', '03:00:00'])
    await running.source.close()
  })

  test('having been ahead at an earlier run keeps that run’s fires from being made again', async () => {
    const state = new MemoryState()
    state.values.set('settled env.prod/@hourly', String(START + 10 * HOUR_MS))
    const running = await new Running({ state }).open(hourly({ catchUp: 'all' }))
    expect(running.logged('warn cron.ahead')).toHaveLength(1)
    await running.clock.advance(11 * HOUR_MS)
    expect(running.times).toEqual(['11:00:00'])
    await running.source.close()
  })

  test('one timer serves all schedules and none is left after close', async () => {
    const wanted = Array.from({ length: 100 }, (_, index) => schedule(`${index % 60} * * * *`, { function: `fn-${index}` })) // prettier-ignore
    const running = await new Running({}).open(...wanted)
    expect(running.clock.pending).toBe(1)
    await running.clock.advance(HOUR_MS)
    expect(running.clock.pending).toBe(1)
    await running.source.close()
    expect(running.clock.pending).toBe(0)
  })
})

describe('bounds', () => {
  test('fires beyond unsettledMax wait for a slot, in order', async () => {
    const running = await new Running({ unsettledMax: 2 }).open(hourly())
    await running.clock.advance(4 * HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:00:00'])
    await running.settle(1)
    expect(running.times).toEqual(['01:00:00', '02:00:00', '03:00:00'])
    await running.source.close()
  })

  test('fires of a schedule beyond waitingMax are skipped, counted and reported, and others are not affected', async () => {
    const running = await new Running({ unsettledMax: 1, config: { waitingMax: 2 } }).open(
      hourly(),
      schedule('0 5 * * *'),
    )
    await running.clock.advance(5 * HOUR_MS)
    expect(running.counts).toEqual({ 'cron_skipped_total waiting': 2 })
    expect(running.logged('warn cron.skipped')).toHaveLength(2)
    for (let index = 0; index < 4; index++) await running.settle(index)
    expect(running.times).toEqual(['01:00:00', '02:00:00', '03:00:00', '05:00:00'])
    await running.source.close()
  })

  test('fires that are late find room beside those that are made up for', async () => {
    const running = await new Running({ unsettledMax: 1 }).open(schedule('@every 1s', { catchUp: 'all' }))
    running.clock.jump(130_000)
    await running.clock.advance(1000)
    for (let index = 0; index < 131; index++) await running.settle(index)
    expect(running.times).toHaveLength(131)
    expect(running.counts).toEqual({ cron_caught_up_total: 71, 'cron_skipped_total missed': 0 })
    await running.source.close()
  })

  test('10,000 schedules are all made, through a window of 64', async () => {
    const wanted = Array.from({ length: 10_000 }, (_, index) => schedule(`${index % 60} * * * *`, { function: `fn-${index}` })) // prettier-ignore
    const running = new Running({ unsettledMax: 64 })
    running.autoSettle = true
    await running.open(...wanted)
    await running.clock.advance(HOUR_MS)
    expect(new Set(running.deliveries.map(({ message }) => message.target)).size).toBe(10_000)
    expect(running.deliveries).toHaveLength(10_000)
    expect(running.counts).toEqual({})
    await running.source.close()
  })
})

describe('the wanted set', () => {
  test('can grow and shrink while running; what waits for a removed schedule is dropped', async () => {
    const running = await new Running({ unsettledMax: 1 }).open(hourly())
    await running.clock.advance(2 * HOUR_MS)
    await running.subscribe(schedule('30 * * * *'))
    expect(await running.settle(0)).toBe('settled')
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['01:00:00', '02:30:00'])
    expect(running.logged('info cron.added')).toHaveLength(2)
    expect(running.logged('info cron.removed')).toEqual(['info cron.removed Removed: env.prod [@hourly]'])
    await running.source.close()
  })

  test('a changed setting keeps what is running and neither adds nor removes', async () => {
    const running = await new Running({}).open(hourly())
    await running.clock.advance(HOUR_MS)
    await running.subscribe(hourly({ overlap: 'forbid', catchUp: 'all' }))
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['01:00:00'])
    expect(running.lines.filter((line) => /Added|Removed/.test(line))).toHaveLength(1)
    expect(running.state.values.get('settled env.prod/@hourly')).toBe(String(START + HOUR_MS))
    await running.subscribe(hourly({ overlap: 'forbid' }))
    expect(running.state.values.size).toBe(0)
    await running.source.close()
  })

  test('an invalid expression that got through is reported and stops nothing', async () => {
    const running = await new Running({}).open(schedule('61 * * * *'), hourly())
    expect(running.logged('error cron.invalid')[0]).toContain("can't add function: env.prod [61 * * * *]")
    await running.clock.advance(HOUR_MS)
    expect(running.times).toEqual(['01:00:00'])
    await running.source.close()
  })

  test('a schedule that never fires costs nothing', async () => {
    const running = await new Running({}).open(schedule('0 0 30 2 *'))
    await running.clock.advance(24 * HOUR_MS)
    expect(running.deliveries).toEqual([])
    await running.source.close()
  })
})

test('aborting ends the deliveries and the looking, and a new reader goes on with the schedules', async () => {
  const running = await new Running({}).open(hourly())
  running.abort.abort()
  await running.clock.advance(0)
  expect(running.ended).toBe(true)
  expect(running.clock.pending).toBe(0)
  const again = running.source.deliveries(new AbortController().signal)[Symbol.asyncIterator]()
  const next = again.next()
  await running.clock.advance(HOUR_MS)
  expect((await next).value?.message.timestampMs).toBe(START + HOUR_MS)
  await running.source.close()
})

test('a probe says when a schedule fires next and what is wrong with one that cannot', async () => {
  const { source } = new Running({})
  const report = await source.probe(['cron-function', '0 9 * * *', '0 25 * * *'], new AbortController().signal)
  expect(report.topics.map(({ ok }) => ok)).toEqual([true, true, false])
  expect(report.topics[1]?.detail).toBe('next at 2026-01-01T09:00:00.000Z')
  expect(report.topics[2]).toMatchObject({ code: 'HUB_SCHEDULE_INVALID', fix: expect.stringContaining('@every 30s') as string }) // prettier-ignore
  expect(report.topics[2]?.detail).toContain('must be from 0 to 23')
})
