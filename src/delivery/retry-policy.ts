// Turns an outcome into a verdict. Pure: no clock, no state.

import type { Outcome } from '../invoke/outcome.ts'
import { backoffMs, errorText } from '../sdk/index.ts'
import type { RetrySettings } from '../sdk/index.ts'

export type Verdict =
  | { readonly kind: 'ack' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly reason: string }
  | { readonly kind: 'reject'; readonly reason: string }
  /** The gateway is away: wait for it, the event has done nothing wrong. */
  | { readonly kind: 'wait' }
  /** The source no longer wants the event. */
  | { readonly kind: 'withdrawn' }

const ACK: Verdict = { kind: 'ack' }
const WAIT: Verdict = { kind: 'wait' }
const WITHDRAWN: Verdict = { kind: 'withdrawn' }

/** A Retry-After beyond this is the function asking for something a retry cannot give. */
const RETRY_AFTER_MAX_MS = 3_600_000

/**
 * @param retriesMade how often the event was already retried at this function, by the hub and by the broker
 * @param random uniform in [0, 1), for the jitter
 */
export function decide(
  outcome: Outcome,
  retriesMade: number,
  settings: RetrySettings,
  random: () => number = Math.random,
): Verdict {
  switch (outcome.kind) {
    case 'accepted':
      return ACK
    case 'unreachable':
      return WAIT
    case 'cancelled':
      return WITHDRAWN
    case 'interrupted':
      // It was never sent, and would be refused in the same way each time.
      if (!outcome.error.canRetry) return { kind: 'reject', reason: `the request cannot be sent: ${errorText(outcome.error.cause)}` } // prettier-ignore
      return retryOrReject(
        outcome.error.code === 'HUB_INVOKE_TIMEOUT' ? 'timed out' : 'the connection broke',
        undefined,
        retriesMade,
        settings,
        random,
      )
    case 'answered': {
      const { status } = outcome
      if (status >= 200 && status < 300) return ACK
      const reason = `answered ${status}`
      if (!isRetried(status, outcome.internal, settings))
        return settings.redirectsSucceed === true && status >= 300 && status < 400 ? ACK : { kind: 'reject', reason }
      return retryOrReject(reason, outcome.retryAfterMs, retriesMade, settings, random)
    }
  }
}

/** A platform error is always worth another try (OpenFaaS contract, retries); otherwise the codes decide. */
function isRetried(status: number, internal: boolean, { codes }: RetrySettings): boolean {
  if (internal) return true
  if (codes !== undefined) return codes.has(status)
  return status >= 500 || status === 408 || status === 425 || status === 429
}

function retryOrReject(
  reason: string,
  retryAfterMs: number | undefined,
  retriesMade: number,
  settings: RetrySettings,
  random: () => number,
): Verdict {
  if (retriesMade >= settings.attempts) {
    const invocations = retriesMade + 1
    return {
      kind: 'reject',
      reason: `${reason}; gave up after ${invocations} ${invocations === 1 ? 'attempt' : 'attempts'}`,
    }
  }
  // Retry-After wins over back-off but never undercuts the minimum wait.
  const delayMs =
    retryAfterMs === undefined
      ? backoffMs(retriesMade + 1, settings, random)
      : Math.max(settings.minWaitMs, Math.min(retryAfterMs, RETRY_AFTER_MAX_MS))
  return { kind: 'retry', delayMs, reason }
}
