// What `dry-run` sees of schedules: their fires as they come due. Reads and writes no state, so a running hub is not disturbed.

import { detachedContext } from '../../src/sdk/index.ts'
import type { ConfigOf, EventMessage, Peek, SourceContext, Subscription, ToolContext, Tools } from '../../src/sdk/index.ts' // prettier-ignore
import { CronSource } from './cron-source.ts'
import type { manifest } from './manifest.ts'

type Config = ConfigOf<typeof manifest.fields>

/** Without an emitter: there is nothing that an event could be published to. */
export function cronTools(config: Config, context: ToolContext): Tools {
  return { peek: (wanted, signal) => peek(config, context, wanted, signal) }
}

/** A source of our own, for which every schedule is new: what a hub missed before is its business. */
async function peek(
  config: Config,
  context: ToolContext,
  wanted: readonly Subscription[],
  signal: AbortSignal,
): Promise<Peek> {
  const source = new CronSource(config, sourceContext(context))
  await source.connect(signal)
  // A person who reads slowly is not a function that is still running.
  await source.subscribe(wanted.map((one) => (one.kind === 'schedule' ? { ...one, overlap: 'allow' } : one)), signal) // prettier-ignore
  return {
    means: 'Fires are worked out from the schedules and the clock of this machine as they come due; those missed before are not shown.', // prettier-ignore
    caution: undefined,
    events: () => fires(source, signal),
    [Symbol.asyncDispose]: () => source.close(),
  }
}

async function* fires(source: CronSource, signal: AbortSignal): AsyncGenerator<EventMessage, void> {
  for await (const delivery of source.deliveries(signal)) {
    await delivery.settle({ kind: 'ack' })
    yield delivery.message
  }
}

/** What a source says of its fires ("Invoking") would not be true here. */
function sourceContext({ instance, clock, log }: ToolContext): SourceContext {
  const nothing = (): void => undefined
  const warn = (event: string, text: string): void => log.warn(event, text)
  const error = (event: string, text: string): void => log.error(event, text)
  return detachedContext({ instance, clock, log: { debug: nothing, info: nothing, warn, error } })
}
