// A small MQTT broker in this process, for development: MQTT 3.1.1, in memory, on the loopback interface.

import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'

import { Aedes } from 'aedes'

import type { EmbeddedBroker, StartEmbedded } from '../../src/sdk/index.ts'

const USUAL_PORT = 1883

const startEmbedded: StartEmbedded = async ({ port }): Promise<EmbeddedBroker> => {
  const broker = await Aedes.createBroker()
  const server = createServer((socket) => void broker.handle(socket))
  await listen(server, port ?? USUAL_PORT).catch((error: NodeJS.ErrnoException) => {
    if (port !== undefined || error.code !== 'EADDRINUSE') throw error
    return listen(server, 0)
  })
  const address = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    address,
    config: { url: address },
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => broker.close(() => resolve()))
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

export default startEmbedded

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve()
    })
  })
}
