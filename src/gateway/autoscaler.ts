// Watches the functions whose labels ask for it, and changes their number of replicas: by load, and to none when nobody calls
// (OpenFaaS contract, scaling). Without such functions it has no timer. The way back from zero is not here.

import type { Clock, ClockTimer } from '../sdk/index.ts'
import type { ScaleSettings } from './scale-settings.ts'
import { replicasForLoad } from './scaling-rules.ts'

/** What is to be known of a function; a DeployedFunction is one. */
export interface Scalable {
  readonly scale: ScaleSettings
  readonly inFlight: number
  /** Calls ended since the beginning. */
  readonly finished: number
  readonly replicas: { readonly replicas: number; readonly availableReplicas: number }
  scaleTo(replicas: number): void
}

const INTERVAL_MS = 2000
/** Calls per second are those of this time. */
const RATE_WINDOW_MS = 10_000

interface Reading {
  readonly atMs: number
  readonly value: number
}

interface Watched {
  /** Calls ended, at each look of the rate's window. */
  finished: readonly Reading[]
  /** Replicas that were called for, at each look of the window for scaling down. */
  wanted: readonly Reading[]
  /** As it was left by the last look; different now: somebody else has scaled. */
  replicas: number
  activeAtMs: number
}

export class Autoscaler implements Disposable {
  readonly #clock: Clock
  readonly #watched = new Map<Scalable, Watched>()
  #timer: ClockTimer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Does nothing for a function whose labels ask for nothing. */
  watch(scalable: Scalable): void {
    const { load, zeroAfterMs } = scalable.scale
    if (load === undefined && zeroAfterMs === undefined) return
    const atMs = this.#clock.monotonic()
    const { replicas } = scalable.replicas
    this.#watched.set(scalable, {
      finished: [{ atMs, value: scalable.finished }],
      wanted: [{ atMs, value: replicas }],
      replicas,
      activeAtMs: atMs,
    })
    this.#timer ??= this.#clock.after(INTERVAL_MS, () => this.#look())
  }

  forget(scalable: Scalable): void {
    this.#watched.delete(scalable)
    if (this.#watched.size === 0) this[Symbol.dispose]()
  }

  /** Changes nothing any more. */
  [Symbol.dispose](): void {
    this.#watched.clear()
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #look(): void {
    this.#timer = this.#clock.after(INTERVAL_MS, () => this.#look())
    const atMs = this.#clock.monotonic()
    for (const [scalable, watched] of this.#watched) decide(scalable, watched, atMs)
  }
}

function decide(scalable: Scalable, watched: Watched, atMs: number): void {
  const { replicas } = scalable.replicas
  const isChanged = replicas !== watched.replicas
  if (scalable.inFlight > 0 || scalable.finished !== watched.finished.at(-1)?.value || isChanged)
    watched.activeAtMs = atMs
  // What somebody else asked for counts as called for: it stays as long as the window.
  if (isChanged) watched.wanted = [{ atMs, value: replicas }]
  watched.finished = within(RATE_WINDOW_MS, atMs, [...watched.finished, { atMs, value: scalable.finished }])
  if (replicas > 0) {
    const isIdle = atMs - watched.activeAtMs >= (scalable.scale.zeroAfterMs ?? Infinity)
    const wanted = isIdle ? 0 : byLoad(scalable, watched, atMs)
    if (wanted !== replicas) scalable.scaleTo(wanted)
  }
  watched.replicas = scalable.replicas.replicas
}

/** More at once; fewer once no more were called for in the whole window. */
function byLoad({ scale, inFlight, replicas: set }: Scalable, watched: Watched, atMs: number): number {
  const current = set.replicas
  if (scale.load === undefined) return current
  const load = scale.load.type === 'capacity' ? inFlight : rate(watched.finished)
  const wanted = replicasForLoad({ current, ready: set.availableReplicas, load }, scale.load, scale)
  watched.wanted = within(scale.load.downWindowMs, atMs, [...watched.wanted, { atMs, value: wanted }])
  if (wanted >= current) return wanted
  return Math.min(current, Math.max(...watched.wanted.map(({ value }) => value)))
}

/** In a second. */
function rate(finished: readonly Reading[]): number {
  const [first, last] = [finished[0], finished.at(-1)]
  if (first === undefined || last === undefined || last.atMs === first.atMs) return 0
  return ((last.value - first.value) / (last.atMs - first.atMs)) * 1000
}

function within(windowMs: number, atMs: number, readings: readonly Reading[]): readonly Reading[] {
  return readings.filter((reading) => atMs - reading.atMs <= windowMs)
}
