// `/system/…`: which path and method is answered by what, for callers with the right credentials. What each does is in the
// file of its resource.

import type { IncomingMessage, ServerResponse } from 'node:http'

import { authorize, isFunctionName, notFound, sendEmpty, sendText } from '../http.ts'
import { alert } from './alert.ts'
import type { Handler, SystemParts } from './call.ts'
import { createFunction, describeFunction, listFunctions, removeFunction, scaleFunction, updateFunction } from './functions.ts' // prettier-ignore
import { info, telemetry } from './info.ts'
import { logs } from './logs.ts'
import { createNamespace, describeNamespace, listNamespaces, removeNamespace, updateNamespace } from './namespaces.ts'
import { Refused } from './refused.ts'
import { createSecret, listSecrets, removeSecret, updateSecret } from './secrets.ts'

type Methods = Readonly<Record<string, Handler>>

const ROUTES: Readonly<Record<string, Methods>> = {
  '/system/functions': { GET: listFunctions, POST: createFunction, PUT: updateFunction, DELETE: removeFunction },
  '/system/namespaces': { GET: listNamespaces },
  '/system/secrets': { GET: listSecrets, POST: createSecret, PUT: updateSecret, DELETE: removeSecret },
  '/system/logs': { GET: logs },
  '/system/info': { GET: info },
  '/system/telemetry': { GET: telemetry },
  '/system/alert': { POST: alert },
}
/** Ending in a name, or for namespaces in nothing. */
const NAMED_ROUTES: readonly { readonly prefix: string; readonly methods: Methods; readonly orNothing: boolean }[] = [
  { prefix: '/system/function/', methods: { GET: describeFunction }, orNothing: false },
  { prefix: '/system/scale-function/', methods: { POST: scaleFunction }, orNothing: false },
  {
    prefix: '/system/namespace/',
    methods: { GET: describeNamespace, POST: createNamespace, PUT: updateNamespace, DELETE: removeNamespace },
    orNothing: true,
  },
]

/**
 * An unknown path is a 404, and a wrong method a 405, before it is a 401: what exists is no secret, and scripts tell them
 * apart. Rejects only for what is no fault of the caller.
 */
export async function system(
  request: IncomingMessage,
  response: ServerResponse,
  url: { readonly path: string; readonly query: string },
  parts: SystemParts,
): Promise<void> {
  const found = routeOf(url.path)
  if (found === undefined) return notFound(response)
  const startedAt = performance.now()
  response.once('close', () => {
    const seconds = (performance.now() - startedAt) / 1000
    parts.metrics.request(request.method ?? '', found.pattern, response.statusCode, seconds)
  })
  const handler = Object.hasOwn(found.methods, request.method ?? '') ? found.methods[request.method ?? ''] : undefined
  if (handler === undefined) return sendEmpty(response, 405)
  if (!authorize(request, response, parts.auth)) return
  try {
    await handler({ ...parts, request, response, query: new URLSearchParams(url.query), name: found.name })
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (error.message === '') sendEmpty(response, error.status)
    else sendText(response, error.status, `${error.message}\n`)
  }
}

interface Route {
  readonly methods: Methods
  readonly name: string
  /** What a metric may be labelled with: nothing that a caller makes up. */
  readonly pattern: string
}

function routeOf(path: string): Route | undefined {
  const methods = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined
  if (methods !== undefined) return { methods, name: '', pattern: path }
  for (const { prefix, methods: named, orNothing } of NAMED_ROUTES) {
    if (!path.startsWith(prefix)) continue
    const name = path.slice(prefix.length)
    return (name === '' && orNothing) || isFunctionName(name)
      ? { methods: named, name, pattern: `${prefix}{name}` }
      : undefined
  }
  return undefined
}
