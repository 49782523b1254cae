// What becomes of the fires of one schedule when its hub is away for a while. Pure. The steps are those of the cron
// source, on the same missedFires; a test of the connector holds both against each other. Called by `cron next`.

import { missedFires } from '../sdk/index.ts'
import type { CatchUpPolicy, OverlapPolicy, Schedule } from '../sdk/index.ts'

export interface Absence {
  /** The hub is gone from this instant on: what is due then is not made. Unix milliseconds. */
  readonly fromMs: number
  /** The hub is back. */
  readonly untilMs: number
}

export interface AwaySettings {
  readonly catchUp: CatchUpPolicy
  readonly overlap: OverlapPolicy
  /** By which every fire of this schedule is delayed; already its own share of `connector.jitter`. Milliseconds. */
  readonly jitterMs: number
  /** How long the function is busy with one fire. */
  readonly takesMs: number
  /** Older missed fires are not made up for. Milliseconds. */
  readonly catchUpWindow: number
  /** Most fires that `all` makes up for. */
  readonly catchUpMax: number
}

/** What happened to a fire, in the order of its happening. */
export type Fate =
  | { readonly kind: 'on-time' | 'made-up'; readonly atMs: number }
  /** Missed, and not made up for: because of the policy, `catchUpWindow` or `catchUpMax`. */
  | { readonly kind: 'dropped'; readonly because: 'policy' | 'age' | 'number' }
  /** An earlier fire was not done, and overlap is `forbid`. */
  | { readonly kind: 'overlap'; readonly atMs: number }
  /** A later fire came before this one was done, and overlap is `replace`. */
  | { readonly kind: 'replaced'; readonly atMs: number }
  /** The hub went away before the function was done. */
  | { readonly kind: 'cut-off'; readonly atMs: number }

/** By planned time, ascending. */
export type Fates = ReadonlyMap<number, readonly Fate[]>

/** Of every fire after `startMs`, when the hub starts with a new schedule, up to and including `untilMs`. */
export function simulateAbsence(
  schedule: Schedule,
  absence: Absence,
  settings: AwaySettings,
  startMs: number,
  untilMs: number,
): Fates {
  const run = new Run(schedule, settings, startMs)
  run.until(absence.fromMs - 1)
  run.goAway(absence.fromMs)
  run.comeBack(absence.untilMs)
  run.until(untilMs + settings.jitterMs)
  run.finishBacklog()
  const fates = new Map<number, readonly Fate[]>()
  for (let atMs = schedule.next(startMs); atMs !== undefined && atMs <= untilMs; atMs = schedule.next(atMs))
    fates.set(atMs, run.fates.get(atMs) ?? [{ kind: 'dropped', because: whyDropped(atMs, absence, settings) }])
  return fates
}

function whyDropped(
  atMs: number,
  { untilMs }: Absence,
  { catchUp, catchUpWindow }: AwaySettings,
): 'policy' | 'age' | 'number' {
  if (catchUp === 'none') return 'policy'
  if (atMs <= untilMs - catchUpWindow) return 'age'
  return catchUp === 'last' ? 'policy' : 'number'
}

/** One schedule of a running hub with free slots. */
class Run {
  readonly fates = new Map<number, Fate[]>()
  readonly #schedule: Schedule
  readonly #settings: AwaySettings
  /** What the function is busy with: when each will be done, by planned time. */
  readonly #open = new Map<number, number>()
  #backlog: number[] = []
  #reachedMs: number
  /** What the state directory holds. */
  #savedMs: number
  #plannedMs: number | undefined

  constructor(schedule: Schedule, settings: AwaySettings, startMs: number) {
    this.#schedule = schedule
    this.#settings = settings
    this.#reachedMs = this.#savedMs = startMs
    this.#plannedMs = schedule.next(startMs)
  }

  /** Everything that happens up to and including this instant. A function that is done and a fire that is due: first the one. */
  until(endMs: number): void {
    for (;;) {
      const [first] = this.#open
      const doneMs = first?.[1] ?? Infinity
      const dueMs = this.#plannedMs === undefined ? Infinity : this.#plannedMs + this.#settings.jitterMs
      if (Math.min(doneMs, dueMs) > endMs) return
      if (first !== undefined && doneMs <= dueMs) this.#done(...first)
      else this.#due(this.#plannedMs as number, dueMs)
    }
  }

  /** As by a crash: what is not done is not settled. */
  goAway(atMs: number): void {
    for (const plannedMs of this.#open.keys()) this.#note(plannedMs, { kind: 'cut-off', atMs })
    this.#open.clear()
    this.#backlog = []
  }

  comeBack(nowMs: number): void {
    const { catchUp: policy, overlap, jitterMs, catchUpWindow, catchUpMax } = this.#settings
    this.#reachedMs = policy === 'none' ? nowMs : this.#savedMs
    const missedUntilMs = nowMs - jitterMs
    if (missedUntilMs > this.#reachedMs) {
      const limits = { policy, fireMax: catchUpMax, oldestMs: nowMs - catchUpWindow }
      const { fires } = missedFires(this.#schedule, this.#reachedMs, missedUntilMs, limits)
      this.#reachedMs = missedUntilMs
      if (overlap === 'allow') for (const plannedMs of fires) this.#begin(plannedMs, nowMs, 'made-up')
      else this.#backlog = [...fires]
      this.#nextOfBacklog(nowMs)
    }
    this.#plannedMs = this.#schedule.next(this.#reachedMs)
  }

  /** Beyond the end of what is asked for: the fires that wait for one another are made all the same. */
  finishBacklog(): void {
    while (this.#backlog.length > 0) {
      const [first] = this.#open
      if (first === undefined) return
      this.until(first[1])
    }
  }

  #due(plannedMs: number, atMs: number): void {
    const isBusy = this.#open.size > 0 || this.#backlog.length > 0
    if (isBusy && this.#settings.overlap === 'forbid') this.#note(plannedMs, { kind: 'overlap', atMs })
    else {
      if (isBusy && this.#settings.overlap === 'replace') this.#replace(atMs)
      this.#begin(plannedMs, atMs, 'on-time')
    }
    this.#reachedMs = plannedMs
    this.#plannedMs = this.#schedule.next(plannedMs)
  }

  #begin(plannedMs: number, atMs: number, kind: 'on-time' | 'made-up'): void {
    this.#note(plannedMs, { kind, atMs })
    this.#open.set(plannedMs, atMs + this.#settings.takesMs)
  }

  #replace(atMs: number): void {
    for (const plannedMs of [...this.#open.keys(), ...this.#backlog]) this.#note(plannedMs, { kind: 'replaced', atMs })
    this.#open.clear()
    this.#backlog = []
  }

  #done(plannedMs: number, atMs: number): void {
    this.#open.delete(plannedMs)
    this.#nextOfBacklog(atMs)
    const [oldestOpenMs] = this.#open.keys()
    this.#savedMs = Math.max(this.#savedMs, oldestOpenMs === undefined ? this.#reachedMs : oldestOpenMs - 1)
  }

  #nextOfBacklog(atMs: number): void {
    if (this.#open.size > 0) return
    const plannedMs = this.#backlog.shift()
    if (plannedMs !== undefined) this.#begin(plannedMs, atMs, 'made-up')
  }

  #note(plannedMs: number, fate: Fate): void {
    const fates = this.fates.get(plannedMs)
    if (fates === undefined) this.fates.set(plannedMs, [fate])
    else fates.push(fate)
  }
}
