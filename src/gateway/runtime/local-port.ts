// Which port a server of a function listens at: the one it is configured for, or a free one when that is taken, as by
// another replica of it.

import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/** Handed to servers that have not ended yet; some of them are not listening yet. */
const handedOut = new Set<number>()

export interface LocalPort extends Disposable {
  readonly port: number
}

/** @param wanted 0: any. Another is given when it is taken. Disposed when the server has ended */
export async function localPort(host: string, wanted: number): Promise<LocalPort> {
  const isFree = wanted !== 0 && !handedOut.has(wanted) && (await listenAt(host, wanted)) !== undefined
  let port = isFree ? wanted : undefined
  while (port === undefined) {
    const free = await listenAt(host, 0)
    if (free === undefined) throw new Error(`no port is free at ${host}`)
    if (!handedOut.has(free)) port = free
  }
  const given = port
  handedOut.add(given)
  return { port: given, [Symbol.dispose]: () => handedOut.delete(given) }
}

/** The port, once it has been let go again; undefined when it is taken. */
function listenAt(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ host, port, exclusive: true }, () => {
      const bound = (server.address() as AddressInfo).port
      server.close(() => resolve(bound))
    })
  })
}
