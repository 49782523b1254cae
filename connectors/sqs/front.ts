// A server of HTTP between the connector and the real one, for what ElasticMQ cannot be made to do: it passes on every
// request but those that a test answers itself, with the documents that AWS documents for its errors. Test side only.

import { createServer, request } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One call of the JSON protocol. */
export interface Call {
  /** `DeleteMessageBatch`, … */
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
}

export interface Answer {
  readonly status: number
  readonly body: unknown
}

export interface Front extends AsyncDisposable {
  readonly url: string
  /** All so far. */
  readonly calls: Call[]
  /** Undefined: the real server answers. */
  answer: (call: Call) => Answer | undefined | Promise<undefined>
}

/** As AWS's JSON protocol reports an error. */
export function awsError(code: string, message = 'The test says so.', status = 400): Answer {
  return { status, body: { __type: `com.amazonaws.sqs#${code}`, message } }
}

export async function startFront(targetPort: number): Promise<Front> {
  const calls: Call[] = []
  const front: Pick<Front, 'answer'> = { answer: () => undefined }
  const server = createServer((incoming, outgoing) => void serve(incoming, outgoing))
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
    } catch {
      return // cut by the client
    }
    const body = Buffer.concat(chunks)
    const operation = String(incoming.headers['x-amz-target']).split('.').at(-1) ?? ''
    const call = { operation, input: JSON.parse(body.toString() || '{}') as Call['input'] }
    calls.push(call)
    const own = await front.answer(call)
    if (own !== undefined) {
      outgoing.writeHead(own.status, { 'content-type': 'application/x-amz-json-1.0' })
      outgoing.end(typeof own.body === 'string' ? own.body : JSON.stringify(own.body))
      return
    }
    const { method, url: path, headers } = incoming
    const passed = request({ host: '127.0.0.1', port: targetPort, method, path, headers }, (answered) => {
      outgoing.writeHead(answered.statusCode ?? 502, answered.headers)
      answered.pipe(outgoing)
    })
    passed.on('error', () => outgoing.destroy())
    outgoing.on('close', () => passed.destroy())
    passed.end(body)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(front, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  })
}
