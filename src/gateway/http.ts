// The HTTP manners of an OpenFaaS gateway: plain-text answers, basic auth, hop-by-hop headers, names in paths.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { basicCredentials, sameSecret } from '../sdk/index.ts'
import type { Secret } from '../sdk/index.ts'
import { withoutHeaders } from './headers.ts'

/** Never passed on, beside Connection and what it names (RFC 9110 §7.6.1); what is expected has been answered here. */
const HOP_BY_HOP = new Set([
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
])
/** Letters, digits, `-`, `_`, `.`, and not only dots: `..` is no name. */
const FUNCTION_NAME = /^(?=[^/]*[^.])[A-Za-z0-9_.-]+$/

/** Flat name, value list without what concerns this connection only. */
export function forwardable(rawHeaders: readonly string[]): string[] {
  const headers: string[] = []
  let named: Set<string> | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    const value = rawHeaders[index + 1] as string
    const lower = name.toLowerCase()
    if (lower === 'connection') named = namedByConnection(value, named)
    else if (!HOP_BY_HOP.has(lower)) headers.push(name, value)
  }
  return named === undefined ? headers : withoutHeaders(headers, named)
}

/** Undefined for `keep-alive` and `close`: what nearly every connection says names no header. */
function namedByConnection(value: string, before: Set<string> | undefined): Set<string> | undefined {
  let named = before
  for (const part of value.toLowerCase().split(',')) {
    const name = part.trim()
    if (name !== 'keep-alive' && name !== 'close' && name !== '') named = (named ?? new Set()).add(name)
  }
  return named
}

/** Plain text with a newline, as every error of the gateway. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

export function sendEmpty(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'Content-Length': 0, ...headers }).end()
}

export function redirect(response: ServerResponse, status: 301 | 307, location: string): void {
  sendEmpty(response, status, { Location: location })
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

/** As Go's router says it. */
export function notFound(response: ServerResponse): void {
  sendText(response, 404, '404 page not found\n')
}

export interface Credentials {
  readonly username: string
  readonly password: Secret
}

/** True when allowed; otherwise the 401 has been sent. Both parts are compared in constant time. */
export function authorize(
  request: IncomingMessage,
  response: ServerResponse,
  credentials: Credentials | undefined,
): boolean {
  if (credentials === undefined) return true
  const given = basicCredentials(request.headers.authorization)
  const user = sameSecret(given?.username ?? '', credentials.username)
  const password = sameSecret(given?.password ?? '', credentials.password.reveal())
  if (user && password && given !== undefined) return true
  sendText(response, 401, 'invalid credentials', { 'WWW-Authenticate': 'Basic realm="Restricted"' })
  return false
}

/** The name and the rest of `/function/<name>/<rest>`; undefined name when it is missing, null when it is not one. */
export function functionPath(
  path: string,
  route: string,
): { readonly name: string | undefined | null; readonly rest: string } {
  const after = path.slice(route.length)
  const slash = after.indexOf('/')
  const name = slash === -1 ? after : after.slice(0, slash)
  const rest = slash === -1 ? '' : after.slice(slash)
  return { name: name === '' ? undefined : isFunctionName(name) ? name : null, rest }
}

export function isFunctionName(text: string): boolean {
  return FUNCTION_NAME.test(text)
}

/** `name.namespace`, split at the last dot; a name without one is in the default namespace. */
export function fullName(name: string, defaultNamespace: string): string {
  return name.includes('.') ? name : `${name}.${defaultNamespace}`
}
