// SIGTERM and SIGINT: the first asks for a clean end, the second insists.

import { EXIT } from './output.ts'

/** Resolves with the first signal; a second one ends the process at once. */
export function untilSignal(): Promise<'SIGTERM' | 'SIGINT'> {
  return new Promise((resolve) => {
    let asked = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        // Unsettled events are the broker's again, exactly as after a crash.
        if (asked) process.exit(EXIT.interrupted)
        asked = true
        resolve(signal)
      })
    }
  })
}
