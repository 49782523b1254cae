// A handler's value as it is sent, by the rules of Express (OpenFaaS contract, Node template). Runs inside the function's
// process.

import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly value: unknown
}

/** What is already answered stays; what HTTP or JSON cannot carry is a 500. Never throws. */
export function send(response: ServerResponse, { status, headers, value }: Answer): void {
  if (response.headersSent || response.destroyed) return
  try {
    for (const [name, content] of Object.entries(headers)) {
      // Of an answer from elsewhere that is passed on: how this one is framed is not the handler's to say (RFC 9112 §6.2).
      if (name.toLowerCase() !== 'transfer-encoding') response.setHeader(name, headerValue(content))
    }
    const stream = streamOf(value)
    if (stream !== undefined) {
      sendStream(response, status, stream)
      return
    }
    const body = bodyOf(response, value)
    if (status === 204 || status === 304) {
      response.removeHeader('Content-Type')
      response.writeHead(status).end()
      return
    }
    if (body === undefined || status === 205) response.writeHead(status, { 'Content-Length': 0 }).end()
    else response.writeHead(status, { 'Content-Length': body.byteLength }).end(body)
  } catch (error) {
    console.error(error)
    for (const name of response.getHeaderNames()) response.removeHeader(name)
    response.writeHead(500, { 'Content-Type': 'text/plain; charset=utf-8' }).end(textOf(error))
  }
}

/** Ours: what Express would make JSON of, a stream or an async iterable, is sent as it comes. */
function streamOf(value: unknown): Readable | undefined {
  if (value instanceof Readable) return value
  const isIterable = typeof value === 'object' && value !== null && Symbol.asyncIterator in value
  return isIterable ? Readable.from(value as AsyncIterable<unknown>) : undefined
}

function sendStream(response: ServerResponse, status: number, stream: Readable): void {
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'application/octet-stream')
  // Whoever listens for events is to know at once that they will come.
  response.writeHead(status).flushHeaders()
  // One that fails half-way breaks the answer; the caller must not take it for a complete one.
  pipeline(stream, response).catch((error: unknown) => {
    if (!response.destroyed) response.destroy()
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') console.error(error)
  })
}

/** The error page of Express. */
export function sendErrorPage(response: ServerResponse, status: number, reason: string): void {
  if (response.headersSent || response.destroyed) return
  const escaped = reason
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
  const page = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Error</title>
</head>
<body>
<pre>${escaped}</pre>
</body>
</html>
`
  response.writeHead(status, {
    'Content-Security-Policy': "default-src 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': Buffer.byteLength(page),
  })
  response.end(page)
}

/** `err.toString()`, whatever was thrown. */
export function textOf(error: unknown): string {
  try {
    return String(error)
  } catch {
    return 'Error'
  }
}

/** What Express takes to be UTF-8 where no charset is stated, even as bytes. */
const TEXT_TYPE = /^\s*(?:text\/|application\/(?:json|javascript)\b)(?!.*charset)/i

/** Sets the content type that goes with it. */
function bodyOf(response: ServerResponse, value: unknown): Buffer | undefined {
  if (value === undefined) return undefined
  if (value === null) return Buffer.alloc(0)
  if (typeof value === 'string') return text(response, value, 'text/html')
  if (ArrayBuffer.isView(value)) {
    const type = response.getHeader('Content-Type')
    if (type === undefined) response.setHeader('Content-Type', 'application/octet-stream')
    else if (typeof type === 'string' && TEXT_TYPE.test(type)) response.setHeader('Content-Type', inUtf8(type))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  // The template writes plain objects and lists itself, as text; everything else is JSON to Express.
  const isPlain = Array.isArray(value) || (typeof value === 'object' && value.constructor === Object)
  const json = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) as string | undefined)
  return text(response, json ?? '', isPlain ? 'text/html' : 'application/json')
}

function text(response: ServerResponse, content: string, defaultType: string): Buffer {
  const set = response.getHeader('Content-Type')
  response.setHeader('Content-Type', inUtf8(typeof set === 'string' ? set : defaultType))
  return Buffer.from(content)
}

/** What is sent as text is sent in UTF-8, and says so. */
function inUtf8(type: string): string {
  const kept = type.split(';').filter((part) => !/^\s*charset\s*=/i.test(part))
  return `${kept.join(';').trimEnd()}; charset=utf-8`
}

function headerValue(content: unknown): string | readonly string[] {
  return Array.isArray(content) ? content.map(String) : String(content)
}
