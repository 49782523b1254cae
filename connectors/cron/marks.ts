// What is kept of each schedule, so that a restart neither doubles nor drops a fire: how far it has come, and what was begun.
// Two ways: for a hub by itself, and for replicas that take turns. Called by cron-source.ts and outbox.ts.

import { scheduleIdentity } from '../../src/sdk/index.ts'
import type { ScheduleSubscription, StateStore } from '../../src/sdk/index.ts'
import type { Entry, Fire } from './fire.ts'

export interface Mark {
  /** Every planned time up to here is dealt with, but for `openMs`. */
  readonly reachedMs: number
  /** Begun and not known to be settled, oldest first. */
  readonly openMs: readonly number[]
}

/** Everything resolves once it is durable. */
export interface Marks {
  /** Undefined: the schedule is new, or nothing is kept of it. */
  read(subscription: ScheduleSubscription): Promise<Mark | undefined>
  /** It is new: what is missed from now on has been missed. */
  begin(subscription: ScheduleSubscription, atMs: number): Promise<void>
  /** These are about to be handed out, by us and nobody else. Rejects when another replica has the turn. */
  claim(fires: readonly Fire[]): Promise<void>
  /** Claimed, and not handed out after all: whoever is next makes them. */
  giveBack(fires: readonly Fire[]): Promise<void>
  /** A fire of it is settled. */
  settled(entry: Entry): Promise<void>
  /** Its settings are about to be these. */
  change(entry: Entry, subscription: ScheduleSubscription): Promise<void>
  remove(subscription: ScheduleSubscription): Promise<void>
  /** Forgets schedules that nobody wants any more and that have come no further than this. */
  prune(wanted: ReadonlySet<string>, untilMs: number): Promise<void>
}

/** Written when a fire is settled, for schedules with catch-up: a crash brings back what is after it. */
export class SettledMarks implements Marks {
  readonly #state: StateStore

  constructor(state: StateStore) {
    this.#state = state
  }

  async read(subscription: ScheduleSubscription): Promise<Mark | undefined> {
    if (subscription.catchUp === 'none') return undefined
    const saved = await this.#state.get(settledKey(subscription))
    return saved !== undefined && /^\d{1,15}$/.test(saved) ? { reachedMs: Number(saved), openMs: [] } : undefined
  }

  // Without a mark, a crash before the first fire settles would be taken for a new schedule.
  async begin(subscription: ScheduleSubscription, atMs: number): Promise<void> {
    if (subscription.catchUp !== 'none') await this.#state.set(settledKey(subscription), String(atMs))
  }

  claim(): Promise<void> {
    return Promise.resolve()
  }

  giveBack(): Promise<void> {
    return Promise.resolve()
  }

  /** How far it is settled without a hole. */
  async settled(entry: Entry): Promise<void> {
    if (entry.subscription.catchUp === 'none') return
    const [oldestOpenMs] = entry.open.keys()
    const settledMs = oldestOpenMs === undefined ? entry.reachedMs : oldestOpenMs - 1
    if (settledMs <= entry.savedMs) return
    const earlierMs = entry.savedMs
    entry.savedMs = settledMs
    try {
      await this.#state.set(settledKey(entry.subscription), String(settledMs))
    } catch (error) {
      // The next fire that settles writes it again.
      if (entry.savedMs === settledMs) entry.savedMs = earlierMs
      throw error
    }
  }

  async change(entry: Entry, subscription: ScheduleSubscription): Promise<void> {
    const remembered = entry.subscription.catchUp !== 'none'
    const remembers = subscription.catchUp !== 'none'
    if (remembers && !remembered) {
      entry.savedMs = entry.reachedMs
      await this.#state.set(settledKey(subscription), String(entry.savedMs))
    }
    if (!remembers && remembered) await this.#state.delete(settledKey(subscription))
  }

