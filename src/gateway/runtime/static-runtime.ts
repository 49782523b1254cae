// Files of a folder, as of-watchdog's mode static serves them. Nothing outside of the folder, whatever the path or a symbolic
// link says; no listings, no hidden files.

import { constants } from 'node:fs'
import { open, realpath, stat } from 'node:fs/promises'
import { basename, extname, join, sep } from 'node:path'
import { Readable } from 'node:stream'

import { percentDecoded } from '../../sdk/index.ts'
import { headerOf } from '../headers.ts'
import type { FunctionRuntime, RuntimeAnswer, RuntimeRequest } from './runtime.ts'
import { durationHeader } from './watchdog.ts'

const INDEX = 'index.html'
const TYPES: Readonly<Record<string, string>> = {
  '.avif': 'image/avif',
  '.css': 'text/css; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.gif': 'image/gif',
  '.htm': 'text/html; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webm': 'video/webm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xml': 'text/xml; charset=utf-8',
  '.zip': 'application/zip',
}

interface Found {
  /** Without symbolic links. */
  readonly path: string
  readonly size: number
  readonly modifiedMs: number
}

export class StaticRuntime implements FunctionRuntime {
  readonly ready = true
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  async warm(): Promise<boolean> {
    return true
  }

  async call(request: RuntimeRequest): Promise<RuntimeAnswer> {
    const startedAt = performance.now()
    const { status, headers, body } = await this.#serve(request)
    return { status, headers: [...headers, ...durationHeader(startedAt)], body }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #serve(request: RuntimeRequest): Promise<RuntimeAnswer> {
    if (request.body instanceof Readable) request.body.destroy()
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return { status: 405, headers: ['Allow', 'GET, HEAD'], body: Buffer.alloc(0) }
    const path = pathOf(request.path)
    const found = path === undefined ? undefined : await this.#find(path)
    if (found === undefined) return notFound()
    if (found === 'folder') {
      const query = request.path.includes('?') ? request.path.slice(request.path.indexOf('?')) : ''
      const location = `${encodeURIComponent(basename(path as string))}/${query}`
      return { status: 301, headers: ['Location', location], body: Buffer.alloc(0) }
    }
    return send(found, request)
  }

  /** `folder`: one whose path lacks its slash, without which relative links would be off. */
  async #find(path: string): Promise<Found | 'folder' | undefined> {
    try {
      const root = await realpath(this.#directory)
      const real = await realpath(join(root, path))
      if (real !== root && !real.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) return undefined
      const info = await stat(real)
      if (info.isDirectory()) {
        if (!path.endsWith('/')) return 'folder'
        const index = await this.#find(`${path}${INDEX}`)
        return index === 'folder' ? undefined : index
      }
      // A pipe or a device would hold the call for ever.
      if (!info.isFile() || path.endsWith('/')) return undefined
      return { path: real, size: info.size, modifiedMs: info.mtimeMs }
    } catch {
      return undefined
    }
  }
}

/** Undefined for what names no file of the folder: broken escapes, `..`, hidden files. */
function pathOf(target: string): string | undefined {
  const mark = target.indexOf('?')
  const path = percentDecoded(mark === -1 ? target : target.slice(0, mark))
  if (path === undefined || path.includes('\0') || path.includes('\\')) return undefined
  return path.split('/').some((part) => part.startsWith('.') && part !== '.well-known') ? undefined : path
}

async function send(found: Found, request: RuntimeRequest): Promise<RuntimeAnswer> {
  const modified = ['Last-Modified', new Date(found.modifiedMs).toUTCString()]
  const since = Date.parse(headerOf(request.headers, 'if-modified-since') ?? '')
  // HTTP's dates have no parts of a second.
  if (Math.floor(found.modifiedMs / 1000) <= since / 1000)
    return { status: 304, headers: modified, body: Buffer.alloc(0) }
  const isSame = (headerOf(request.headers, 'if-range') ?? modified[1]) === modified[1]
  const range = isSame ? rangeOf(headerOf(request.headers, 'range') ?? '', found.size) : undefined
  if (range === 'none') {
    const headers = ['Content-Range', `bytes */${found.size}`, 'Content-Type', 'text/plain; charset=utf-8']
    return { status: 416, headers, body: Buffer.from('invalid range: failed to overlap\n') }
  }
  const { start, end } = range ?? { start: 0, end: found.size - 1 }
  const headers = [
    'Content-Type',
    TYPES[extname(found.path).toLowerCase()] ?? 'application/octet-stream',
    'Content-Length',
    String(end - start + 1),
    'Accept-Ranges',
    'bytes',
    ...modified,
    ...(range === undefined ? [] : ['Content-Range', `bytes ${start}-${end}/${found.size}`]),
  ]
  const status = range === undefined ? 200 : 206
  // A stream, as it says how long the file is and not how long itself.
  if (request.method === 'HEAD' || end < start) return { status, headers, body: Readable.from([]) }
  try {
    const file = await open(found.path, constants.O_RDONLY | constants.O_NOFOLLOW)
    return { status, headers, body: file.createReadStream({ start, end }) }
  } catch {
    // It has gone meanwhile, or may not be read.
    return notFound()
  }
}

/** Of a header `Range` with one range; undefined where the whole file is the answer; `none` where nothing of it is. */
function rangeOf(header: string, size: number): { readonly start: number; readonly end: number } | 'none' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim())
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const [, first = '', last = ''] = match
  if (first === '')
    return last === '0' || size === 0 ? 'none' : { start: Math.max(0, size - Number(last)), end: size - 1 }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return undefined
  return start >= size ? 'none' : { start, end }
}

function notFound(): RuntimeAnswer {
  return {
    status: 404,
    headers: ['Content-Type', 'text/plain; charset=utf-8'],
    body: Buffer.from('404 page not found\n'),
  }
}
