// A socket on which bytes go out as they are written, and everything that comes back: for what no HTTP client would send.

import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface RawSocket {
  readonly socket: Socket
  /** Everything received so far, a character for each byte. */
  readonly text: () => string
  readonly closed: () => boolean
}

/** Connected. Never throws afterwards: what breaks shows as closed. */
export async function rawSocket(address: string): Promise<RawSocket> {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  let received = ''
  let closed = false
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => (received += chunk))
  socket.on('close', () => (closed = true))
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  socket.on('error', () => {})
  return { socket, text: () => received, closed: () => closed }
}

/** Connected, with these bytes sent. */
export async function sent(address: string, bytes: string): Promise<RawSocket> {
  const raw = await rawSocket(address)
  raw.socket.write(bytes, 'latin1')
  return raw
}
