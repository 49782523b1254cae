// What the command line can do at Kafka beside running the connector. Loaded when it is asked for.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import { KafkaLetterBox } from './dead-letters.ts'
import type { KafkaConfig } from './dial.ts'
import { KafkaEmitter } from './emit.ts'
import { KafkaLag } from './lag.ts'
import { KafkaPeek } from './peek.ts'

export function kafkaTools(config: KafkaConfig, context: ToolContext): Tools {
  return {
    peek: (wanted, signal) => KafkaPeek.open(config, context, wanted, signal),
    emitter: (signal) => KafkaEmitter.open(config, context, signal),
    letters: async (from, signal) =>
      config.deadLetters === 'hub' ? undefined : await KafkaLetterBox.open(config, context, from, signal),
    lag: (signal) => KafkaLag.open(config, context, signal),
  }
}
