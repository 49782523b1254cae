// The functions of the benchmark, in a process of its own: answers every POST at once and counts it, and lists as many
// functions as it is told to. As lean as HTTP allows, so that what is measured is the client. Forked by throughput.ts and
// memory.ts.

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** From the parent. */
export interface TargetOrder {
  /** Count from zero, and report when so many have come. */
  readonly expect: number
  /** Listed functions: the first with `topic`, the others each with a topic of its own. */
  readonly functions: number
  readonly topic: string
}

/** To the parent. */
export type TargetReport =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'ordered' }
  /** The first request of this order has come. */
  | { readonly kind: 'first' }
  | { readonly kind: 'all'; readonly elapsedMs: number }

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const END_OF_HEAD = Buffer.from('\r\n\r\n')

let order: TargetOrder = { expect: 0, functions: 0, topic: '' }
let listing = ''
let count = 0
let startedAt = 0

function say(report: TargetReport): void {
  process.send?.(report)
}

function counted(): void {
  count += 1
  if (count === 1) {
    startedAt = performance.now()
    say({ kind: 'first' })
  }
  if (count === order.expect) say({ kind: 'all', elapsedMs: performance.now() - startedAt })
}

function answer(socket: Socket, head: string): void {
  if (!head.startsWith('GET ')) {
    socket.write(ANSWER)
    counted()
    return
  }
  const body = head.startsWith('GET /system/functions') ? listing : '["openfaas-fn"]'
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const end = rest.indexOf(END_OF_HEAD)
      if (end < 0) return
      const head = rest.toString('latin1', 0, end)
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (rest.length < end + END_OF_HEAD.length + length) return
      rest = rest.subarray(end + END_OF_HEAD.length + length)
      answer(socket, head)
    }
  })
})
server.listen(0, '127.0.0.1', () => say({ kind: 'listening', port: (server.address() as AddressInfo).port }))

process.on('message', (next: TargetOrder) => {
  order = next
  count = 0
  listing = JSON.stringify(
    Array.from({ length: next.functions }, (_, index) => ({
      name: `function-${index}`,
      namespace: 'openfaas-fn',
      image: 'bench',
      annotations: { topic: index === 0 ? next.topic : `other/${index}` },
    })),
  )
  say({ kind: 'ordered' })
})
process.on('disconnect', () => process.exit(0))
