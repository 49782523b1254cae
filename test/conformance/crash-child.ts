// A process that runs one source, reports what it is handed and settles nothing, until it is killed with SIGKILL.
// Forked by crash.ts; knows no connector, it imports the module that its job names.

import { ManualClock, instanceConfig, systemClock } from '../../src/sdk/index.ts'
import type { Connector, EventMessage, Subscription } from '../../src/sdk/index.ts'
import { LogRecord, contextOf } from './recording.ts'

/** First message to the child. */
export interface CrashJob {
  readonly module: string
  readonly config: Readonly<Record<string, unknown>>
  readonly subscriptions: readonly Subscription[]
  readonly unsettledMax: number
  readonly stateFile: string
  /** Start of a manual clock; undefined: the system's. */
  readonly clockMs: number | undefined
}

export type ToChild = { readonly job: CrashJob } | { readonly clockMs: number }
export type FromChild =
  | { readonly kind: 'ready' }
  | { readonly kind: 'delivery'; readonly message: EventMessage }
  | { readonly kind: 'failed'; readonly text: string }

const manual: { clock?: ManualClock } = {}

function say(message: FromChild): void {
  process.send?.(message)
}

async function run(job: CrashJob): Promise<void> {
  const { default: connector } = (await import(job.module)) as { default: Connector }
  if (job.clockMs !== undefined) manual.clock = new ManualClock(job.clockMs)
  const context = contextOf({
    instance: connector.manifest.name,
    clock: manual.clock ?? systemClock,
    log: new LogRecord(),
    stateFile: job.stateFile,
    unsettledMax: job.unsettledMax,
  })
  const source = connector.create(instanceConfig(connector.manifest, job.config), context)
  const { signal } = new AbortController()
  await source.connect(signal)
  await source.subscribe(job.subscriptions, signal)
  say({ kind: 'ready' })
  for await (const { message } of source.deliveries(signal)) say({ kind: 'delivery', message })
  say({ kind: 'failed', text: 'deliveries ended by itself' })
}

process.on('message', (message: ToChild) => {
  if ('job' in message)
    run(message.job).catch((error: unknown) => say({ kind: 'failed', text: error instanceof Error ? String(error.stack) : String(error) })) // prettier-ignore
  else void manual.clock?.advance(message.clockMs - manual.clock.now())
})
// The test process is gone: nobody is left to kill this one.
process.on('disconnect', () => process.exit(1))
