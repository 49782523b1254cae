// Runs inside a function's own process: loads the handler and serves it over a private socket by the rules of OpenFaaS's
// Node template. Started by node-runtime.ts; ends when the gateway does.

import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse as parseQuery } from 'node:querystring'

interface FunctionEvent {
  readonly body: unknown
  readonly headers: IncomingMessage['headers']
  readonly method: string
  readonly query: Readonly<Record<string, unknown>>
  readonly path: string
}

type Handler = (
  event: FunctionEvent,
  context: FunctionContext,
  callback: (error: unknown, value?: unknown) => void,
) => unknown

class TooLarge extends Error {}
class BadBody extends Error {}

/** What a handler sets its answer with. */
class FunctionContext {
  readonly #send: (status: number, headers: Record<string, string>, value: unknown) => void
  #status = 200
  #headers: Record<string, string> = {}
  /** How often an answer was given. */
  cbCalled = 0

  constructor(send: (status: number, headers: Record<string, string>, value: unknown) => void) {
    this.#send = send
  }

  status(code?: number): this | number {
    if (code === undefined || code === 0) return this.#status
    this.#status = code
    return this
  }

  headers(value?: Record<string, string>): this | Record<string, string> {
    if (value === undefined) return this.#headers
    this.#headers = value
    return this
  }

  succeed(value?: unknown): this {
    this.cbCalled += 1
    this.#send(this.#status, this.#headers, value)
    return this
  }

  /** A falsy value is a success; a status that was set is kept; headers are not sent. */
  fail(error?: unknown): this {
    if (error === undefined || error === null || error === '' || error === 0 || error === false)
      return this.succeed(error)
    this.cbCalled += 1
    console.error(error)
    this.#send(this.#status === 200 ? 500 : this.#status, {}, textOf(error))
    return this
  }

  /** An error nobody caught, with the status as it stands: the template answers 200 unless told otherwise. */
  thrown(error: unknown): void {
    if (this.cbCalled > 0) return
    this.cbCalled += 1
    console.error(error)
    this.#send(STRICT && this.#status === 200 ? 500 : this.#status, {}, textOf(error))
  }
}

const { HUB_SOCKET: socket = '', HUB_HANDLER: folder = '' } = process.env
const RAW = process.env['RAW_BODY'] === 'true'
const STRICT = process.env['STRICT_ERRORS'] === 'true'
const TEXT_BYTES_MAX = 100 * 1024
const JSON_BYTES_MAX = bytes(process.env['MAX_JSON_SIZE'])
const RAW_BYTES_MAX = bytes(process.env['MAX_RAW_SIZE'])
delete process.env['HUB_SOCKET']
delete process.env['HUB_HANDLER']

const handler = await loadHandler(folder)
// The gateway has its own, lower limit.
const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => void serve(request, response))
server.keepAliveTimeout = 0
server.headersTimeout = 0
server.requestTimeout = 0
server.listen(socket, () => process.send?.('hub:ready'))
process.on('message', (message) => {
  if (message === 'hub:ping') process.send?.('hub:pong')
})
// The gateway is gone, however it went.
process.on('disconnect', () => process.exit(0))

async function loadHandler(directory: string): Promise<Handler> {
  const require = createRequire(join(directory, 'package.json'))
  const file = ['./handler.js', './handler.mjs', './handler.cjs', './index.js', './handler.ts', '.']
    .map((name) => resolveFrom(require, name))
    .find((path) => path !== undefined)
  if (file === undefined) throw new Error(`no handler.js in ${directory}`)
  const module = (await import(pathToFileURL(file).href)) as { default?: unknown }
  const exported =
    typeof module.default === 'function'
      ? module.default
      : (module.default as { default?: unknown } | undefined)?.default
  if (typeof exported !== 'function') throw new Error(`${file} does not export a function`)
  return exported as Handler
}

