// Real logger, metrics and events on a manual clock; the lines are collected.

import { ManualClock } from '../../src/sdk/index.ts'
import type { EventMessage } from '../../src/sdk/index.ts'
import { HubEvents } from '../../src/telemetry/events.ts'
import type { EventsOptions, InvocationReport } from '../../src/telemetry/events.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import type { LoggerOptions } from '../../src/telemetry/logger.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'

export const MESSAGE: EventMessage = {
  id: 'm1',
  source: 'mqtt',
  topic: 'orders',
  body: Buffer.from('the request body'),
  headers: { 'X-Token': 'header value' },
  attempt: 1,
  timestampMs: 0,
}

export function report(more: Partial<InvocationReport> = {}): InvocationReport {
  return {
    source: 'mqtt',
    function: 'echo',
    message: MESSAGE,
    attempt: 1,
    status: 200,
    durationMs: 12,
    bodyBytes: 3,
    error: undefined,
    responseBody: undefined,
    ...more,
  }
}

export class TelemetryRig {
  readonly lines: string[] = []
  readonly clock = new ManualClock()
  readonly metrics = new Metrics()
  readonly events: HubEvents

  constructor(options: Partial<EventsOptions> & { readonly log?: Partial<LoggerOptions> } = {}) {
    const logger = createLogger({
      level: 'info',
      format: 'json',
      color: false,
      secretNames: [],
      write: (line) => void this.lines.push(line),
      ...options.log,
    })
    this.events = new HubEvents({
      logger,
      metrics: this.metrics,
      clock: this.clock,
      printResponse: false,
      printResponseBody: false,
      printRequestBody: false,
      ...options,
    })
  }

  records(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** One sample of the exposition, e.g. `gateway_up` or `retries_total{connector="a",function="b"}`. */
  async sample(name: string): Promise<number | undefined> {
    const text = await this.metrics.registry.metrics()
    const line = text.split('\n').find((one) => one.startsWith(`connector_hub_${name} `))
    return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
  }
}
