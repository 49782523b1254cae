// A queued call as OpenFaaS's gateway and queue-workers write and read it on NATS: the QueueRequest (OpenFaaS contract,
// enqueue and sample payloads). Pure; used by nats-calls.ts.

import { isRecord, percentDecoded } from '../../sdk/index.ts'
import { canonicalName, headerOf } from '../headers.ts'
import { forwardable, isFunctionName } from '../http.ts'
import { callHeaders } from './call.ts'
import type { QueuedCall } from './call.ts'

/** Go's URL structure; what is left out is empty. */
interface CallbackUrl {
  readonly Scheme?: string
  readonly Host?: string
  readonly Path?: string
  readonly RawPath?: string
  readonly RawQuery?: string
}

/** @param queueName stated where it is not OpenFaaS's own */
export function encodeRequest(call: QueuedCall, queueName: string | undefined): Buffer {
  const { callbackUrl, annotations, path } = call
  const query = path.indexOf('?')
  return Buffer.from(
    JSON.stringify({
      Header: headerLists(call),
      Host: call.host,
      Body: Buffer.from(call.body.buffer, call.body.byteOffset, call.body.byteLength).toString('base64'),
      Method: 'POST',
      Path: query === -1 ? path : path.slice(0, query),
      QueryString: query === -1 ? '' : path.slice(query + 1),
      Function: call.function,
      ...(queueName === undefined ? {} : { QueueName: queueName }),
      ...(Object.keys(annotations).length === 0 ? {} : { Annotations: annotations }),
      ...(callbackUrl === undefined ? {} : callbackParts(callbackUrl)),
    }),
  )
}

/** A sentence where it is none. */
export function decodeRequest(data: Uint8Array): QueuedCall | string {
  let request: unknown
  try {
    request = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'))
  } catch {
    return 'it is not JSON'
  }
  if (!isRecord(request)) return 'it is not a JSON object'
  const { Function: name, Body: body, Path: path, QueryString: query, CallbackUrl: callback } = request
  if (typeof name !== 'string' || !isFunctionName(name)) return 'its Function is not a name of one'
  if (body !== undefined && body !== null && typeof body !== 'string') return 'its Body is not base64'
  const flat = flatHeaders(request['Header'])
  if (flat === undefined) return 'its Header is not a map of lists'
  // Other gateways queue what concerned their caller's connection, too.
  const headers = callHeaders(forwardable(flat))
  return {
    ...headers,
    callId: headerOf(flat, 'x-call-id') ?? '',
    function: name,
    path: targetOf(textOf(path), textOf(query)),
    host: textOf(request['Host']),
    body: Buffer.from(body ?? '', 'base64'),
    callbackUrl: isRecord(callback) ? callbackOf(callback, textOf(request['CallbackUser'])) : undefined,
    annotations: {},
  }
}

/** Go looks headers up by their canonical names. */
function headerLists({ contentType, headers, moreHeaders = [] }: QueuedCall): Readonly<Record<string, string[]>> {
  const lists = new Map<string, string[]>()
  const add = (name: string, value: string): void => {
    const key = canonicalName(name)
    const list = lists.get(key)
    if (list === undefined) lists.set(key, [value])
    else list.push(value)
  }
  if (contentType !== undefined) add('Content-Type', contentType)
  for (const [name, value] of Object.entries(headers)) add(name, value)
  for (let index = 0; index < moreHeaders.length; index += 2)
    add(moreHeaders[index] as string, moreHeaders[index + 1] as string)
  return Object.fromEntries(lists)
}

/** Go's structure has no place for user and password that its JSON keeps; they are beside it. */
function callbackParts(text: string): { readonly CallbackUrl: CallbackUrl; readonly CallbackUser?: string } {
  const url = text.includes('://') ? URL.parse(text) : null
  if (url === null) {
    const query = text.indexOf('?')
    if (query === -1) return { CallbackUrl: pathParts(text) }
    return { CallbackUrl: { ...pathParts(text.slice(0, query)), RawQuery: text.slice(query + 1) } }
  }
  const CallbackUrl = {
    Scheme: url.protocol.slice(0, -1),
    Host: url.host,
    ...pathParts(url.pathname),
    ...(url.search === '' ? {} : { RawQuery: url.search.slice(1) }),
  }
  const { username, password } = url
  return username === '' && password === '' ? { CallbackUrl } : { CallbackUrl, CallbackUser: `${username}:${password}` }
}

/** As Go does it: decoded, and as written where that says more. */
function pathParts(path: string): Pick<CallbackUrl, 'Path' | 'RawPath'> {
  const decoded = percentDecoded(path) ?? path
  return { Path: decoded, ...(escaped(decoded) === path ? {} : { RawPath: path }) }
}

function callbackOf(parts: Readonly<Record<string, unknown>>, user: string): string {
  const [scheme, host, path = '', rawPath, query] = ['Scheme', 'Host', 'Path', 'RawPath', 'RawQuery'].map((key) => textOf(parts[key])) // prettier-ignore
  const authority = host === '' ? '' : `${scheme === '' ? '' : `${scheme}:`}//${user === '' ? '' : `${user}@`}${host}`
  return `${authority}${rawPath || escaped(path)}${query === '' ? '' : `?${query}`}`
}

/** Sub-path and query as they go on the request line; an encoded path stays as it is. */
function targetOf(path: string, query: string): string {
  const rooted = path === '' || path.startsWith('/') ? path : `/${path}`
  // Twice the same separator would be answered with a redirect, and the function not called.
  return onLine(rooted.replaceAll(/\/{2,}/g, '/'), /[?#]/g) + (query === '' ? '' : `?${onLine(query, /#/g)}`)
}

/** What a request line cannot carry, percent-encoded. */
function onLine(text: string, alsoEncoded: RegExp): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\x21-\x7e]+/gu, encodeURIComponent)
    .replaceAll(/%(?![0-9A-Fa-f]{2})/g, '%25')
    .replaceAll(alsoEncoded, encodeURIComponent)
}

function escaped(path: string): string {
  return encodeURI(path.toWellFormed()).replaceAll(/[?#]/g, encodeURIComponent)
}

/** Flat name, value list; undefined where it is no map of lists. */
function flatHeaders(header: unknown): string[] | undefined {
  if (header === undefined || header === null) return []
  if (!isRecord(header)) return undefined
  const flat: string[] = []
  for (const [name, values] of Object.entries(header)) {
    if (values === null) continue
    if (!Array.isArray(values)) return undefined
    for (const value of values as readonly unknown[]) {
      if (typeof value !== 'string') return undefined
      flat.push(name, value)
    }
  }
  return flat
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
