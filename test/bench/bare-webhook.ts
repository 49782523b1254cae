// The bare loop on webhooks: a server that answers a request when the function has, and keeps nothing. Forked by
// throughput.ts.

import { createServer } from 'node:http'

import { BareLoop, bareArguments } from './bare-loop.ts'

const { gatewayUrl, port, concurrency } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)

createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => void chunks.push(chunk))
  request.on('end', () => loop.take('bench', Buffer.concat(chunks), () => void response.writeHead(202).end()))
}).listen(port, '127.0.0.1')
