// A server that speaks MQTT packets but decides nothing: the test answers. For what no real broker can be made to do.

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

import { generate, parser } from 'mqtt-packet'
import type { Packet } from 'mqtt-packet'

export interface FakeMqtt extends AsyncDisposable {
  readonly url: string
  /** Everything the client sent, over all connections. */
  readonly received: readonly Packet[]
  /** On the newest connection. */
  send(...packets: readonly Packet[]): void
  sendBytes(bytes: Buffer | string): void
  /** Ends the newest connection. */
  hangUp(): void
  /** Closes the newest connection as a process that dies does. */
  die(): void
  readonly connections: number
}

/** @param answer called with every packet; sends whatever it returns */
export async function startFakeMqtt(version: 4 | 5, answer: (packet: Packet) => readonly Packet[]): Promise<FakeMqtt> {
  const received: Packet[] = []
  let connections = 0
  let newest: Socket | undefined
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections += 1
    newest = socket
    sockets.add(socket)
    const read = parser({ protocolVersion: version })
    read.on('packet', (packet) => {
      received.push(packet)
      for (const reply of answer(packet)) socket.write(generate(reply, { protocolVersion: version }))
    })
    socket.on('data', (chunk) => read.parse(chunk))
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    get connections() {
      return connections
    },
    // In one piece, as a busy broker sends.
    send: (...packets) =>
      void newest?.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: version })))),
    sendBytes: (bytes) => void newest?.write(bytes),
    hangUp: () => newest?.end(),
    die: () => newest?.destroy(),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

/** Accepts and grants everything. */
export function agreeable(packet: Packet, sessionPresent = false): readonly Packet[] {
  if (packet.cmd === 'connect') return [{ cmd: 'connack', sessionPresent, returnCode: 0, reasonCode: 0 }]
  if (packet.cmd === 'subscribe')
    return [
      { cmd: 'suback', messageId: packet.messageId as number, granted: packet.subscriptions.map(({ qos }) => qos) },
    ]
  if (packet.cmd === 'unsubscribe')
    return [{ cmd: 'unsuback', messageId: packet.messageId as number, granted: packet.unsubscriptions.map(() => 0) }]
  if (packet.cmd === 'pingreq') return [{ cmd: 'pingresp' }]
  return []
}
