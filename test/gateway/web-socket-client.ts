// A WebSocket client of the gateway, for tests: connected, or told why it is not let in.

import type { IncomingMessage } from 'node:http'

import { WebSocket } from 'ws'

import { until } from './rig.ts'

export interface Client {
  readonly socket: WebSocket
  /** Text as it came, bytes in hexadecimal. */
  readonly messages: string[]
  /** Of the answer that let it in. */
  readonly headers: IncomingMessage['headers']
}

/** Resolves when it is open. @param address of the gateway */
export async function dial(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Client> {
  const socket = new WebSocket(webSocketUrl(address, path), ['chat', 'other'], { headers })
  const messages: string[] = []
  socket.on('message', (data: Buffer, isBinary) => messages.push(isBinary ? data.toString('hex') : data.toString()))
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  socket.once('upgrade', resolve)
  socket.once('error', reject)
  const answer = await promise
  await until('it is open', () => socket.readyState === WebSocket.OPEN)
  return { socket, messages, headers: answer.headers }
}

/** Sends it, and waits for one more message. @returns that */
export async function ask({ socket, messages }: Client, text: string): Promise<string> {
  const before = messages.length
  socket.send(text)
  await until('an answer comes', () => messages.length > before)
  return messages[before] as string
}

/** The other side has closed it. */
export async function closed({ socket }: Client): Promise<void> {
  await until('the caller hears that it is over', () => socket.readyState === WebSocket.CLOSED)
}

/** The status with which it is not let in, and the body. */
export async function refused(
  address: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly [number, string]> {
  const socket = new WebSocket(webSocketUrl(address, path), { headers })
  socket.on('error', () => {})
  const answer = await new Promise<IncomingMessage>((resolve) =>
    socket.once('unexpected-response', (_request, response) => resolve(response)),
  )
  let text = ''
  for await (const chunk of answer as AsyncIterable<Buffer>) text += chunk.toString()
  return [answer.statusCode ?? 0, text]
}

function webSocketUrl(address: string, path: string): string {
  return `${address.replace('http', 'ws')}${path}`
}
