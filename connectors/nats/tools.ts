// What the command line can do at NATS beside running the connector, in the layer that is configured. Loaded when it is asked
// for. There are no letters: the server keeps none.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import type { NatsConfig } from './dial.ts'
import { NatsEmitter } from './emit.ts'
import { StreamsLag } from './lag.ts'
import { CorePeek } from './peek-core.ts'
import { StreamsPeek } from './peek-streams.ts'

export function natsTools(config: NatsConfig, context: ToolContext): Tools {
  return {
    peek: (wanted, signal) =>
      config.layer === 'core'
        ? CorePeek.open(config, context, wanted, signal)
        : StreamsPeek.open(config, context, wanted, signal),
    emitter: (signal) => NatsEmitter.open(config, context, signal),
    // Core NATS keeps nothing, so nothing can wait there.
    ...(config.layer === 'core' ? {} : { lag: (signal: AbortSignal) => StreamsLag.open(config, context, signal) }),
  }
}
