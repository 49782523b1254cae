// A call that asks to change the protocol, such as a WebSocket: answered as any other call until the function says yes, then
// bytes in both directions. Made by listener.ts, joined by invocation.ts.

import { Server, ServerResponse } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** What the sockets of an HTTP server are. */
type ServerSocket = IncomingMessage['socket']

/** An answer on a connection that the HTTP server has let go of; it is the last one on it. */
export class TunnelResponse extends ServerResponse {
  readonly #socket: ServerSocket
  /** Sent by the caller right behind its request. */
  readonly #head: Buffer
  #isJoined = false

  constructor(request: IncomingMessage, head: Buffer) {
    super(request)
    this.#socket = request.socket
    this.#head = head
    this.shouldKeepAlive = false
    this.assignSocket(request.socket)
    this.once('finish', () => this.#finished())
  }

  /** Sends the head, then everything that comes from either side. Resolves when both are closed. */
  async join(headers: readonly string[], protocol: string, peer: Duplex): Promise<void> {
    const socket = this.#socket
    this.#isJoined = true
    this.writeHead(101, [...headers, 'Connection', 'Upgrade', 'Upgrade', protocol])
    await new Promise<void>((resolve) => this.once('finish', resolve).once('close', resolve).end())
    this.detachSocket(socket)
    if (this.#head.byteLength > 0) peer.write(this.#head)
    await Promise.all([passOn(socket, peer), passOn(peer, socket)])
  }

  /** As the HTTP server does for those that are its own. */
  #finished(): void {
    if (this.#isJoined) return
    this.detachSocket(this.#socket)
    this.#socket.end(() => this.#socket.destroy())
    this.emit('close')
  }
}

/** Resolves when there is nothing left to pass on; whatever broke, the other side hears that it is over. */
function passOn(from: Duplex, to: Duplex): Promise<void> {
  return new Promise((resolve) => {
    from.on('error', () => {})
    from.once('close', () => {
      to.destroy()
      resolve()
    })
    if (from.destroyed) {
      to.destroy()
      resolve()
    } else from.pipe(to)
  })
}

/** Ends tunnels with the other connections: Node's own server has forgotten them, and would wait for them all the same. */
export class TunnelServer extends Server {
  readonly #tunnels = new Set<Duplex>()

  track(socket: Duplex): void {
    this.#tunnels.add(socket)
    socket.once('close', () => this.#tunnels.delete(socket))
  }

  override closeAllConnections(): void {
    super.closeAllConnections()
    for (const socket of this.#tunnels) socket.destroy()
  }
}