function resolveFrom(require: NodeJS.Require, name: string): string | undefined {
  try {
    return require.resolve(name)
  } catch {
    return undefined
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url ?? '/'
  const mark = url.indexOf('?')
  const startedAt = performance.now()
  const send = (status: number, headers: Record<string, string>, value: unknown): void =>
    answer(response, startedAt, status, headers, value)
  let event: FunctionEvent
  try {
    event = {
      body: await readBody(request),
      headers: request.headers,
      method: request.method ?? 'GET',
      query: mark === -1 ? {} : { ...parseQuery(url.slice(mark + 1)) },
      path: mark === -1 ? url : url.slice(0, mark),
    }
  } catch (error) {
    if (error instanceof TooLarge)
      send(413, { 'Content-Type': 'text/plain; charset=utf-8' }, 'request entity too large')
    else if (error instanceof BadBody) send(400, { 'Content-Type': 'text/plain; charset=utf-8' }, error.message)
    // The caller left while it was sending: nobody to answer.
    else response.destroy()
    return
  }
  const context = new FunctionContext(send)
  try {
    const value = await handler(
      event,
      context,
      (error, result) => void (error ? context.fail(error) : context.succeed(result)),
    )
    // `return context.status(204)` sets an answer and has none to give.
    if (context.cbCalled === 0) context.succeed(value === context ? undefined : value)
  } catch (error) {
    context.thrown(error)
  }
}

/** By the content type, as the template's body parsers have it. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const contentType = (request.headers['content-type'] ?? 'text/plain').split(';')[0]?.trim().toLowerCase() ?? ''
  if (RAW) return readBytes(request, RAW_BYTES_MAX)
  if (contentType === 'application/json') {
    const text = (await readBytes(request, JSON_BYTES_MAX)).toString('utf8')
    if (text === '') return {}
    try {
      return JSON.parse(text) as unknown
    } catch (error) {
      throw new BadBody((error as Error).message)
    }
  }
  if (contentType.startsWith('text/')) return (await readBytes(request, TEXT_BYTES_MAX)).toString('utf8')
  if (contentType === 'application/x-www-form-urlencoded')
    return { ...parseQuery((await readBytes(request, TEXT_BYTES_MAX)).toString('utf8')) }
  request.resume()
  return undefined
}

async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    // Read on, so that the answer can be sent on the same connection.
    if (length <= bytesMax) chunks.push(chunk)
  }
  if (length > bytesMax) throw new TooLarge()
  return Buffer.concat(chunks)
}

/** Express's rules: text is HTML unless said otherwise, bytes are octets, anything else becomes JSON text. */
function answer(
  response: ServerResponse,
  startedAt: number,
  status: number,
  headers: Record<string, string>,
  value: unknown,
): void {
  if (response.headersSent || response.destroyed) return
  try {
    const isBytes = value instanceof Uint8Array
    const body = isBytes ? value : Buffer.from(asText(value))
    for (const [name, content] of Object.entries(headers)) response.setHeader(name, content)
    if (!response.hasHeader('Content-Type') && body.byteLength > 0)
      response.setHeader('Content-Type', isBytes ? 'application/octet-stream' : 'text/html; charset=utf-8')
    response.setHeader('X-Duration-Seconds', ((performance.now() - startedAt) / 1000).toFixed(6))
    response.writeHead(status, { 'Content-Length': body.byteLength })
    response.end(body)
  } catch (error) {
    console.error(error)
    // A header or status that HTTP cannot carry, or a value that JSON cannot.
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    response.writeHead(500, { 'Content-Type': 'text/plain; charset=utf-8' }).end(textOf(error))
  }
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : textOf(value)
}

function textOf(error: unknown): string {
  return String(error)
}

/** `100kb` and the like, as the body parser reads them. */
function bytes(text = '100kb'): number {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?$/i.exec(text.trim())
  const unit = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }[(match?.[2] ?? 'b').toLowerCase()] ?? 1
  return match === null ? TEXT_BYTES_MAX : Math.floor(Number(match[1]) * unit)
}
