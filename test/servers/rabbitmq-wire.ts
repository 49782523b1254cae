// The first words of AMQP 0-9-1 by hand, to prove that a broker is ready. Not a client. Called by the RabbitMQ server of the
// tests and its test.

import { readFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'

const ANSWER_MS = 5000
const HEADER = 'AMQP\0\0\x09\x01'
/** Type method and channel 0; then, after the size of the frame, class connection and method start. */
const METHOD = '010000'
const START = '000a000a'

export interface RabbitTls {
  readonly caFile: string
  readonly certFile?: string
  readonly keyFile?: string
}

/** Resolves once the broker answered the protocol header with Connection.Start. AMQP 0-9-1 §4.2.2. */
export async function greetRabbit(port: number, tls?: RabbitTls): Promise<void> {
  const socket =
    tls === undefined
      ? connectPlain({ host: '127.0.0.1', port })
      : connectTls({
          host: '127.0.0.1',
          port,
          servername: 'localhost',
          ca: readFileSync(tls.caFile),
          ...(tls.certFile === undefined ? {} : { cert: readFileSync(tls.certFile) }),
          ...(tls.keyFile === undefined ? {} : { key: readFileSync(tls.keyFile) }),
        })
  try {
    await new Promise<void>((resolve, reject) => {
      let received = ''
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('hex')
        if (received.length < 22) return
        if (received.startsWith(METHOD) && received.startsWith(START, 14)) resolve()
        else reject(new Error('this is not AMQP 0-9-1'))
      })
      socket.on('error', reject)
      socket.on('close', () => reject(new Error('the connection ended')))
      socket.setTimeout(ANSWER_MS, () => reject(new Error(`no answer within ${ANSWER_MS} ms`)))
      socket.write(HEADER, 'latin1')
    })
  } finally {
    socket.destroy()
  }
}
