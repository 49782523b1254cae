// How much each scenario does: the short form of `npm test`, or the whole of `npm run test:faults`.

export interface Size {
  readonly events: number
  /** How long the gateway stays away after the hub has noticed. */
  readonly outageMs: number
  /** Of one scenario, before vitest cuts it off; far beyond what it takes. */
  readonly timeoutMs: number
}

const SHORT: Size = { events: 1000, outageMs: 1000, timeoutMs: 180_000 }
const FULL: Size = { events: 10_000, outageMs: 20_000, timeoutMs: 600_000 }

/** HUB_TEST_FAULTS=full makes it the full one. */
export const SIZE = process.env['HUB_TEST_FAULTS'] === 'full' ? FULL : SHORT
