// One connection to the loopback broker: requests with replies, and entries as they come. Used by connector.ts.

import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

import { HubError, errorText } from '../../../src/sdk/index.ts'
import { receive, send } from './wire.ts'
import type { Command, Entry, FromBroker, Reply } from './wire.ts'

export interface Address {
  readonly port: number
  readonly tls: boolean
}

export class LoopbackClient {
  readonly #socket: Socket
  readonly #waiting = new Map<number, (reply: Reply | HubError) => void>()
  readonly #closed: Promise<void>
  #requests = 0

  private constructor(socket: Socket, onEntry: (entry: Entry) => void, onLost: (error: HubError) => void) {
    this.#socket = socket
    receive(socket, (message: FromBroker) => {
      if ('entry' in message) onEntry(message.entry)
      else this.#take(message.re)?.(message)
    })
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        const lost = new HubError('HUB_SOURCE_LOST', 'the connection to the loopback broker was lost', {
          canRetry: true,
        })
        for (const answer of this.#waiting.values()) answer(lost)
        this.#waiting.clear()
        onLost(lost)
        resolve()
      })
    })
  }

  /** @throws HubError HUB_SOURCE_UNREACHABLE, HUB_SOURCE_TLS, or the signal's reason. */
  static async open(
    { port, tls }: Address,
    signal: AbortSignal,
    onEntry: (entry: Entry) => void,
    onLost: (error: HubError) => void,
  ): Promise<LoopbackClient> {
    signal.throwIfAborted()
    const address = { host: '127.0.0.1', port }
    const socket = tls ? connectTls(address) : connectTcp(address)
    let reached = false
    socket.once('connect', () => (reached = true))
    const abort = (): void => void socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        socket.once(tls ? 'secureConnect' : 'connect', resolve)
      })
    } catch (error) {
      signal.throwIfAborted()
      if (tls && reached)
        throw new HubError('HUB_SOURCE_TLS', `127.0.0.1:${port}: ${errorText(error)}`, { cause: error })
      throw new HubError('HUB_SOURCE_UNREACHABLE', `127.0.0.1:${port}: ${errorText(error)}`, { cause: error, canRetry: true }) // prettier-ignore
    } finally {
      signal.removeEventListener('abort', abort)
    }
    socket.setNoDelay(true)
    socket.on('error', () => undefined) // 'close' follows and does the work
    return new LoopbackClient(socket, onEntry, onLost)
  }

  /** @throws HubError HUB_SOURCE_AUTH, HUB_SOURCE_PROTOCOL (`gone`), HUB_SOURCE_LOST */
  async request(command: Command): Promise<void> {
    const reply = await new Promise<Reply | HubError>((resolve) => {
      if (this.#socket.destroyed) {
        resolve(new HubError('HUB_SOURCE_LOST', 'the connection is closed', { canRetry: true }))
        return
      }
      const re = this.#requests++
      this.#waiting.set(re, resolve)
      send(this.#socket, { ...command, re })
    })
    if (reply instanceof HubError) throw reply
    if (reply.error === 'auth') throw new HubError('HUB_SOURCE_AUTH', 'the loopback broker refused the password')
    if (reply.error !== undefined)
      throw new HubError('HUB_SOURCE_PROTOCOL', `${command.op}: the broker answered ${reply.error}`)
  }

  /** Resolves once the connection is gone. Idempotent. */
  async close(): Promise<void> {
    this.#socket.destroy()
    await this.#closed
  }

  #take(re: number): ((reply: Reply | HubError) => void) | undefined {
    const waiting = this.#waiting.get(re)
    this.#waiting.delete(re)
    return waiting
  }
}
