// A scaler's server on a port of its own, whose brokers say what the test says, on a clock that the test moves.

import { HubError, ManualClock } from '../../src/sdk/index.ts'
import type { LagProbe, Subscription, TopicLag } from '../../src/sdk/index.ts'
import { LagWatch, startScaler } from '../../src/scaler/index.ts'
import type { ScalerOptions, ScalerServer, Watches } from '../../src/scaler/index.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { LogRecord } from '../conformance/recording.ts'
import { until } from '../hub/rig.ts'

export const INTERVAL_MS = 5000

/** The broker of one instance. */
export class Broker {
  /** What it answers next; `silent`: nothing. */
  answer: readonly TopicLag[] | HubError | 'silent' = []
  wanted: readonly Subscription[] | undefined = []
  /** What replicas have, where they are asked. */
  held: (() => Promise<number>) | undefined
  opened = 0
  disposed = 0
  asked = 0

  readonly open = (): Promise<LagProbe> => {
    this.opened += 1
    return Promise.resolve({
      read: (_wanted, signal) => this.#read(signal),
      [Symbol.asyncDispose]: () => Promise.resolve(void (this.disposed += 1)),
    })
  }

  #read(signal: AbortSignal): Promise<readonly TopicLag[]> {
    this.asked += 1
    const { answer } = this
    if (answer instanceof HubError) return Promise.reject(answer)
    if (answer !== 'silent') return Promise.resolve(answer)
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  }
}

export const known = (waiting: number, unsettled: number | undefined = 0, topic = 'orders'): TopicLag => ({ topic, kind: 'known', waiting, unsettled }) // prettier-ignore
export const unread: TopicLag = { topic: 'new', kind: 'unread' }
export const unknown: TopicLag = { topic: 'gone', kind: 'unknown', problem: new HubError('HUB_TOPIC_MISSING', 'queue gone does not exist', { hint: 'Create it.' }) } // prettier-ignore

export function watchOf(broker: Broker, clock: ManualClock, name = 'rabbit', log = new LogRecord()): LagWatch {
  return new LagWatch({
    name,
    open: broker.open,
    wanted: () => broker.wanted,
    held: broker.held,
    clock,
    log,
    intervalMs: INTERVAL_MS,
  })
}

export class ScalerRig implements AsyncDisposable {
  readonly clock = new ManualClock(0)
  readonly broker = new Broker()
  readonly log = new LogRecord()
  readonly metrics = new Metrics()
  readonly watch = watchOf(this.broker, this.clock, 'rabbit', this.log)
  readonly watches: Watches = new Map<string, LagWatch | 'untold'>([['rabbit', this.watch], ['cron', 'untold']]) // prettier-ignore
  server: ScalerServer | undefined

  async start(options: Partial<Pick<ScalerOptions, 'tls' | 'port' | 'host'>> = {}): Promise<this> {
    const { clock, log, metrics, watches } = this
    this.server = await startScaler({ host: '127.0.0.1', port: 0, tls: undefined, clock, log, metrics, watches, ...options }) // prettier-ignore
    return this
  }

  get address(): string {
    return this.server?.address ?? ''
  }

  /** The broker is asked, and says this. */
  async says(answer: Broker['answer']): Promise<void> {
    this.broker.answer = answer
    const { asked } = this.broker
    this.watch.look()
    await this.clock.advance(0)
    await until(() => this.broker.asked > asked, 'the broker is asked')
    await new Promise((resolve) => setImmediate(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What waits for its time must not hold up the end.
    const closing = Promise.all([this.server?.close(), this.watch.close()])
    await this.clock.advance(60_000)
    await closing
  }
}