  async remove(subscription: ScheduleSubscription): Promise<void> {
    if (subscription.catchUp !== 'none') await this.#state.delete(settledKey(subscription))
  }

  prune(): Promise<void> {
    return Promise.resolve()
  }
}

const FIRES = 'fires '

/**
 * Written before a fire is handed out, for every schedule: in a state that goes with the turn, a replica whose turn is over
 * cannot write, so it makes no fire that another one makes too. With catch-up, what is begun stands beside it until it is
 * settled. `2026-01-01T09:00:00Z 2026-01-01T08:00:00Z`: claimed up to nine o'clock, and the fire of eight is open.
 */
export class ClaimedMarks implements Marks {
  readonly #state: StateStore

  constructor(state: StateStore) {
    this.#state = state
  }

  async read(subscription: ScheduleSubscription): Promise<Mark | undefined> {
    const text = await this.#state.get(claimedKey(subscription))
    const [reachedMs = Number.NaN, ...openMs] = (text ?? '').split(' ').map((part) => Date.parse(part))
    if (Number.isNaN(reachedMs)) return undefined
    return { reachedMs, openMs: subscription.catchUp === 'none' ? [] : openMs.filter((atMs) => !Number.isNaN(atMs)) }
  }

  async begin(subscription: ScheduleSubscription, atMs: number): Promise<void> {
    await this.#state.set(claimedKey(subscription), isoTime(atMs))
  }

  async claim(fires: readonly Fire[]): Promise<void> {
    for (const { entry, plannedMs } of fires) entry.savedMs = Math.max(entry.savedMs, plannedMs)
    await this.#write(fires)
  }

  async giveBack(fires: readonly Fire[]): Promise<void> {
    // With catch-up they are open, which says the same.
    const unnoted = fires.filter(({ entry }) => entry.subscription.catchUp === 'none')
    for (const { entry, plannedMs } of unnoted) entry.savedMs = Math.min(entry.savedMs, plannedMs - 1)
    await this.#write(unnoted)
  }

  async settled(entry: Entry): Promise<void> {
    if (entry.subscription.catchUp !== 'none') await this.#state.set(claimedKey(entry.subscription), textOf(entry))
  }

  async change(entry: Entry, subscription: ScheduleSubscription): Promise<void> {
    await this.#state.set(claimedKey(subscription), textOf(entry, subscription))
  }

  async remove(subscription: ScheduleSubscription): Promise<void> {
    await this.#state.delete(claimedKey(subscription))
  }

  async prune(wanted: ReadonlySet<string>, untilMs: number): Promise<void> {
    const unwanted = (await this.#state.keys()).filter((key) => key.startsWith(FIRES) && !wanted.has(key.slice(FIRES.length))) // prettier-ignore
    const old = async (key: string): Promise<boolean> => !(Date.parse((await this.#state.get(key))?.split(' ')[0] ?? '') > untilMs) // prettier-ignore
    await Promise.all(unwanted.map(async (key) => (await old(key)) && this.#state.delete(key)))
  }

  /** The store makes one write of them. */
  async #write(fires: readonly Fire[]): Promise<void> {
    const entries = new Set(fires.map(({ entry }) => entry))
    await Promise.all([...entries].map((entry) => this.#state.set(claimedKey(entry.subscription), textOf(entry))))
  }
}

function textOf({ savedMs, open, backlog, subscription }: Entry, { catchUp } = subscription): string {
  const begun = catchUp === 'none' ? [] : [...open.keys(), ...backlog].filter((plannedMs) => plannedMs <= savedMs)
  return [savedMs, ...begun].map(isoTime).join(' ')
}

function settledKey(subscription: ScheduleSubscription): string {
  return `settled ${scheduleIdentity(subscription)}`
}

function claimedKey(subscription: ScheduleSubscription): string {
  return `${FIRES}${scheduleIdentity(subscription)}`
}

/** RFC 3339 in UTC, without a fraction where there is none. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
