// Exponential back-off as a pure function: no clock, no state.

export interface BackoffSettings {
  readonly minWaitMs: number
  readonly maxWaitMs: number
  /** Contract §5.5: `full` uniform in 0–100 % of the exponential wait, `equal` in 50–100 %, `none` exactly it. */
  readonly jitter: 'full' | 'equal' | 'none'
}

/**
 * Wait before retry number `retry` (from 1): `minWait × 2^(retry-1)`, capped at `maxWait`, then jittered.
 * @param random uniform in [0, 1)
 */
export function backoffMs(retry: number, settings: BackoffSettings, random: () => number = Math.random): number {
  // 2^52 × any wait is far beyond every cap, and keeps the product finite.
  const exponentialMs = Math.min(settings.maxWaitMs, settings.minWaitMs * 2 ** Math.min(Math.max(retry, 1) - 1, 52))
  switch (settings.jitter) {
    case 'none':
      return exponentialMs
    case 'equal':
      return exponentialMs * (0.5 + random() * 0.5)
    case 'full':
      return exponentialMs * random()
  }
}
