// Dead letters on their way again: each to the function that failed and to no other, one after the other, no faster than
// asked. What succeeds is deleted; what fails stays, with the new reason. Called by the command line.

import { sleep } from '../sdk/index.ts'
import type { Clock, EventMessage, Trigger } from '../sdk/index.ts'
import type { Invoker, Outcome } from '../invoke/outcome.ts'
import { isNumbers } from './dead-letters.ts'
import type { LetterFilter, SqliteDeadLetters, StoredDeadLetter } from './dead-letters.ts'

export interface RedriveOptions {
  readonly letters: SqliteDeadLetters
  /** That names this connector instance to the function. */
  readonly invokerOf: (source: string) => Invoker
  /** How the function is invoked now; undefined when it is not deployed. */
  readonly triggerOf: (message: EventMessage) => Trigger | undefined
  /** Invocations a second; undefined: one after the other as they are answered. */
  readonly perSecond: number | undefined
  readonly clock: Clock
  readonly onEach: (letter: StoredDeadLetter, problem: string | undefined) => void
}

export interface RedriveReport {
  readonly done: number
  readonly failed: number
  /** The gateway could not be reached: the rest was left alone. */
  readonly unreachable: string | undefined
}

const PAGE = 100

/**
 * @param which numbers, or a filter; letters that come in meanwhile are left alone
 * @param signal ends it after the letter that is on its way
 */
export async function redrive(
  which: readonly number[] | LetterFilter,
  options: RedriveOptions,
  signal: AbortSignal,
): Promise<RedriveReport> {
  const { letters, perSecond, clock, onEach } = options
  let done = 0
  let failed = 0
  for (const letter of chosen(letters, which)) {
    if (signal.aborted) break
    const startedAt = clock.monotonic()
    const outcome = await send(letter, options)
    if (typeof outcome === 'object' && outcome.kind === 'unreachable')
      return { done, failed, unreachable: outcome.error.message }
    const problem = typeof outcome === 'string' ? outcome : problemOf(outcome)
    if (problem === undefined) {
      await letters.remove(letter.number)
      done += 1
    } else {
      // One that was not invoked has not failed again.
      if (typeof outcome === 'object') await letters.failedAgain(letter.number, problem, outcome.kind === 'answered' ? outcome.status : undefined, clock.now()) // prettier-ignore
      failed += 1
    }
    onEach(letter, problem)
    const pauseMs = perSecond === undefined ? 0 : 1000 / perSecond - (clock.monotonic() - startedAt)
    if (pauseMs > 0) await sleep(clock, pauseMs, signal).catch(() => undefined)
  }
  return { done, failed, unreachable: undefined }
}

function* chosen(letters: SqliteDeadLetters, which: readonly number[] | LetterFilter): Iterable<StoredDeadLetter> {
  if (isNumbers(which)) {
    for (const number of which) {
      const letter = letters.get(number)
      if (letter !== undefined) yield letter
    }
    return
  }
  // What fails again keeps its number, so each page begins behind the last one, and what comes in later is behind the end.
  const last = letters.lastNumber()
  for (let after = 0; ;) {
    const page = letters.list(PAGE, after, which)
    for (const letter of page) if (letter.number <= last) yield letter
    const [end] = page.slice(-1)
    if (end === undefined || end.number >= last) return
    after = end.number
  }
}

async function send(letter: StoredDeadLetter, { invokerOf, triggerOf }: RedriveOptions): Promise<Outcome | string> {
  const trigger = triggerOf(letter.message)
  if (trigger === undefined)
    return `${letter.function} is not deployed, or no longer triggered by ${letter.message.source}`
  const { mode, timeoutMs, callbackUrl } = trigger.settings
  return await invokerOf(letter.message.source).invoke({
    function: letter.function,
    mode,
    message: letter.message,
    timeoutMs,
    callbackUrl,
    responseBytesMax: 0,
    signal: undefined,
  })
}

function problemOf(outcome: Exclude<Outcome, { readonly kind: 'unreachable' }>): string | undefined {
  if (outcome.kind === 'accepted') return undefined
  if (outcome.kind === 'answered') return outcome.status < 300 ? undefined : `answered ${outcome.status}`
  return outcome.kind === 'interrupted' ? outcome.error.message : 'cancelled'
}
