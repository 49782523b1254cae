// How much each scenario does: the short form of `npm test`, or the whole of `npm run test:faults`.

import type { FaultBroker } from './contract.ts'

export interface Size {
  readonly events: number
  /** How long the gateway stays away after the hub has noticed. */
  readonly outageMs: number
  /** Of one scenario, before vitest cuts it off; far beyond what it takes. */
  readonly timeoutMs: number
}

const SHORT: Size = { events: 1000, outageMs: 1000, timeoutMs: 180_000 }
const FULL: Size = { events: 10_000, outageMs: 20_000, timeoutMs: 600_000 }

/** For this server: HUB_TEST_FAULTS=full makes it the full one, unless that is more than the server can do in any sensible time. */
export function sizeFor({ eventsMax = Infinity }: Pick<FaultBroker, 'eventsMax'>): Size {
  return { ...SIZE, events: Math.min(SIZE.events, eventsMax) }
}

/** Whatever the server. */
export const SIZE = process.env['HUB_TEST_FAULTS'] === 'full' ? FULL : SHORT
