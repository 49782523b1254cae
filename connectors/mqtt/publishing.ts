// Messages on their way to the broker, each until it is confirmed: PUBACK with QoS 1, PUBREC and PUBCOMP with QoS 2, written out
// with QoS 0. Knows one session; owned by emit.ts.

import type { IPublishPacket, QoS } from 'mqtt-packet'

import { HubError } from '../../src/sdk/index.ts'
import type { Clock, ClockTimer } from '../../src/sdk/index.ts'
import { REFUSED_FROM, publishProblem } from './problems.ts'
import type { MqttSession, PublishAnswer } from './session.ts'

export interface PublishingOptions {
  readonly clock: Clock
  /** How long the broker may take for the next confirmation. Milliseconds. */
  readonly answerMs: number
  /** For messages; without credentials. */
  readonly address: string
}

interface Message {
  readonly topic: string
  readonly resolve: (code: number) => void
  readonly reject: (error: HubError) => void
  /** The code of PUBREC. */
  received: number
}

type Content = Pick<IPublishPacket, 'topic' | 'payload' | 'properties'>

const PUBLISH = { cmd: 'publish', dup: false, retain: false } as const
const PACKET_IDS_MAX = 65_535

export class Publishing {
  readonly #options: PublishingOptions
  readonly #session: MqttSession
  /** By packet identifier. */
  readonly #messages = new Map<number, Message>()
  /** Of QoS 0. */
  readonly #unwritten = new Set<Message>()
  #nextId = 1
  #answerDue: ClockTimer | undefined

  constructor(session: MqttSession, options: PublishingOptions) {
    this.#session = session
    this.#options = options
  }

  /**
   * In the order of the calls.
   * @returns the broker's code, below 0x80; 0 with QoS 0
   * @throws HubError HUB_EMIT_FAILED; HUB_USAGE when it is larger than the broker takes
   */
  publish(packet: Content, qos: QoS): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const message = { topic: packet.topic, resolve, reject, received: 0 }
    if (this.#session.over) reject(this.#failed(`${this.#options.address}: the connection has ended; nothing was sent`))
    else if (qos === 0) this.#write(packet, message)
    else this.#send(packet, message, qos)
    return promise
  }

  #write(packet: Content, message: Message): void {
    this.#unwritten.add(message)
    const size = this.#session.send({ ...PUBLISH, ...packet, qos: 0 }, () => {
      this.#unwritten.delete(message)
      message.resolve(0)
    })
    if (!this.#isTooLarge(size)) return
    this.#unwritten.delete(message)
    message.reject(this.#tooLarge(message, size))
  }

  #send(packet: Content, message: Message, qos: 1 | 2): void {
    const messageId = this.#enter(message)
    const size = this.#session.send({ ...PUBLISH, ...packet, qos, messageId })
    if (!this.#isTooLarge(size)) return
    this.#leave(messageId)
    message.reject(this.#tooLarge(message, size))
  }

  answered({ cmd, messageId = 0, reasonCode = 0, properties }: PublishAnswer): void {
    const message = this.#messages.get(messageId)
    if (message === undefined) return
    if (reasonCode >= REFUSED_FROM) {
      this.#leave(messageId)
      message.reject(publishProblem(message.topic, reasonCode, properties?.reasonString, this.#options.address))
    } else if (cmd === 'pubrec') {
      message.received = reasonCode
      this.#session.send({ cmd: 'pubrel', messageId, reasonCode: 0 })
    } else {
      this.#leave(messageId)
      message.resolve(cmd === 'pubcomp' ? message.received : reasonCode)
    }
  }

  /** Nothing more will be confirmed. @param why with the address */
  lost(why: string): void {
    this.#answerDue?.cancel()
    const messages = [...this.#messages.values(), ...this.#unwritten]
    this.#messages.clear()
    this.#unwritten.clear()
    for (const { reject } of messages) reject(this.#failed(`${why}, before the event was confirmed; it may be there all the same`)) // prettier-ignore
  }

  #enter(message: Message): number {
    let messageId = this.#nextId
    while (this.#messages.has(messageId)) messageId = following(messageId)
    this.#nextId = following(messageId)
    this.#messages.set(messageId, message)
    if (this.#messages.size === 1) this.#expectAnswer()
    return messageId
  }

  #leave(messageId: number): void {
    this.#messages.delete(messageId)
    this.#answerDue?.cancel()
    if (this.#messages.size > 0) this.#expectAnswer()
  }

  #expectAnswer(): void {
    const { clock, answerMs, address } = this.#options
    this.#answerDue?.cancel()
    this.#answerDue = clock.after(answerMs, () => {
      this.#session.destroy()
      this.lost(`${address}: the broker said nothing for ${answerMs} ms`)
    })
  }

  #isTooLarge(size: number): boolean {
    return size > this.#session.limits.bytesMax
  }

  #tooLarge({ topic }: Message, size: number): HubError {
    const text = `${topic}: a packet of ${size} bytes, of which the broker takes at most ${this.#session.limits.bytesMax}`
    return new HubError('HUB_USAGE', text, { hint: 'Send less, or raise the maximum packet size of the broker.' })
  }

  #failed(text: string): HubError {
    return new HubError('HUB_EMIT_FAILED', text, {
      canRetry: true,
      hint: 'Check the log of the broker: it may have gone, or not allow the user to publish to the topic, and say so by hanging up.',
    })
  }
}

function following(messageId: number): number {
  return messageId === PACKET_IDS_MAX ? 1 : messageId + 1
}
