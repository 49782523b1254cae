// Waiting that ends early, by a signal or by a limit of time, for clients that know neither.

import type { Clock } from './clock.ts'

/** The outcome of the work, or the signal's reason when that comes first; the work goes on, and its failure is nobody's. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason as Error)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => undefined)
    aborted.promise.catch(() => undefined)
  }
}

/** What the work resolves with, or undefined when it takes longer than `limitMs`; the work goes on. */
export async function within<T>(clock: Clock, limitMs: number, work: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = clock.after(limitMs, () => late.resolve(undefined))
  try {
    return await Promise.race([work, late.promise])
  } finally {
    timer.cancel()
  }
}
