// Runs inside a function's own process: loads the handler and serves it over a private socket by the rules of OpenFaaS's
// Node template. Started by node-runtime.ts; ends when the gateway does.

import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { parse as parseQuery } from 'node:querystring'

import { send, sendErrorPage } from './node-answer.ts'
import { BadBody, bodyLimits, readBody } from './node-body.ts'
import { FunctionContext } from './node-context.ts'
import { loadHandler } from './node-handler.ts'

const { HUB_SOCKET: socketPath = '', HUB_HANDLER: folder = '' } = process.env
/** Ours: an error that nobody caught is a 500 and not, as in the template, a 200 with its text. */
const IS_STRICT = process.env['STRICT_ERRORS'] === 'true'
const LIMITS = bodyLimits(process.env)
delete process.env['HUB_SOCKET']
delete process.env['HUB_HANDLER']

const control = new Socket({ fd: 3, readable: true, writable: true })
// The gateway is gone, however it went.
control.on('close', () => process.exit(0))
control.on('error', () => {})
control.on('data', () => control.write('pong\n'))

const handler = await loadHandler(folder)
// The gateway has its own, lower limit.
const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => void serve(request, response))
server.keepAliveTimeout = 0
server.headersTimeout = 0
server.requestTimeout = 0
// The gateway bounds their bytes.
server.maxHeadersCount = 0
server.listen(socketPath, () => control.write('ready\n'))

/** Never rejects. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request, LIMITS).catch((error: unknown) => refuse(error, response))
  if (response.headersSent || response.destroyed) return
  const url = request.url ?? '/'
  const mark = url.indexOf('?')
  request.headers['content-type'] ??= 'text/plain'
  const event = {
    body,
    headers: request.headers,
    method: request.method,
    query: mark === -1 ? {} : { ...parseQuery(url.slice(mark + 1)) },
    path: mark === -1 ? url : url.slice(0, mark),
  }
  const context = new FunctionContext((answer) => send(response, answer), IS_STRICT)
  const callback = (error: unknown, value: unknown): void => {
    if (error) context.thrown(error)
    else if (context.cbCalled === 0) context.succeed(value)
  }
  try {
    const returned = handler(event, context, callback)
    // One that takes a callback and promises nothing answers by it, later.
    if (returned === undefined && handler.length > 2) return
    const value = await returned
    // `return context.status(204)` sets an answer and has none to give.
    if (context.cbCalled === 0) context.succeed(value === context ? undefined : value)
  } catch (error) {
    context.thrown(error)
  }
}

function refuse(error: unknown, response: ServerResponse): undefined {
  if (error instanceof BadBody) sendErrorPage(response, error.status, `${error.name}: ${error.message}`)
  else if (error instanceof Error && error.name === 'BadCompression')
    sendErrorPage(response, 400, `Error: ${error.message}`)
  // The caller left while it was sending: nobody to answer.
  else response.destroy()
  return undefined
}
