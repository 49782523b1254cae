// The portal's files as they go over the wire: read once, compressed once, tagged by their content.

import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { extname } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

/** Beside this file in the sources as in the package. */
const PAGE = new URL('./page/', import.meta.url)
const INDEX = 'index.html'
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}
/** Nearly as small as the highest, and within milliseconds. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }

type Encoding = 'br' | 'gzip'

export interface Representation {
  readonly etag: string
  readonly encoding: Encoding | undefined
  readonly bytes: Buffer
}

export interface PortalAsset {
  readonly type: string
  /** The smallest form that this `Accept-Encoding` takes. */
  as(acceptEncoding: string | undefined): Representation
}

let assets: ReadonlyMap<string, PortalAsset> | undefined

/** @param name below `/ui/`; empty: the page itself. Undefined when there is no such file */
export function portalAsset(name: string): PortalAsset | undefined {
  assets ??= readAssets()
  return assets.get(name)
}

function readAssets(): ReadonlyMap<string, PortalAsset> {
  const found = new Map<string, PortalAsset>()
  for (const file of readdirSync(PAGE)) {
    const type = TYPES[extname(file)]
    if (type !== undefined) found.set(file === INDEX ? '' : file, assetOf(type, readFileSync(new URL(file, PAGE))))
  }
  return found
}

function assetOf(type: string, bytes: Buffer): PortalAsset {
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 20)
  const plain: Representation = { etag: `"${hash}"`, encoding: undefined, bytes }
  // Each form has a tag of its own: they are not the same bytes.
  const brotli: Representation = { etag: `"${hash}-br"`, encoding: 'br', bytes: brotliCompressSync(bytes, BROTLI) }
  const gzip: Representation = { etag: `"${hash}-gzip"`, encoding: 'gzip', bytes: gzipSync(bytes) }
  return {
    type,
    as: (acceptEncoding) => {
      const accepted = acceptedEncodings(acceptEncoding)
      return [brotli, gzip].find(({ encoding = '' }) => accepted.has(encoding)) ?? plain
    },
  }
}

/** RFC 9110 §12.5.3; `q=0` says no. */
function acceptedEncodings(header = ''): ReadonlySet<string> {
  const accepted = header
    .toLowerCase()
    .split(',')
    .map((one) => one.split(';').map((part) => part.trim()))
    .filter(([, weight]) => weight === undefined || !/^q=0(\.0*)?$/.test(weight))
  return new Set(accepted.map(([encoding = '']) => encoding))
}
