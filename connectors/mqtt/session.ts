// One MQTT connection as a client that consumes: handshake, subscriptions, keep-alive, and acknowledgements exactly when it
// is told to. Knows nothing of deliveries; made anew for every connect by mqtt-source.ts.

import type { Duplex } from 'node:stream'

import { generate, parser } from 'mqtt-packet'
import type {
  IConnackPacket,
  IConnectPacket,
  IDisconnectPacket,
  IPublishPacket,
  IUnsubackPacket,
  ISubackPacket,
  Packet,
  QoS,
} from 'mqtt-packet'

import { HubError, errorText } from '../../src/sdk/index.ts'
import type { Clock, ClockTimer } from '../../src/sdk/index.ts'

export interface SessionOptions {
  readonly connect: IConnectPacket
  readonly clock: Clock
  readonly keepAliveMs: number
  /** For error messages; without credentials. */
  readonly address: string
}

export interface SessionHandlers {
  publish(packet: IPublishPacket): void
  /** The broker gives up its copy of a QoS 2 message (PUBREL). */
  released(messageId: number): void
  /** Once, when the connection is over by no wish of ours. */
  lost(error: HubError): void
}

/** MQTT 5.0 §2.4 and MQTT 3.1.1 §3.2.2.3: codes of refusals that concern who we are. */
const AUTH_CODES: Readonly<Record<4 | 5, ReadonlySet<number>>> = {
  4: new Set([4, 5]),
  5: new Set([0x86, 0x87, 0x8a, 0x8c]),
}
/** Unavailable, busy, quota, rate: come back later. */
const LATER_CODES: Readonly<Record<4 | 5, ReadonlySet<number>>> = {
  4: new Set([3]),
  5: new Set([0x88, 0x89, 0x97, 0x9f]),
}
const SESSION_TAKEN_OVER = 0x8e
const SUBSCRIPTIONS_A_PACKET = 100
/** For the broker to close after DISCONNECT. */
const END_MS = 1000

export class MqttSession {
  readonly #options: SessionOptions
  readonly #stream: Duplex
  readonly #version: 4 | 5
  readonly #parser
  #handlers: SessionHandlers | undefined
  #connack: { resolve(packet: IConnackPacket): void; reject(error: HubError): void } | undefined
  readonly #requests = new Map<
    number,
    { resolve(packet: ISubackPacket | IUnsubackPacket): void; reject(error: HubError): void }
  >()
  #nextId = 1
  #timer: ClockTimer | undefined
  #lastHeardAt: number
  #over = false
  #paused = false
  sessionPresent = false

