// The shared dispatcher as the async queue's worker: calls go out through the gateway's own sync route.

import { join } from 'node:path'

import { SqliteDeadLetters } from '../delivery/dead-letters.ts'
import { Dispatcher } from '../delivery/dispatcher.ts'
import { Ledger } from '../delivery/ledger.ts'
import { Limits } from '../delivery/limits.ts'
import { GatewayGate } from '../invoke/gateway-gate.ts'
import { HttpInvoker } from '../invoke/http-invoker.ts'
import { parseDuration } from '../sdk/index.ts'
import type { Clock, RetrySettings, Trigger } from '../sdk/index.ts'
import { HubEvents } from '../telemetry/events.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { VERSION } from '../telemetry/version.ts'
import type { DeployedFunction } from './functions.ts'
import type { AsyncQueue } from './queue.ts'

export interface QueueWorkerOptions {
  readonly queue: AsyncQueue
  readonly stateDir: string
  readonly gatewayUrl: string
  readonly timeoutMs: number
  readonly inFlightMax: number
  readonly clock: Clock
  /** The function as queued; undefined where it is not deployed. */
  readonly find: (functionName: string) => Pick<DeployedFunction, 'spec' | 'inFlightMax'> | undefined
  readonly log: (line: string) => void
}

export interface QueueWorker extends AsyncDisposable {
  readonly ledger: Ledger
}

/** OpenFaaS's own defaults for its queue worker. */
const RETRY: RetrySettings = {
  attempts: 10,
  codes: new Set([408, 429, 500, 502, 503, 504]),
  minWaitMs: 10_000,
  maxWaitMs: 120_000,
  jitter: 'none',
}
const DRAIN_MS = 5000
const HELD_MAX = 10_000
const UNSETTLED_BYTES_MAX = 256 * 1024 * 1024

/** @throws HubError HUB_STATE_UNUSABLE */
export function startQueueWorker(options: QueueWorkerOptions): QueueWorker {
  const { queue, gatewayUrl, clock, log } = options
  const deadLetters = new SqliteDeadLetters(join(options.stateDir, 'async-dead-letters.db'))
  const metrics = new Metrics()
  const logger = {
    enabled: (level: string) => level !== 'debug',
    log: (_level: string, _event: string, text: string) => log(text),
  }
  const events = new HubEvents({
    logger,
    metrics,
    clock,
    printResponse: false,
    printResponseBody: false,
    printRequestBody: false,
  })
  const gate = new GatewayGate({
    gatewayUrl,
    clock,
    onClosed: (error) => events.gatewayUnreachable(error),
    onOpened: (outageMs) => events.gatewayReachable(outageMs),
  })
  const ledger = new Ledger(0)
  const stop = new AbortController()
  const dispatcher = new Dispatcher({
    source: 'queue',
    capabilities: { retry: 'delayed', reject: 'hub', durable: true },
    router: () => ({ match: ({ topic }) => [triggerOf(topic, options)] }),
    invoker: new HttpInvoker({
      gatewayUrl,
      connector: undefined,
      contentType: undefined,
      userAgent: `connector-hub-queue/${VERSION}`,
      connectionsMax: options.inFlightMax,
      clock,
    }),
    gate,
    limits: new Limits(options.inFlightMax),
    inFlightMax: options.inFlightMax,
    heldMax: HELD_MAX,
    unsettledBytesMax: UNSETTLED_BYTES_MAX,
    deadLetters,
    ledger,
    events,
    clock,
    loggedResponseBytesMax: 0,
  })
  const running = dispatcher.run(queue.deliveries(stop.signal), stop.signal)
  return {
    ledger,
    async [Symbol.asyncDispose]() {
      const drained = dispatcher.drain(DRAIN_MS)
      stop.abort()
      await drained
      await running
      gate.close()
      deadLetters.close()
    },
  }
}

function triggerOf(functionName: string, { find, timeoutMs, inFlightMax }: QueueWorkerOptions): Trigger {
  const deployed = find(functionName)
  // Half at most, so that one slow function leaves room for the others; and no more than it takes without a 429.
  const share = Math.ceil(inFlightMax / 2)
  const concurrency =
    deployed === undefined || deployed.inFlightMax === 0 ? share : Math.min(share, deployed.inFlightMax)
  const retry = retrySettings(deployed?.spec.annotations ?? {})
  return {
    function: functionName,
    pattern: functionName,
    settings: { mode: 'sync', timeoutMs, concurrency, ordering: 'none', retry },
  }
}

/** Annotations over the defaults; a value that cannot be read falls back, as in OpenFaaS. */
export function retrySettings(annotations: Readonly<Record<string, string>>): RetrySettings {
  const attempts = annotations['com.openfaas.retry.attempts']
  const codes = annotations['com.openfaas.retry.codes']?.split(',').map((code) => Number(code.trim()))
  const minWaitMs = parseDuration(annotations['com.openfaas.retry.min_wait'] ?? '') ?? RETRY.minWaitMs
  return {
    attempts: attempts !== undefined && /^\d{1,4}$/.test(attempts) ? Number(attempts) : RETRY.attempts,
    codes:
      codes !== undefined && codes.every((code) => Number.isInteger(code) && code >= 100 && code <= 599)
        ? new Set(codes)
        : RETRY.codes,
    minWaitMs,
    maxWaitMs: Math.max(minWaitMs, parseDuration(annotations['com.openfaas.retry.max_wait'] ?? '') ?? RETRY.maxWaitMs),
    jitter: RETRY.jitter,
  }
}
