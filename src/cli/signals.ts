// SIGTERM, SIGINT and the loss of the terminal: the first asks for a clean end, the second insists.

import { EXIT } from './output.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
export type EndSignal = (typeof SIGNALS)[number]

/** Resolves with the first signal; a second one ends the process at once. */
export function untilSignal(): Promise<EndSignal> {
  return new Promise((resolve) => {
    let asked = false
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        // Unsettled events are the broker's again, exactly as after a crash. A terminal may report its loss twice.
        if (asked && signal !== 'SIGHUP') process.exit(EXIT.interrupted)
        asked = true
        resolve(signal)
      })
    }
  })
}

/** Of a command that a person may end before it is done. */
export interface Interruption {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal
  /** What the command ends with because of it; undefined while there was none. */
  readonly code: number | undefined
}

export function interruption(): Interruption {
  const stop = new AbortController()
  let code: number | undefined
  void untilSignal().then((name) => {
    code = name === 'SIGINT' ? EXIT.interrupted : EXIT.ok
    stop.abort()
  })
  return {
    signal: stop.signal,
    get code() {
      return code
    },
  }
}
