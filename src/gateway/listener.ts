// The HTTP server of the gateway: its limits and deadlines, and what is answered before any route is asked. Knows no route;
// gateway.ts gives it those.

import { METHODS } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import { redirect, sendEmpty } from './http.ts'
import { cleanPath, requestTarget } from './request-target.ts'
import type { RequestTarget } from './request-target.ts'
import { TunnelResponse, TunnelServer } from './tunnel.ts'

export interface ListenerOptions {
  /** For a client to send its request line and headers. */
  readonly headersTimeoutMs: number
  /** For the whole request to arrive, and for an idle connection to say something. */
  readonly readTimeoutMs: number
  /** From the end of the headers to the end of the answer; then the connection is closed, as Go's server does it. */
  readonly writeTimeoutMs: number
  /** Beyond them a connection is closed when it comes. Default 10,000. */
  readonly connectionsMax?: number | undefined
  /** Connections are being closed because there are too many; at most every 10 seconds. */
  readonly onFull: (connectionsMax: number) => void
  /** Never rejects. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, target: RequestTarget) => Promise<void>
}

const HEADER_BYTES_MAX = 64 * 1024
const CONNECTIONS_MAX = 10_000
const SAID_AGAIN_MS = 10_000
const CHECK_MS = 5000

const METHOD_NOT_ALLOWED = 'HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
/** Its method is a token (RFC 9110 §5.6.2). */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) \/[^\s]* HTTP\/1\.[01]\r\n/

/** The last answer that is still to be sent on a connection. */
type Answering = WeakMap<Socket, ServerResponse>

/** Not listening yet. */
export function createListener(options: ListenerOptions): Server {
  const { headersTimeoutMs, readTimeoutMs, connectionsMax = CONNECTIONS_MAX, onFull } = options
  const answering: Answering = new WeakMap()
  const server = new Listener({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: Math.min(headersTimeoutMs, readTimeoutMs),
    requestTimeout: readTimeoutMs,
    keepAliveTimeout: readTimeoutMs,
    connectionsCheckingInterval: Math.min(CHECK_MS, headersTimeoutMs, readTimeoutMs),
    // What changes the protocol has the connection to itself; behind a request that is still to be answered it changes none.
    shouldUpgradeCallback: (request) =>
      isWebSocket(request) && refusalOf(request) === undefined && !answering.has(request.socket),
  })
  server.maxConnections = connectionsMax
  let saidAt = -Infinity
  server.on('drop', () => {
    if (performance.now() - saidAt < SAID_AGAIN_MS) return
    saidAt = performance.now()
    onFull(connectionsMax)
  })
  // Their bytes are bounded; beyond a number Node would leave them out in silence.
  server.maxHeadersCount = 0
  server.on('request', (request: IncomingMessage, response: ServerResponse) =>
    accept(request, response, options, answering),
  )
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // A call's body is asked for when there is a function to read it.
    if (!targetOf(request).path.startsWith('/function/')) response.writeContinue()
    accept(request, response, options, answering)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    server.track(socket)
    // Who leaves is seen where it is read and written.
    socket.on('error', () => {})
    const response = new TunnelResponse(request, head)
    response.on('error', () => {})
    // Of the answer alone; what is joined has all the time it wants.
    const deadline = setTimeout(() => socket.destroy(), options.writeTimeoutMs)
    const answered = (): void => clearTimeout(deadline)
    response.once('finish', answered).once('close', answered)
    void options.serve(request, response, targetOf(request))
  })
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    // Nobody reads it any more, or counts it among the connections.
    socket.end(METHOD_NOT_ALLOWED, () => socket.destroy())
  })
  return server
}

/** A method that Node's parser has never heard of is no broken request: a 405, as of any other that a route does not take. */
class Listener extends TunnelServer {
  override emit(event: string, ...args: unknown[]): boolean {
    if (event === 'clientError' && refuseMethod(args[0] as ParserError, args[1] as Socket)) return true
    return super.emit(event, ...args)
  }
}

type ParserError = Error & { readonly code?: string; readonly rawPacket?: Buffer }

/** False for anything but the first request of a connection: an answer to an earlier one may be on its way. */
function refuseMethod({ code, rawPacket }: ParserError, socket: Socket): boolean {
  if (code !== 'HPE_INVALID_METHOD' || rawPacket === undefined || socket.bytesRead !== rawPacket.byteLength)
    return false
  const method = REQUEST_LINE.exec(rawPacket.toString('latin1'))?.[1]
  if (method === undefined || METHODS.includes(method)) return false
  socket.end(METHOD_NOT_ALLOWED, () => socket.destroy())
  return true
}

function accept(
  request: IncomingMessage,
  response: ServerResponse,
  options: ListenerOptions,
  answering: Answering,
): void {
  // A caller that goes away is seen where its body is read or its answer written.
  response.on('error', () => {})
  const { method, socket } = request
  const deadline = setTimeout(() => socket.destroy(), options.writeTimeoutMs)
  answering.set(socket, response)
  response.once('close', () => {
    clearTimeout(deadline)
    if (answering.get(socket) === response) answering.delete(socket)
  })
  const target = requestTarget(request.url ?? '/')
  // Of the server as a whole (RFC 9110 §9.3.7), as Go's server answers it.
  if (target.path === '*' && method === 'OPTIONS') return sendEmpty(response, 200)
  const refused = refusalOf(request)
  if (refused !== undefined) return sendEmpty(response, refused, { Connection: 'close' })
  const path = cleanPath(target.path)
  if (path === target.path) void options.serve(request, response, target)
  else if (method === 'GET' || method === 'HEAD') redirect(response, 301, path + target.query)
  // Redirected, it would come again as a GET without its body; so it is served where it would have been sent.
  else void options.serve(request, response, { path, query: target.query })
}

/** Calls of functions alone: nothing else here speaks anything but HTTP. */
function isWebSocket(request: IncomingMessage): boolean {
  const { method, headers } = request
  if (method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') return false
  return requestTarget(request.url ?? '/').path.startsWith('/function/') && headers['content-length'] === undefined
}

function targetOf({ url = '/' }: IncomingMessage): RequestTarget {
  const { path, query } = requestTarget(url)
  return { path: cleanPath(path), query }
}

/** What the parser lets pass and Go's server does not: two servers in a row may each read another request out of it. */
function refusalOf({ rawHeaders, headers, httpVersion }: IncomingMessage): number | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 400
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    if (httpVersion === '1.0') return 400
    if (coding.toLowerCase() !== 'chunked') return 501
  }
  return hasTwoHosts(rawHeaders) ? 400 : undefined
}

/** RFC 9112 §3.2 */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  return hosts > 1
}
