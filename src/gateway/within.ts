// Waiting with a bound, on the gateway's clock.

import type { Clock } from '../sdk/index.ts'

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
