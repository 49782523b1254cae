// Keeps the last complete listing through failures, and tells who listens only what is new. Shared by the watchers.

import { HubError, asHubError } from '../sdk/index.ts'
import type { Clock } from '../sdk/index.ts'
import { sameFindings, type Finding } from './finding.ts'
import type { DiscoveryEvents, DiscoveryStatus, FunctionInfo, Snapshot } from './function.ts'

export class LastGood {
  readonly #clock: Clock
  readonly #events: DiscoveryEvents
  #snapshot: Snapshot | undefined
  #lastGoodAtMs: number | undefined
  #problem: string | undefined

  constructor(clock: Clock, events: DiscoveryEvents) {
    this.#clock = clock
    this.#events = events
  }

  /** The functions in force; undefined before the first complete listing. */
  get functions(): readonly FunctionInfo[] | undefined {
    return this.#snapshot?.functions
  }

  /**
   * A complete listing. Functions that did not change must be the objects of the listing before.
   * @throws what `onSnapshot` throws; the listing then counts as not delivered and is delivered again.
   */
  accept(
    functions: readonly FunctionInfo[],
    findings: readonly Finding[],
    onSnapshot: (snapshot: Snapshot) => void,
  ): void {
    const takenAtMs = this.#clock.now()
    this.replace(functions, findings, onSnapshot)
    this.confirm(takenAtMs)
  }

  /** As `accept`, of a listing that is not known to be complete by now: age and problem stay. */
  replace(
    functions: readonly FunctionInfo[],
    findings: readonly Finding[],
    onSnapshot: (snapshot: Snapshot) => void,
  ): void {
    const last = this.#snapshot
    if (last !== undefined && sameList(last.functions, functions) && sameFindings(last.findings, findings)) return
    const snapshot = { functions, takenAtMs: this.#clock.now(), findings }
    onSnapshot(snapshot)
    this.#snapshot = snapshot
  }

  /** What is in force was complete at `atMs`. */
  confirm(atMs: number): void {
    this.#lastGoodAtMs = atMs
    if (this.#problem !== undefined) this.#events.discoveryRecovered()
    this.#problem = undefined
  }

  fail(cause: unknown): void {
    const error = asHubError(cause)
    this.#problem = problemLine(error)
    const ageMs = this.#lastGoodAtMs === undefined ? undefined : this.#clock.now() - this.#lastGoodAtMs
    // The listener goes on with what follows from it, so the sentence is left open.
    this.#events.discoveryFailed(error.code, `${error.message}. ${error.hint.replace(/\.$/, '')}`, ageMs)
  }

  status(): DiscoveryStatus {
    return {
      lastGoodAtMs: this.#lastGoodAtMs,
      problem: this.#problem,
      functions: this.#snapshot?.functions.length ?? 0,
    }
  }
}

function problemLine(error: HubError): string {
  return `${error.code}: ${error.message}. ${error.hint}`
}

function sameList(left: readonly FunctionInfo[], right: readonly FunctionInfo[]): boolean {
  return left.length === right.length && left.every((info, index) => info === right[index])
}
