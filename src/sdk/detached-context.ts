// What a source gets that works for the command line and not for a hub: it is only asked, or shows what it sees. For
// `doctor`, and for connectors whose look is a source of its own.

import type { Clock } from './clock.ts'
import { HubError } from './errors.ts'
import type { SourceContext, SourceLog } from './source.ts'

export interface DetachedOptions {
  readonly instance: string
  readonly clock: Clock
  readonly log: SourceLog
  /** Default 1. */
  readonly unsettledMax?: number
  /** What a hub has kept, for keys that this source has not set itself; by default nothing. */
  readonly recall?: (key: string) => string | undefined
}

/** Keeps state for itself, counts nothing, and has no inbox. */
export function detachedContext({ instance, clock, log, unsettledMax = 1, recall }: DetachedOptions): SourceContext {
  const nothing = (): void => undefined
  const kept = new Map<string, string>()
  return {
    instance,
    clock,
    log,
    state: {
      get: (key) => Promise.resolve(kept.get(key) ?? recall?.(key)),
      set: (key, value) => Promise.resolve(void kept.set(key, value)),
      delete: (key) => Promise.resolve(void kept.delete(key)),
      keys: () => Promise.resolve([...kept.keys()]),
    },
    inbox: () => {
      throw new HubError('HUB_INTERNAL', 'a source without a hub has no inbox')
    },
    unsettledMax,
    counter: () => ({ add: nothing }),
    gauge: nothing,
  }
}
