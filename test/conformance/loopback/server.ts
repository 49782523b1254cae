// The loopback broker: a small, honest message broker on a TCP port. Not for production; the conformance suite's own
// subject and the source of the benchmark. What it keeps survives `stop` and `start`, as a disk would.

import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

import type { Clock, DeadLetter } from '../../../src/sdk/index.ts'
import { Group } from './group.ts'
import type { Consumer } from './group.ts'
import { receive, send } from './wire.ts'
import type { Entry, Reply, Request } from './wire.ts'

export interface LoopbackEvent {
  readonly body: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly key?: string
}

export class LoopbackBroker implements AsyncDisposable {
  readonly letters: DeadLetter[] = []
  readonly #clock: Clock
  readonly #password: string
  readonly #groups = new Map<string, Group>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0
  #published = 0

  constructor(clock: Clock, password: string) {
    this.#clock = clock
    this.#password = password
  }

  get port(): number {
    return this.#port
  }

  /** Listens on the loopback interface: a free port the first time, the same one again after `stop`. */
  async start(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  /** Resets every connection. Idempotent. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Every group that is subscribed to the topic gets each event, in order. */
  publish(topic: string, events: readonly LoopbackEvent[]): void {
    for (const { body, headers = {}, key } of events) {
      const id = `${topic}@${this.#published++}`
      const event = { id, topic, body, headers, key, timestampMs: this.#clock.now() }
      for (const group of this.#groups.values()) if (group.topics.has(topic)) group.append(event)
    }
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    let leave = (): void => undefined
    let answer: ((request: Request) => string | undefined) | undefined
    socket.on('error', () => undefined) // 'close' follows and does the work
    socket.on('close', () => {
      this.#sockets.delete(socket)
      leave()
    })
    receive(socket, (request: Request) => {
      const { re } = request
      let error: string | undefined
      if (request.op === 'hello') {
        if (request.password === this.#password) {
          const group = this.#group(request.group)
          const give = (entry: Entry): void => send(socket, { entry })
          const consumer: Consumer = { window: request.window, held: new Map(), give }
          answer = (next) => this.#answer(group, consumer, next)
          leave = () => group.leave(consumer)
        } else error = 'auth'
      } else error = answer === undefined ? 'auth' : answer(request)
      const reply: Reply = error === undefined ? { re } : { re, error }
      if (!socket.destroyed) send(socket, reply)
    })
  }

  #answer(group: Group, consumer: Consumer, request: Request): string | undefined {
    switch (request.op) {
      case 'hello':
        return 'auth'
      case 'subscribe':
        group.topics = new Set(request.topics)
        group.join(consumer)
        return undefined
      case 'ack':
        return group.settle(consumer, request.seq) ? undefined : 'gone'
      case 'commit':
        group.commit(consumer, request.before)
        return undefined
      case 'retry':
        return group.retry(consumer, request.seq, request.delayMs) ? undefined : 'gone'
      case 'reject':
        this.letters.push(...request.letters)
        return group.settle(consumer, request.seq) ? undefined : 'gone'
    }
  }

  #group(name: string): Group {
    let group = this.#groups.get(name)
    if (group === undefined) this.#groups.set(name, (group = new Group(this.#clock)))
    return group
  }
}
