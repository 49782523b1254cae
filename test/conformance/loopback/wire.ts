// The loopback protocol: length-prefixed frames of structured-clone values over TCP. Used by both of its ends.

import type { Socket } from 'node:net'
import { deserialize, serialize } from 'node:v8'

import type { DeadLetter } from '../../../src/sdk/index.ts'

/** An event as the broker hands it to one group. `seq` ascends within the group. */
export interface Entry {
  readonly seq: bigint
  readonly id: string
  readonly topic: string
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  readonly key: string | undefined
  readonly timestampMs: number
  attempt: number
}

export type Command =
  | { readonly op: 'hello'; readonly password: string; readonly group: string; readonly window: number }
  | { readonly op: 'subscribe'; readonly topics: readonly string[] }
  | { readonly op: 'ack'; readonly seq: bigint }
  | { readonly op: 'commit'; readonly before: bigint }
  | { readonly op: 'retry'; readonly seq: bigint; readonly delayMs: number }
  | { readonly op: 'reject'; readonly seq: bigint; readonly letters: readonly DeadLetter[] }

export type Request = Command & { readonly re: number }
/** `error` is `auth` or `gone`. */
export type Reply = { readonly re: number; readonly error?: string }
export type FromBroker = Reply | { readonly entry: Entry }

const HEADER_BYTES = 4
const FRAME_BYTES_MAX = 2 ** 26

/** What is sent in one turn of the event loop goes out in one piece. */
export function send(socket: Socket, message: Request | FromBroker): void {
  const payload = serialize(message)
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(payload.length)
  if (socket.writableCorked === 0) {
    socket.cork()
    setImmediate(() => socket.uncork())
  }
  socket.write(header)
  socket.write(payload)
}

/** Calls back per frame; a frame beyond the bound (another protocol) destroys the socket. */
export function receive(socket: Socket, onMessage: (message: never) => void): void {
  let chunks: Buffer[] = []
  let bytes = 0
  let wanted = HEADER_BYTES
  let inHeader = true
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes < wanted) return
    let rest = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    while (rest.length >= wanted && !socket.destroyed) {
      const part = rest.subarray(0, wanted)
      rest = rest.subarray(wanted)
      if (inHeader) {
        wanted = part.readUInt32BE()
        if (wanted > FRAME_BYTES_MAX) socket.destroy()
      } else {
        onMessage(deserialize(part) as never)
        wanted = HEADER_BYTES
      }
      inHeader = !inHeader
    }
    chunks = rest.length === 0 ? [] : [rest]
    bytes = rest.length
  })
}
