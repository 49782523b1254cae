// A TCP proxy that misbehaves when told to: cuts, refuses, or goes silent while its connections stay open (half-open).

import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface TcpProxy extends AsyncDisposable {
  readonly port: number
  /** Connections accepted since the start. */
  readonly accepted: number
  /** Resets every connection. */
  cut(): void
  /** True: new connections are reset at once. */
  refuse(refuse: boolean): void
  /** True: nothing goes through in either direction, and nobody is told. New connections are accepted. To end it, `cut` first. */
  silence(silent: boolean): void
}

export async function startTcpProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let accepted = 0
  let refusing = false
  let silent = false

  const server = createServer((client) => {
    if (refusing) {
      client.on('error', () => {})
      client.resetAndDestroy()
      return
    }
    accepted += 1
    const upstream = connect(targetPort, targetHost)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      // prettier-ignore
      sockets.add(from)
      from.on('data', (chunk) => void to.write(chunk))
      from.on('end', () => !silent && to.end())
      // A reset passes on as one. What happens in silence is not heard, and the other half stays for `cut`.
      from.on('error', () => !silent && to.resetAndDestroy())
      from.on('close', () => {
        sockets.delete(from)
        if (!silent) to.destroySoon()
      })
      if (silent) from.pause()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get accepted() {
      return accepted
    },
    cut,
    refuse: (refuse) => (refusing = refuse),
    silence: (on) => {
      silent = on
      for (const socket of sockets) if (on) socket.pause(); else socket.resume() // prettier-ignore
    },
    [Symbol.asyncDispose]: async () => {
      cut()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
