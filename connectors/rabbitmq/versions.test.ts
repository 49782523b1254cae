// What speaks another AMQP, or another protocol, as scripted servers: named as what it is.

import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

import { expect, test } from 'vitest'

import { SourceRig } from '../../test/source-rig.ts'
import { toolsOf } from '../../test/tools-rig.ts'
import connector from './connector.ts'

/** AMQP 0-9-1 §2.2.4: whoever does not speak the version that is asked for answers with the header of its own, and hangs up. */
const header = (...version: readonly number[]): Buffer => Buffer.from([...Buffer.from('AMQP'), ...version])

async function startScripted(answer: Buffer): Promise<{ readonly url: string; close(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { url: `amqp://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

test.each([
  ['an old broker of AMQP 0-8 would', header(1, 1, 8, 0)],
  ['a broker of AMQP 1.0 alone would', header(0, 1, 0, 0)],
  ['a web server would', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
])('a scripted server that answers as %s is refused by name', async (_, answer) => {
  const server = await startScripted(answer)
  try {
    await using source = new SourceRig(connector, { url: server.url })
    const tools = await toolsOf(connector, { url: server.url })
    const { signal } = new AbortController()
    const looked: unknown = await tools.peek([{ kind: 'topic', topic: 'x' }], signal).catch((error: unknown) => error)
    const probed: unknown = await source.source.probe(['x'], signal).catch((error: unknown) => error)
    for (const error of [await source.refused(), looked, probed])
      expect(error).toMatchObject({ code: 'HUB_SOURCE_PROTOCOL', canRetry: false, message: `${server.url} does not speak AMQP 0-9-1`, hint: expect.stringContaining('5672') }) // prettier-ignore
  } finally {
    server.close()
  }
})