  constructor(stream: Duplex, options: SessionOptions) {
    this.#stream = stream
    this.#options = options
    this.#version = options.connect.protocolVersion === 5 ? 5 : 4
    this.#parser = parser({ protocolVersion: this.#version })
    this.#lastHeardAt = options.clock.monotonic()
    this.#parser.on('packet', (packet) => this.#received(packet))
    this.#parser.on('error', (error: unknown) =>
      this.#fail(new HubError('HUB_SOURCE_PROTOCOL', `${options.address} does not speak MQTT: ${errorText(error)}`)),
    )
    stream.on('data', (chunk: Buffer) => {
      this.#lastHeardAt = options.clock.monotonic()
      if (!this.#over) this.#parser.parse(chunk)
    })
    stream.on('error', (error) => this.#fail(this.#lostError(errorText(error), error)))
    stream.on('close', () => this.#fail(this.#lostError('the connection was closed')))
  }

  /** Sends CONNECT and waits for CONNACK. @throws HubError HUB_SOURCE_AUTH, _PROTOCOL, _UNREACHABLE, _LOST */
  async handshake(handlers: SessionHandlers): Promise<IConnackPacket> {
    const answer = new Promise<IConnackPacket>((resolve, reject) => (this.#connack = { resolve, reject }))
    this.#handlers = handlers
    this.#send(this.#options.connect)
    const connack = await answer
    const code = connack.reasonCode ?? connack.returnCode ?? 0
    if (code !== 0) {
      const error = this.#refusal(code, connack.properties?.reasonString)
      this.destroy()
      throw error
    }
    this.sessionPresent = connack.sessionPresent
    const keepAliveMs =
      connack.properties?.serverKeepAlive === undefined
        ? this.#options.keepAliveMs
        : connack.properties.serverKeepAlive * 1000
    this.#keepAlive(keepAliveMs)
    return connack
  }

  /** The broker's code per filter, in order: the granted QoS, or 0x80 and above for a refusal. */
  async subscribe(filters: readonly string[], qos: QoS): Promise<number[]> {
    const codes: number[] = []
    for (let from = 0; from < filters.length; from += SUBSCRIPTIONS_A_PACKET) {
      const subscriptions = filters.slice(from, from + SUBSCRIPTIONS_A_PACKET).map((topic) => ({ topic, qos }))
      const suback = await this.#request((messageId) => ({ cmd: 'subscribe', messageId, subscriptions }))
      codes.push(...(suback.granted as number[]))
    }
    return codes
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    for (let from = 0; from < filters.length; from += SUBSCRIPTIONS_A_PACKET) {
      await this.#request((messageId) => ({
        cmd: 'unsubscribe',
        messageId,
        unsubscriptions: filters.slice(from, from + SUBSCRIPTIONS_A_PACKET),
      }))
    }
  }

  /** QoS 1: PUBACK. QoS 2: PUBREC; the rest of that exchange follows by itself. */
  acknowledge(messageId: number, qos: QoS): void {
    this.#send({ cmd: qos === 2 ? 'pubrec' : 'puback', messageId, reasonCode: 0 })
  }

  get over(): boolean {
    return this.#over
  }

  /** Stops or goes on reading. While stopped nothing can be heard, so silence proves nothing. */
  pause(paused: boolean): void {
    if (paused === this.#paused || this.#over) return
    this.#paused = paused
    if (paused) this.#stream.pause()
    else {
      this.#lastHeardAt = this.#options.clock.monotonic()
      this.#stream.resume()
    }
  }

  /**
   * DISCONNECT, then waits for the broker to close. What it still sends is read and dropped: closing a socket with unread
   * data resets it, and the broker might never see the acknowledgements before. Idempotent; `lost` is not called.
   */
  async end(): Promise<void> {
    if (this.#over) return
    this.#send({ cmd: 'disconnect', reasonCode: 0 })
    this.#close(this.#lostError('closed'))
    if (this.#stream.closed) return
    const closed = new Promise<void>((resolve) => this.#stream.once('close', () => resolve()))
    const timer = this.#options.clock.after(END_MS, () => this.#stream.destroy())
    this.#stream.resume()
    this.#stream.end()
    await closed
    timer.cancel()
  }

  /** Cuts the connection without a word, so that the broker keeps the session and publishes no goodbye. */
  destroy(): void {
    this.#close(this.#lostError('closed'))
    this.#stream.destroy()
  }

  /** Whatever else arrives (PINGRESP) has done its work by being heard. */
  #received(packet: Packet): void {
    if (this.#over) return
    const { cmd } = packet
    if (
      cmd !== 'connack' &&
      cmd !== 'publish' &&
      cmd !== 'pubrel' &&
      cmd !== 'suback' &&
      cmd !== 'unsuback' &&
      cmd !== 'disconnect'
    )
      return
    switch (cmd) {
      case 'connack':
        this.#connack?.resolve(packet)
        this.#connack = undefined
        break
      case 'publish':
        this.#handlers?.publish(packet)
        break
      case 'pubrel':
        this.#send({ cmd: 'pubcomp', messageId: packet.messageId as number, reasonCode: 0 })
        this.#handlers?.released(packet.messageId as number)
        break
      case 'suback':
      case 'unsuback':
        this.#requests.get(packet.messageId as number)?.resolve(packet)
        this.#requests.delete(packet.messageId as number)
        break
      case 'disconnect':
        this.#fail(this.#disconnected(packet))
        break
    }
  }

  #request(packet: (messageId: number) => Packet): Promise<ISubackPacket | IUnsubackPacket> {
    if (this.#over) return Promise.reject(this.#lostError('the connection is closed'))
    const messageId = this.#nextId
    this.#nextId = messageId === 65_535 ? 1 : messageId + 1
    return new Promise((resolve, reject) => {
      this.#requests.set(messageId, { resolve, reject })
      this.#send(packet(messageId))
    })
  }

  #send(packet: Packet): void {
    if (!this.#over && this.#stream.writable) this.#stream.write(generate(packet, { protocolVersion: this.#version }))
  }

  /** MQTT 5.0 §3.1.2.10: something is sent within the interval, and silence for one and a half of it is a dead peer. */
  #keepAlive(intervalMs: number): void {
    if (intervalMs === 0) return
    const tick = (): void => {
      const silentMs = this.#options.clock.monotonic() - this.#lastHeardAt
      if (silentMs > intervalMs * 1.5 && !this.#paused) {
        this.#fail(this.#lostError(`nothing was heard for ${Math.round(silentMs)} ms`))
        return
      }
      this.#send({ cmd: 'pingreq' })
      this.#timer = this.#options.clock.after(intervalMs / 2, tick)
    }
    this.#timer = this.#options.clock.after(intervalMs / 2, tick)
  }

  #refusal(code: number, reason: string | undefined): HubError {
    const { address } = this.#options
    const why = `code 0x${code.toString(16).padStart(2, '0')}${reason === undefined ? '' : `, ${reason}`}`
    if (AUTH_CODES[this.#version].has(code))
      return new HubError('HUB_SOURCE_AUTH', `${address} refused the credentials (${why})`)
    if (LATER_CODES[this.#version].has(code))
      return new HubError('HUB_SOURCE_UNREACHABLE', `${address} is not available now (${why})`, { canRetry: true })
    if (code === 1 || code === 0x84)
      return new HubError('HUB_SOURCE_PROTOCOL', `${address} does not speak this version of MQTT (${why})`, {
        hint: 'Set protocolVersion: 4 for MQTT 3.1.1.',
      })
    return new HubError('HUB_SOURCE_PROTOCOL', `${address} refused the connection (${why})`)
  }

  #disconnected({ reasonCode, properties }: IDisconnectPacket): HubError {
    if (reasonCode !== SESSION_TAKEN_OVER)
      return this.#lostError(
        `the broker ended the session, code 0x${(reasonCode ?? 0).toString(16)}${properties?.reasonString === undefined ? '' : `, ${properties.reasonString}`}`,
      )
    return new HubError(
      'HUB_SOURCE_LOST',
      `${this.#options.address}: another client took over the session ${this.#options.connect.clientId}`,
      { canRetry: true, hint: 'Give every replica a clientId of its own, and the same sharedGroup.' },
    )
  }

  #lostError(text: string, cause?: unknown): HubError {
    return new HubError('HUB_SOURCE_LOST', `${this.#options.address}: ${text}`, {
      canRetry: true,
      ...(cause === undefined ? {} : { cause }),
    })
  }

  #fail(error: HubError): void {
    if (this.#over) return
    this.#close(error)
    this.#stream.destroy()
    this.#handlers?.lost(error)
  }

  #close(error: HubError): void {
    this.#over = true
    this.#timer?.cancel()
    this.#connack?.reject(error)
    for (const waiting of this.#requests.values()) waiting.reject(error)
    this.#requests.clear()
  }
}
