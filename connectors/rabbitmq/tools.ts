// What the command line can do at RabbitMQ beside running the connector. Loaded when it is asked for.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import { RabbitLetterBox } from './dead-letters.ts'
import type { RabbitConfig } from './dial.ts'
import { RabbitEmitter } from './emit.ts'
import { RabbitLag } from './lag.ts'
import { RabbitPeek } from './peek.ts'

export function rabbitTools(config: RabbitConfig, context: ToolContext): Tools {
  return {
    peek: (wanted, signal) => RabbitPeek.open(config, context, wanted, signal),
    emitter: (signal) => RabbitEmitter.open(config, context, signal),
    letters: async (from, signal) =>
      config.deadLetterExchange === undefined ? undefined : await RabbitLetterBox.open(config, context, from, signal),
    lag: (signal) => RabbitLag.open(config, context, signal),
  }
}
