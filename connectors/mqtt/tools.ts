// What the command line can do at an MQTT broker beside running the connector. Loaded when it is asked for. There are no
// letters: brokers keep none.

import type { ToolContext, Tools } from '../../src/sdk/index.ts'
import type { MqttConfig } from './dial.ts'
import { MqttEmitter } from './emit.ts'
import { MqttPeek } from './peek.ts'

export function mqttTools(config: MqttConfig, context: ToolContext): Tools {
  return {
    peek: (wanted, signal) => MqttPeek.open(config, context, wanted, signal),
    emitter: (signal) => MqttEmitter.open(config, context, signal),
  }
}
