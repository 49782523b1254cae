// Dead letters on their way again: each to the function that failed and to no other, one after the other, no faster than
// asked. What succeeds is removed; what fails stays, with the new reason where it can be told. Called by the command line.

import { sleep } from '../sdk/index.ts'
import type { Clock, EventMessage, HeldLetter, Trigger } from '../sdk/index.ts'
import type { Invoker, Outcome } from '../invoke/outcome.ts'

export interface RedriveOptions {
  /** That names this connector instance to the function. */
  readonly invokerOf: (source: string) => Invoker
  /** How the function is invoked now; undefined when it is not deployed. */
  readonly triggerOf: (message: EventMessage) => Trigger | undefined
  /** Invocations a second; undefined: one after the other as they are answered. */
  readonly perSecond: number | undefined
  readonly clock: Clock
  readonly onEach: (letter: HeldLetter, problem: string | undefined) => void
}

export interface RedriveReport {
  readonly done: number
  readonly failed: number
  /** The gateway could not be reached: the rest was left alone. */
  readonly unreachable: string | undefined
}

/** @param signal ends it after the letter that is on its way */
export async function redrive(
  letters: AsyncIterable<HeldLetter>,
  options: RedriveOptions,
  signal: AbortSignal,
): Promise<RedriveReport> {
  const { perSecond, clock, onEach } = options
  let done = 0
  let failed = 0
  for await (const letter of letters) {
    if (signal.aborted) break
    const startedAt = clock.monotonic()
    const outcome = await send(letter, options)
    if (typeof outcome === 'object' && outcome.kind === 'unreachable')
      return { done, failed, unreachable: outcome.error.message }
    const problem = typeof outcome === 'string' ? outcome : problemOf(outcome)
    if (problem === undefined) {
      await letter.remove()
      done += 1
    } else {
      // One that was not invoked has not failed again.
      if (typeof outcome === 'object') await letter.failedAgain?.(problem, outcome.kind === 'answered' ? outcome.status : undefined) // prettier-ignore
      failed += 1
    }
    onEach(letter, problem)
    const pauseMs = perSecond === undefined ? 0 : 1000 / perSecond - (clock.monotonic() - startedAt)
    if (pauseMs > 0) await sleep(clock, pauseMs, signal).catch(() => undefined)
  }
  return { done, failed, unreachable: undefined }
}

async function send({ letter }: HeldLetter, { invokerOf, triggerOf }: RedriveOptions): Promise<Outcome | string> {
  const { function: name } = letter
  if (name === '') return 'it does not say which function failed: a hub did not put it there'
  const message = { ...letter.message, target: name }
  const trigger = triggerOf(message)
  if (trigger === undefined) return `${name} is not deployed, or no longer triggered by ${message.source}`
  const { mode, timeoutMs, callbackUrl } = trigger.settings
  return await invokerOf(message.source).invoke({
    function: name,
    mode,
    message,
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
