// One MQTT source under test, and a plain client that publishes to it.

import { connectAsync } from 'mqtt'
import type { IClientOptions, IClientPublishOptions, MqttClient } from 'mqtt'

import type { HubError } from '../../src/sdk/index.ts'
import { SourceRig } from '../../test/source-rig.ts'
import type { RigOptions } from '../../test/source-rig.ts'
import connector from './connector.ts'

export { MemoryState, ack, until } from '../../test/source-rig.ts'

let rigs = 0

export class MqttRig extends SourceRig {
  constructor(config: Readonly<Record<string, unknown>>, options?: RigOptions) {
    super(connector, { clientId: `rig-${process.pid}-${(rigs += 1)}`, ...config }, options)
  }

  static open(
    config: Readonly<Record<string, unknown>>,
    topics: readonly string[],
    options?: RigOptions,
  ): Promise<MqttRig> {
    return new MqttRig(config, options).opened(topics)
  }
}

/** The error of a connect that must fail. */
export async function refusal(config: Readonly<Record<string, unknown>>, options?: RigOptions): Promise<HubError> {
  await using rig = new MqttRig(config, options)
  return await rig.refused()
}

export interface Publisher extends AsyncDisposable {
  readonly client: MqttClient
  send(topic: string, body: string | Buffer, options?: IClientPublishOptions): Promise<unknown>
}

export async function publisher(url: string, options: IClientOptions = {}): Promise<Publisher> {
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...options }, false)
  return {
    client,
    send: (topic, body, publish) => client.publishAsync(topic, body, { qos: 1, ...publish }),
    [Symbol.asyncDispose]: () => client.endAsync(true),
  }
}
