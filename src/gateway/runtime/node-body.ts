// A request's body as the handler is given it, by its content type: what the body parsers of OpenFaaS's Node template do
// (OpenFaaS contract, Node template). Runs inside the function's process.

import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'

import { FormRefused, parseForm } from './form-body.ts'

/** What the body parsers refuse, with the status and the name that Express's page has. */
export class BadBody extends Error {
  readonly status: number

  constructor(status: number, name: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.name = name
  }
}

const DEFAULT_BYTES_MAX = 100 * 1024

export interface BodyLimits {
  /** Every type is handed over as bytes. */
  readonly isRaw: boolean
  readonly jsonBytesMax: number
  readonly rawBytesMax: number
}

/** Of `RAW_BODY`, `MAX_JSON_SIZE` and `MAX_RAW_SIZE`. */
export function bodyLimits(env: NodeJS.ProcessEnv): BodyLimits {
  return {
    isRaw: env['RAW_BODY'] === 'true',
    jsonBytesMax: bytesOf(env['MAX_JSON_SIZE']),
    rawBytesMax: bytesOf(env['MAX_RAW_SIZE']),
  }
}

/** Undefined where there is no body, or nobody knows its type. @throws BadBody */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  const { headers } = request
  if (headers['transfer-encoding'] === undefined && headers['content-length'] === undefined) return undefined
  const [essence = '', ...parameters] = (headers['content-type'] ?? 'text/plain').split(';')
  const type = essence.trim().toLowerCase()
  if (limits.isRaw) return readBytes(request, limits.rawBytesMax)
  const charset = charsetOf(parameters)
  if (type === 'application/json') return readJson(request, charset ?? 'utf-8', limits.jsonBytesMax)
  if (type.startsWith('text/')) return decode(await readBytes(request, DEFAULT_BYTES_MAX), charset ?? 'utf-8')
  if (type === 'application/x-www-form-urlencoded') return readForm(request, charset ?? 'utf-8')
  request.resume()
  return undefined
}

/** Objects and arrays only: the parser is strict. */
async function readJson(request: IncomingMessage, charset: string, bytesMax: number): Promise<unknown> {
  if (!charset.startsWith('utf-')) throw unsupportedCharset(charset)
  const text = decode(await readBytes(request, bytesMax), charset)
  if (text === '') return {}
  const first = text.trimStart()[0] ?? ''
  try {
    if (first !== '{' && first !== '[') throw new SyntaxError(`Unexpected token '${first}', the body is neither an object nor an array`) // prettier-ignore
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new BadBody(400, 'SyntaxError', (error as Error).message, { cause: error })
  }
}

async function readForm(request: IncomingMessage, charset: string): Promise<unknown> {
  if (charset !== 'utf-8' && charset !== 'iso-8859-1') throw unsupportedCharset(charset)
  try {
    return parseForm(decode(await readBytes(request, DEFAULT_BYTES_MAX), charset))
  } catch (error) {
    if (!(error instanceof FormRefused)) throw error
    const name = error.status === 413 ? 'PayloadTooLargeError' : 'BadRequestError'
    throw new BadBody(error.status, name, error.message, { cause: error })
  }
}

async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of inflated(request) as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    // Read on, so that the answer can be sent on the same connection.
    if (length <= bytesMax) chunks.push(chunk)
    else chunks.length = 0
  }
  if (length > bytesMax) throw new BadBody(413, 'PayloadTooLargeError', 'request entity too large')
  return Buffer.concat(chunks)
}

function inflated(request: IncomingMessage): Readable {
  const encoding = (request.headers['content-encoding'] ?? 'identity').toLowerCase()
  switch (encoding) {
    case 'identity':
      return request
    case 'gzip':
      return piped(request, createGunzip())
    case 'deflate':
      return piped(request, createInflate())
    case 'br':
      return piped(request, createBrotliDecompress())
    default:
      request.resume()
      throw new BadBody(415, 'UnsupportedMediaTypeError', `unsupported content encoding "${encoding}"`)
  }
}

function piped(request: IncomingMessage, decompress: ReturnType<typeof createGunzip>): Readable {
  request.once('error', (error) => decompress.destroy(error))
  decompress.once('error', (error) => {
    // What is not compressed as it says is the caller's fault.
    error.name = 'BadCompression'
    request.resume()
  })
  return request.pipe(decompress)
}

function charsetOf(parameters: readonly string[]): string | undefined {
  for (const parameter of parameters) {
    const [name, value] = parameter.split('=')
    if (name?.trim().toLowerCase() === 'charset') return value?.trim().replaceAll('"', '').toLowerCase()
  }
  return undefined
}

function decode(bytes: Buffer, charset: string): string {
  if (charset === 'utf-8' || charset === 'utf8') return bytes.toString('utf8')
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    throw unsupportedCharset(charset)
  }
}

function unsupportedCharset(charset: string): BadBody {
  return new BadBody(415, 'UnsupportedMediaTypeError', `unsupported charset "${charset.toUpperCase()}"`)
}

/** `100kb` and the like, as the body parser reads them. */
function bytesOf(text = '100kb'): number {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?$/i.exec(text.trim())
  const unit = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }[(match?.[2] ?? 'b').toLowerCase()] ?? 1
  return match === null ? DEFAULT_BYTES_MAX : Math.floor(Number(match[1]) * unit)
}
