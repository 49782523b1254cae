// Schedules on replicas that take turns: what is made by whom, and what a take-over does with fires that were begun or missed.

import { describe, expect, test } from 'vitest'

import { HubError, ManualClock, instanceConfig } from '../../src/sdk/index.ts'
import type { Delivery, ScheduleSubscription, Source, StateStore, Term } from '../../src/sdk/index.ts'
import connector from './connector.ts'

const HOUR_MS = 3_600_000
const START = Date.UTC(2026, 0, 1)

/** State that goes with the turn: whoever reads in a later one shuts out the earlier ones. */
class SharedState {
  readonly values = new Map<string, string>()
  #sealed = -1
  /** Writes that wait, where the test holds them. */
  held: (() => void)[] | undefined

  of(epoch: () => number): StateStore {
    const check = (): void => {
      if (epoch() < this.#sealed) throw new HubError('HUB_LEASE_LOST', `epoch ${this.#sealed} has begun`)
    }
    const read = <T>(value: () => T): Promise<T> => {
      this.#sealed = Math.max(this.#sealed, epoch())
      return Promise.resolve(value())
    }
    const write = async (apply: () => void): Promise<void> => {
      const { held } = this
      if (held !== undefined) await new Promise<void>((resolve) => held.push(resolve))
      check()
      apply()
    }
    return {
      get: (key) => read(() => this.values.get(key)),
      keys: () => read(() => [...this.values.keys()]),
      set: (key, value) => write(() => void this.values.set(key, value)),
      delete: (key) => write(() => void this.values.delete(key)),
    }
  }

  release(): void {
    const held = this.held ?? []
    this.held = undefined
    for (const go of held) go()
  }
}

/** Deliveries are kept, and settled when the test says so. */
class Replica {
  readonly clock: ManualClock
  readonly source: Source
  readonly deliveries: Delivery[] = []
  readonly counts: Record<string, number> = {}
  readonly leadership: { term: Term | undefined } = { term: undefined }
  error: unknown
  hasEnded = false
  #epoch = -1
  #abort = new AbortController()

