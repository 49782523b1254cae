// What the scaler shows of itself at /metrics: what it was asked, what it answered, and what its answers go by.

import { Counter, Gauge } from '@prometheus-io/client'

import type { Metrics } from '../telemetry/metrics.ts'
import type { StatusName } from './refused-call.ts'
import type { Watches } from './service.ts'
import { lagEvents } from './verdict.ts'

const PREFIX = 'connector_hub_scaler_'

export class ScalerMetrics {
  readonly #calls: Counter<'method' | 'status'>

  /** Once per registry. */
  constructor({ registry }: Metrics, watches: Watches, streams: () => number) {
    const registers = [registry]
    this.#calls = new Counter({ name: `${PREFIX}calls_total`, help: 'Calls of KEDA by gRPC method and status.', labelNames: ['method', 'status'], registers }) // prettier-ignore
    const open = new Gauge({
      name: `${PREFIX}streams`,
      help: 'Streams of KEDA that are open.',
      registers,
      collect: (): void => {
        open.set(streams())
      },
    })
    const known = new Gauge({
      name: `${PREFIX}lag_known`,
      help: '1 while the broker tells how much waits for the connector, over all replicas.',
      labelNames: ['connector'],
      registers,
      collect: () => {
        for (const [connector, watch] of watches)
          if (watch !== 'untold') known.set({ connector }, 'value' in lagEvents(watch.reading) ? 1 : 0)
      },
    })
    const events = new Gauge({
      name: `${PREFIX}lag_events`,
      help: 'Events at the broker that are not settled, over all replicas; absent while that is not known.',
      labelNames: ['connector'],
      registers,
      collect: () => {
        events.reset()
        for (const [connector, watch] of watches) {
          const verdict = watch === 'untold' ? undefined : lagEvents(watch.reading)
          if (verdict !== undefined && 'value' in verdict) events.set({ connector }, verdict.value)
        }
      },
    })
  }

  called(method: string, status: StatusName): void {
    this.#calls.inc({ method, status })
  }
}
