// The NATS client protocol by hand, as far as a test needs it to prove that a server is ready and keeps its streams. Not a
// client: no reconnect, no flow control. Called by the NATS server of the tests and its test.

import { readFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

import type { Nkey } from './nats-nkey.ts'

export type NatsCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string }
  | { readonly nkey: Nkey }
  | { readonly jwt: string; readonly nkey: Nkey }

export interface NatsAddress {
  readonly port: number
  readonly credentials?: NatsCredentials | undefined
  /** Upgrades to TLS after INFO, for `localhost`. */
  readonly tls?: { readonly caFile: string; readonly certFile?: string; readonly keyFile?: string } | undefined
}

export interface NatsWire extends Disposable {
  /** The server's own description. */
  readonly info: Readonly<Record<string, unknown>>
  /** The first answer. */
  request(subject: string, payload: unknown): Promise<unknown>
}

/** Resolves once the server answered PING, so once it accepted the credentials. */
export async function connectNats({ port, credentials, tls }: NatsAddress): Promise<NatsWire> {
  const plain = connectPlain({ host: '127.0.0.1', port })
  try {
    const first = new Lines(plain)
    const info = JSON.parse((await first.next()).replace(/^INFO /, '')) as Record<string, unknown>
    const socket = tls === undefined ? plain : upgrade(plain, tls)
    const lines = tls === undefined ? first : new Lines(socket)
    const options = { verbose: false, headers: true, no_responders: true, ...answer(credentials, info) }
    socket.write(`CONNECT ${JSON.stringify(options)}\r\nPING\r\n`)
    const reply = await lines.next()
    if (reply !== 'PONG') throw new Error(`NATS answered ${reply}`)
    return wire(socket, lines, info)
  } catch (error) {
    plain.destroy()
    throw error
  }
}

function wire(socket: Socket, lines: Lines, info: Readonly<Record<string, unknown>>): NatsWire {
  let requests = 0
  return {
    info,
    async request(subject, payload) {
      requests += 1
      const inbox = `_INBOX.test.${process.pid}.${requests}`
      const text = JSON.stringify(payload)
      socket.write(`SUB ${inbox} ${requests}\r\nUNSUB ${requests} 1\r\nPUB ${subject} ${inbox} ${Buffer.byteLength(text)}\r\n${text}\r\n`) // prettier-ignore
      for (;;) {
        const line = await lines.next()
        if (line.startsWith('-ERR')) throw new Error(`NATS answered ${line}`)
        // JetStream answers in one line of JSON; the header form carries a status, such as "no responders".
        if (line.startsWith('MSG ')) return JSON.parse(await lines.next())
        if (line.startsWith('HMSG ')) throw new Error(`${subject}: ${await lines.next()}`)
        if (line === 'PING') socket.write('PONG\r\n')
      }
    },
    [Symbol.dispose]: () => socket.destroy(),
  }
}

function upgrade(plain: Socket, { caFile, certFile, keyFile }: NonNullable<NatsAddress['tls']>): Socket {
  return connectTls({
    socket: plain,
    servername: 'localhost',
    ca: readFileSync(caFile),
    ...(certFile === undefined ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
  })
}

function answer(credentials: NatsCredentials | undefined, info: Readonly<Record<string, unknown>>): object {
  if (credentials === undefined) return {}
  if ('user' in credentials) return { user: credentials.user, pass: credentials.password }
  if ('token' in credentials) return { auth_token: credentials.token }
  const sig = credentials.nkey.sign(String(info['nonce']))
  return 'jwt' in credentials ? { jwt: credentials.jwt, sig } : { nkey: credentials.nkey.publicKey, sig }
}

const ANSWER_MS = 5000

/** The lines of a socket, one at a time; fails when the socket ends or is silent too long. */
class Lines {
  readonly #socket: Socket
  #text = ''
  #failure: Error | undefined
  #wake = (): void => {}

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString()
      this.#wake()
    })
    const fail = (failure: Error): void => {
      this.#failure ??= failure
      this.#wake()
    }
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the connection ended')))
    socket.setTimeout(ANSWER_MS, () => fail(new Error(`no answer within ${ANSWER_MS} ms`)))
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        return line
      }
      if (this.#failure !== undefined) {
        this.#socket.destroy()
        throw this.#failure
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
