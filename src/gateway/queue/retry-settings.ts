// How the calls of one function are retried, and into which queue they go: its annotations over the settings of the gateway
// (OpenFaaS contract, retry settings). A value that cannot be read falls back, as in OpenFaaS.

import { parseDuration } from '../../sdk/index.ts'
import type { RetrySettings } from '../../sdk/index.ts'
import { isQueueName, parseCodes } from './settings.ts'

type Annotations = Readonly<Record<string, string>>

const RETRY = 'com.openfaas.retry.'
const QUEUE = 'com.openfaas.queue'

export function retrySettings(annotations: Annotations, defaults: RetrySettings): RetrySettings {
  const attempts = annotations[`${RETRY}attempts`]?.trim()
  const minWaitMs = parseDuration(annotations[`${RETRY}min_wait`] ?? '') ?? defaults.minWaitMs
  return {
    ...defaults,
    attempts: attempts !== undefined && /^\d{1,4}$/.test(attempts) ? Number(attempts) : defaults.attempts,
    codes: parseCodes(annotations[`${RETRY}codes`] ?? '') ?? defaults.codes,
    minWaitMs,
    maxWaitMs: Math.max(minWaitMs, parseDuration(annotations[`${RETRY}max_wait`] ?? '') ?? defaults.maxWaitMs),
  }
}

/** Those that a worker elsewhere needs with the call. */
export function retryAnnotations(annotations: Annotations): Annotations {
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => name.startsWith(RETRY)))
}

export function queueOf(annotations: Annotations, defaultQueue: string): string {
  const name = annotations[QUEUE]?.trim() ?? ''
  return isQueueName(name) ? name : defaultQueue
}
