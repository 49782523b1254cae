// A proxy before a NATS server that changes what the server says, or stops reading it. For tests.

import { connect as connectTcp, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** Passes everything on, what the server says after `rewrite`; reads nothing of it while stalled. */
export async function startMeddler(
  port: number,
  rewrite: (text: string) => string = (text) => text,
): Promise<AsyncDisposable & { readonly port: number; stall(isStalled: boolean): void }> {
  // prettier-ignore
  const sockets: Socket[] = []
  const upstreams: Socket[] = []
  const proxy = createServer((client) => {
    const upstream = connectTcp(port, '127.0.0.1')
    sockets.push(client, upstream)
    upstreams.push(upstream)
    client.pipe(upstream)
    upstream.on('data', (chunk: Buffer) => void client.write(rewrite(chunk.toString('latin1')), 'latin1'))
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) one.on('error', () => other.destroy()).on('close', () => other.destroy()) // prettier-ignore
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    port: (proxy.address() as AddressInfo).port,
    stall: (isStalled) => void (isStalled ? upstreams.at(-1)?.pause() : upstreams.at(-1)?.resume()),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => void proxy.close(() => resolve()))
    },
  }
}
