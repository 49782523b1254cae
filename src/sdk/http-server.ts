// What every HTTP server of the project does in the same way: listening, its address, and a body within a bound.

import type { IncomingMessage } from 'node:http'
import type { AddressInfo, Server } from 'node:net'

/** @param port 0: any free one. @returns `127.0.0.1:8090` or `[::]:8090`, with the port that it really has. Rejects with the system's error */
export async function listenAt(server: Server, host: string, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const { address, family, port: bound } = server.address() as AddressInfo
  return `${family === 'IPv6' ? `[${address}]` : address}:${bound}`
}

/**
 * All of it; undefined when it is larger. Read to the end even then, so that a client that sends first and listens
 * afterwards gets its answer.
 */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length <= bytesMax) chunks.push(chunk)
    else chunks.length = 0
  }
  if (length > bytesMax) return undefined
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
}
