// Publishes test events over a session of its own, each confirmed as its quality of service has it. Called by tools.ts.

import type { QoS } from 'mqtt-packet'

import { redactUrl } from '../../src/sdk/index.ts'
import type { Emitter, OutgoingEvent, ToolContext } from '../../src/sdk/index.ts'
import { dial, ownClientId } from './dial.ts'
import type { MqttConfig } from './dial.ts'
import { propertiesOf, targetOf } from './outgoing.ts'
import { Publishing } from './publishing.ts'
import type { MqttSession } from './session.ts'

const IN_FLIGHT_MAX = 256
/** MQTT 5.0 §3.4.2.1: taken, and nobody is subscribed to the topic. */
const NO_SUBSCRIBERS = 0x10

export class MqttEmitter implements Emitter {
  readonly place: string
  readonly inFlightMax: number
  readonly #config: MqttConfig
  readonly #session: MqttSession
  readonly #publishing: Publishing
  readonly #qos: QoS

  private constructor(config: MqttConfig, session: MqttSession, publishing: Publishing) {
    this.#config = config
    this.#session = session
    this.#publishing = publishing
    const { unconfirmedMax, qosMax } = session.limits
    this.inFlightMax = Math.min(unconfirmedMax, IN_FLIGHT_MAX)
    this.#qos = config.qos <= qosMax ? config.qos : qosMax
    this.place = `MQTT ${session.version === 5 ? '5.0' : '3.1.1'} with QoS ${this.#qos} at ${redactUrl(config.url)}`
  }

  /** @throws HubError HUB_SOURCE_* */
  static async open(config: MqttConfig, { clock }: ToolContext, signal: AbortSignal): Promise<MqttEmitter> {
    const options = { clock, answerMs: config.connectTimeout, address: redactUrl(config.url) }
    let publishing: Publishing | undefined
    const session = await dial(
      { config, clock, clientId: ownClientId('emit'), clean: true, receiveMaximum: 1 },
      () => ({
        connected: () => {},
        publish: () => {},
        released: () => {},
        answered: (packet) => publishing?.answered(packet),
        lost: ({ message }) => publishing?.lost(message),
      }),
      signal,
    )
    publishing = new Publishing(session, options)
    return new MqttEmitter(config, session, publishing)
  }

  async emit(event: OutgoingEvent): Promise<string> {
    const { topic, body } = event
    const properties = propertiesOf(event, this.#session.version)
    const target = targetOf(topic, this.#config)
    const payload = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    const packet = { topic: target, payload, ...(properties === undefined ? {} : { properties }) }
    const code = await this.#publishing.publish(packet, this.#qos)
    return `${topic}, ${this.#confirmation(code)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.end()
    this.#publishing.lost(`${redactUrl(this.#config.url)}: the connection was closed`)
  }

  #confirmation(code: number): string {
    if (this.#qos === 0) return 'sent (QoS 0 is not confirmed)'
    const answer = this.#qos === 1 ? 'PUBACK' : 'PUBCOMP'
    if (code === NO_SUBSCRIBERS) return `${answer}: nobody is subscribed to it`
    // MQTT 3.1.1 §3.3.5: a broker has no way to say so.
    return this.#session.version === 5 ? answer : `${answer}, which MQTT 3.1.1 sends for what is refused, too`
  }
}
