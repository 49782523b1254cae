// What a request asks for: path and query as they were sent, byte for byte, and the path as Go's routers clean it. Decodes
// nothing, so `%2F` and `%2e%2e` are letters of a segment. Called by gateway.ts for each request.

export interface RequestTarget {
  /** Percent-encoded, as sent. */
  readonly path: string
  /** With its `?`, or empty. */
  readonly query: string
}

/** Of a request line: `/a?b`, or `http://host/a?b` as proxies send it (RFC 9112 §3.2.2). */
export function requestTarget(url: string): RequestTarget {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  return { path: path.startsWith('/') ? path : withoutOrigin(path), query: mark === -1 ? '' : url.slice(mark) }
}

function withoutOrigin(path: string): string {
  const origin = /^https?:\/\/[^/]*/i.exec(path)?.[0]
  return origin === undefined ? path : path.slice(origin.length) || '/'
}

/** Without empty, `.` and `..` segments; a slash at the end stays. The same string where there is nothing to clean. */
export function cleanPath(path: string): string {
  // Nearly every path has neither.
  if (!path.includes('//') && !path.includes('/.')) return path
  const segments: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  const cleaned = `/${segments.join('/')}`
  return path.endsWith('/') && cleaned !== '/' ? `${cleaned}/` : cleaned
}