  constructor(clock: ManualClock, state: SharedState, unsettledMax = 50) {
    this.clock = clock
    const quiet = (): void => undefined
    this.source = connector.create(instanceConfig(connector.manifest, {}), {
      instance: 'cron',
      clock,
      state: state.of(() => this.#epoch),
      leadership: this.leadership,
      inbox: () => {
        throw new Error('a schedule has no use for an inbox')
      },
      unsettledMax,
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      counter: (name) => ({
        add: (count, labels = {}) => {
          const key = [name, ...Object.values(labels)].join(' ')
          this.counts[key] = (this.counts[key] ?? 0) + count
        },
      }),
      gauge: quiet,
    })
  }

  /** As the supervisor does it with a turn. */
  async begin(epoch: number, ...wanted: readonly ScheduleSubscription[]): Promise<this> {
    const abort = (this.#abort = new AbortController())
    this.#epoch = epoch
    this.leadership.term = { epoch, signal: abort.signal, held: () => !abort.signal.aborted }
    this.hasEnded = false
    await this.source.connect(abort.signal)
    await this.source.subscribe(wanted, abort.signal)
    void this.#read(abort.signal)
    await this.clock.advance(0)
    return this
  }

  async end(): Promise<void> {
    this.leadership.term = undefined
    this.#abort.abort(new HubError('HUB_LEASE_LOST', 'over'))
    await this.clock.advance(0)
  }

  /** Finds out by asking, as after a pause. */
  freeze(): void {
    const abort = this.#abort
    const { term } = this.leadership
    if (term === undefined) return
    this.leadership.term = { ...term, held: () => askTooLate(abort) }
  }

  get made(): readonly string[] {
    return this.deliveries.map(({ message: { timestampMs, headers } }) => `${new Date(timestampMs).toISOString().slice(11, 19)}${headers['X-Cron-Caught-Up'] === 'true' ? ' again' : ''} in ${headers['X-Cron-Epoch']}`) // prettier-ignore
  }

  async settle(index: number): Promise<string> {
    const result = await this.deliveries[index]?.settle({ kind: 'ack' })
    await this.clock.advance(0)
    return String(result)
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      for await (const delivery of this.source.deliveries(signal)) this.deliveries.push(delivery)
    } catch (error) {
      this.error = error
    }
    this.hasEnded = true
  }
}

const hourly = (more: Partial<ScheduleSubscription> = {}): ScheduleSubscription => ({ kind: 'schedule', function: 'env.prod', expression: '@hourly', overlap: 'allow', catchUp: 'none', jitterMs: 0, ...more }) // prettier-ignore
const KEY = 'fires env.prod/@hourly'

function world(): { readonly clock: ManualClock; readonly state: SharedState } {
  return { clock: new ManualClock(START), state: new SharedState() }
}

describe('a fire', () => {
  test('is claimed before it is handed out, and says whose turn it is', async () => {
    const { clock, state } = world()
    const replica = await new Replica(clock, state).begin(7, hourly())
    expect(state.values.get(KEY)).toBe('2026-01-01T00:00:00Z')
    state.held = []
    await clock.advance(HOUR_MS)
    expect([replica.made, state.held.length]).toEqual([[], 1])
    state.release()
    await clock.advance(0)
    expect([replica.made, state.values.get(KEY)]).toEqual([['01:00:00 in 7'], '2026-01-01T01:00:00Z'])
    // Equal in every turn: whoever remembers ids recognises a fire that is made again.
    expect(replica.deliveries[0]?.message.id).toBe('cron:env.prod/@hourly@2026-01-01T01:00:00Z')
    await replica.source.close()
  })

  test('of many schedules is claimed with the others that there is room for', async () => {
    const { clock, state } = world()
    const wanted = Array.from({ length: 5 }, (_, index) => hourly({ function: `fn-${index}.prod` }))
    const replica = await new Replica(clock, state, 3).begin(0, ...wanted)
    await clock.advance(HOUR_MS)
    const claimed = (): number => [...state.values.values()].filter((text) => text.startsWith('2026-01-01T01')).length
    expect([replica.made.length, claimed()]).toEqual([3, 3])
    await replica.settle(0)
    expect([replica.made.length, claimed()]).toEqual([4, 4])
    await replica.source.close()
  })

  test('that was claimed too late is not handed out, and the reader is told', async () => {
    const { clock, state } = world()
    const first = await new Replica(clock, state).begin(0, hourly())
    const second = await new Replica(clock, state).begin(1, hourly())
    await clock.advance(HOUR_MS)
    expect([first.made, first.error]).toEqual([[], expect.objectContaining({ code: 'HUB_LEASE_LOST' })])
    expect(second.made).toEqual(['01:00:00 in 1'])
    await Promise.all([first.source.close(), second.source.close()])
  })

  test('is not asked for when the turn is found to be over, and the reader ends', async () => {
    const { clock, state } = world()
    const replica = await new Replica(clock, state).begin(0, hourly())
    replica.freeze()
    await clock.advance(HOUR_MS)
    expect([replica.made, replica.hasEnded, replica.error]).toEqual([[], true, undefined])
    await replica.source.close()
    expect(clock.pending).toBe(0)
  })
})

describe('when the turn is over', () => {
  test('what was handed out may not be invoked any more, and is handed out again if nobody else had one', async () => {
    const { clock, state } = world()
    const replica = await new Replica(clock, state).begin(0, hourly())
    await clock.advance(HOUR_MS)
    expect(replica.deliveries[0]?.mayInvoke?.()).toBe(true)
    await replica.end()
    expect(replica.deliveries[0]?.mayInvoke?.()).toBe(false)
    await replica.begin(0, hourly())
    expect(replica.made).toEqual(['01:00:00 in 0', '01:00:00 in 0'])
    expect(replica.deliveries[1]?.mayInvoke?.()).toBe(true)
    expect(await replica.settle(1)).toBe('settled')
    await replica.source.close()
  })

  test('and somebody else had one, it is theirs: neither invoked nor settled here', async () => {
    const { clock, state } = world()
    const all = hourly({ catchUp: 'all' })
    const first = await new Replica(clock, state).begin(0, all)
    await clock.advance(HOUR_MS)
    await first.end()
    const second = await new Replica(clock, state).begin(1, all)
    expect(second.made).toEqual(['01:00:00 again in 1'])
    await second.settle(0)
    await second.end()
    await first.begin(2, all)
    expect([first.made, first.deliveries[0]?.mayInvoke?.()]).toEqual([['01:00:00 in 0'], false])
    expect(await first.settle(0)).toBe('stale')
    await Promise.all([first.source.close(), second.source.close()])
  })

  test('what runs goes on, and its settlement is kept as long as nobody else has one', async () => {
    const { clock, state } = world()
    const all = hourly({ catchUp: 'all' })
    const first = await new Replica(clock, state).begin(0, all)
    await clock.advance(HOUR_MS)
    expect(state.values.get(KEY)).toBe('2026-01-01T01:00:00Z 2026-01-01T01:00:00Z')
    await first.end()
    expect(await first.settle(0)).toBe('settled')
    const second = await new Replica(clock, state).begin(1, all)
    expect(second.made).toEqual([])
    await Promise.all([first.source.close(), second.source.close()])
  })
})

describe('a take-over', () => {
  /** The first replica has the fire of 01:00 out, and its turn ends so long after that. */
  async function after(more: Partial<ScheduleSubscription>, ms: number): Promise<Replica> {
    const { clock, state } = world()
    const first = await new Replica(clock, state).begin(0, hourly(more))
    await clock.advance(HOUR_MS)
    await first.end()
    await clock.advance(ms)
    return await new Replica(clock, state).begin(1, hourly(more))
  }

  test('with catch-up none does not repeat what was begun, makes what is late, and drops what was missed', async () => {
    const late = await after({ catchUp: 'none' }, HOUR_MS + 30_000)
    expect([late.made, late.counts]).toEqual([['02:00:00 in 1'], {}])
    const missed = await after({ catchUp: 'none' }, HOUR_MS + 90_000)
    expect([missed.made, missed.counts]).toEqual([[], { cron_caught_up_total: 0, 'cron_skipped_total missed': 1 }])
  })

  test('with catch-up all repeats what was begun and makes up for what was missed, in order', async () => {
    const second = await after({ catchUp: 'all' }, 2 * HOUR_MS + 30_000)
    expect(second.made).toEqual(['01:00:00 again in 1', '02:00:00 again in 1', '03:00:00 in 1'])
  })

  test('with catch-up last makes the latest of both', async () => {
    const begun = await after({ catchUp: 'last' }, 30_000)
    expect(begun.made).toEqual(['01:00:00 again in 1'])
    const missed = await after({ catchUp: 'last' }, 2.5 * HOUR_MS)
    expect(missed.made).toEqual(['03:00:00 again in 1'])
    expect(missed.counts['cron_skipped_total missed']).toBe(2)
  })

  test('repeats what was begun and not settled, and nothing that was settled behind it', async () => {
    const { clock, state } = world()
    const all = hourly({ catchUp: 'all' })
    const first = await new Replica(clock, state).begin(0, all)
    await clock.advance(3 * HOUR_MS)
    await first.settle(1)
    expect(state.values.get(KEY)).toBe('2026-01-01T03:00:00Z 2026-01-01T01:00:00Z 2026-01-01T03:00:00Z')
    await first.end()
    const second = await new Replica(clock, state).begin(1, all)
    expect(second.made).toEqual(['01:00:00 again in 1', '03:00:00 again in 1'])
    expect(second.deliveries.map(({ message }) => message.id)).toEqual([first.deliveries[0], first.deliveries[2]].map((one) => one?.message.id)) // prettier-ignore
    await Promise.all([first.source.close(), second.source.close()])
  })

  test('keeps what it has not got to itself, when it ends in its turn', async () => {
    const { clock, state } = world()
    const wanted = hourly({ catchUp: 'all', overlap: 'forbid' })
    const first = await new Replica(clock, state).begin(0, hourly({ catchUp: 'all' }))
    await clock.advance(3 * HOUR_MS)
    await first.end()
    const second = await new Replica(clock, state).begin(1, wanted)
    expect(second.made).toEqual(['01:00:00 again in 1'])
    await second.settle(0)
    expect(second.made).toEqual(['01:00:00 again in 1', '02:00:00 again in 1'])
    await second.end()
    const third = await new Replica(clock, state).begin(2, hourly({ catchUp: 'all' }))
    expect(third.made).toEqual(['02:00:00 again in 2', '03:00:00 again in 2'])
    await Promise.all([first, second, third].map(({ source }) => source.close()))
  })

  test('by a replica whose clock is behind makes nothing twice', async () => {
    const { clock, state } = world()
    const ahead = new ManualClock(START + HOUR_MS / 2)
    const first = await new Replica(ahead, state).begin(0, hourly())
    await ahead.advance(HOUR_MS / 2)
    expect(first.made).toEqual(['01:00:00 in 0'])
    await first.end()
    const second = await new Replica(clock, state).begin(1, hourly())
    await clock.advance(2 * HOUR_MS)
    expect(second.made).toEqual(['02:00:00 in 1'])
    await Promise.all([first.source.close(), second.source.close()])
  })

  test('makes the first fire of a schedule that nobody has made one of', async () => {
    const { clock, state } = world()
    const first = await new Replica(clock, state).begin(0, hourly())
    await clock.advance(HOUR_MS - 1000)
    await first.end()
    await clock.advance(10_000)
    const second = await new Replica(clock, state).begin(1, hourly())
    expect(second.made).toEqual(['01:00:00 in 1'])
    await Promise.all([first.source.close(), second.source.close()])
  })

  test('makes what was claimed before a graceful end and never handed out', async () => {
    const { clock, state } = world()
    const wanted = ['a', 'b', 'c'].map((name) => hourly({ function: name }))
    const first = await new Replica(clock, state, 3).begin(0, ...wanted)
    await clock.advance(HOUR_MS)
    await first.end()
    for (const delivery of first.deliveries.slice(1)) delivery.mayInvoke?.()
    await first.settle(0)
    await first.source.close()
    const second = await new Replica(clock, state).begin(1, ...wanted)
    expect(second.deliveries.map(({ message }) => message.target)).toEqual(['b', 'c'])
    await second.source.close()
  })

  test('makes what was just being claimed at a graceful end', async () => {
    const { clock, state } = world()
    const wanted = [hourly(), hourly({ function: 'replaced', overlap: 'replace' })]
    const first = await new Replica(clock, state).begin(0, ...wanted)
    state.held = []
    await clock.advance(HOUR_MS)
    expect(first.deliveries).toHaveLength(0)
    const closed = first.source.close()
    await clock.advance(0)
    state.release()
    await closed
    const second = await new Replica(clock, state).begin(1, ...wanted)
    expect(second.made).toEqual(['01:00:00 in 1', '01:00:00 in 1'])
    await second.source.close()
  })
})

test('schedules that nobody wants any more are forgotten when there is nothing left to catch up on', async () => {
  const { clock, state } = world()
  const first = await new Replica(clock, state).begin(0, hourly(), hourly({ function: 'gone.prod' }))
  await first.end()
  await clock.advance(23 * HOUR_MS)
  const second = await new Replica(clock, state).begin(1, hourly())
  expect([...state.values.keys()]).toEqual([KEY, 'fires gone.prod/@hourly'])
  await second.end()
  await clock.advance(2 * HOUR_MS)
  const third = await new Replica(clock, state).begin(2, hourly())
  expect([...state.values.keys()]).toEqual([KEY])
  await Promise.all([first, second, third].map(({ source }) => source.close()))
})

function askTooLate(abort: AbortController): boolean {
  abort.abort(new HubError('HUB_LEASE_LOST', 'over'))
  return false
}
